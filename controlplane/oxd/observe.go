package oxd

import "net/http"

// observed remembers the status of an answer, which go-oidc does not tell; 0 when
// there was none.
type observed struct {
	next   http.RoundTripper
	status int
}

func (o *observed) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.next.RoundTrip(r)
	if err == nil {
		o.status = response.StatusCode
	}
	return response, err
}
