package oxd

import (
	"mime"
	"net/http"

	"github.com/umagate/umagate/controlplane/secret"
)

// observed adds the client's Authorization header, where there is one, and
// remembers of the answer what the libraries do not tell.
type observed struct {
	next          http.RoundTripper
	authorization secret.Text
	// status is 0 when there was no answer; json says that the answer claims to be.
	status int
	json   bool
}

func (o *observed) RoundTrip(r *http.Request) (*http.Response, error) {
	if !o.authorization.IsZero() {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", o.authorization.Reveal())
	}
	response, err := o.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	o.status, o.json = response.StatusCode, err == nil && media == "application/json"
	return response, nil
}
