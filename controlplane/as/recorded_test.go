package as_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
)

// exchange is one request that a recorded AS expects, and its answer.
type exchange struct {
	method, path string
	// form and body are what the request must have; header likewise.
	form   url.Values
	body   string
	header map[string]string

	status      int
	contentType string // application/json when empty
	answer      string
	answers     http.Header
}

// recorded is an AS that answers exactly the exchanges it was given, in order.
type recorded struct {
	t *testing.T
	*httptest.Server

	mu        sync.Mutex
	exchanges []exchange
}

func record(t *testing.T, exchanges ...exchange) *recorded {
	t.Helper()
	r := &recorded{t: t, exchanges: exchanges}
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.Close()
		require.Empty(t, r.exchanges, "exchanges that did not take place")
	})
	return r
}

// ServeHTTP answers 599 to what was not expected; the failing test shows why.
func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	if len(r.exchanges) == 0 {
		r.t.Errorf("unexpected %s %s", req.Method, req.URL)
		w.WriteHeader(599)
		return
	}
	want := r.exchanges[0]
	r.exchanges = r.exchanges[1:]
	if req.Method != want.method || req.URL.RequestURI() != want.path {
		r.t.Errorf("got %s %s, expected %s %s", req.Method, req.URL.RequestURI(), want.method, want.path)
	}
	for name, value := range want.header {
		if got := req.Header.Get(name); got != value {
			r.t.Errorf("%s %s: header %s is %q, expected %q", req.Method, req.URL, name, got, value)
		}
	}
	if want.form != nil {
		if got, _ := url.ParseQuery(string(body)); got.Encode() != want.form.Encode() {
			r.t.Errorf("%s %s: form %v, expected %v", req.Method, req.URL, got, want.form)
		}
	}
	if want.body != "" && !sameJSON(string(body), want.body) {
		r.t.Errorf("%s %s: body %s, expected %s", req.Method, req.URL, body, want.body)
	}
	maps.Copy(w.Header(), want.answers)
	contentType := want.contentType
	if contentType == "" {
		contentType = "application/json"
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(want.status)
	_, _ = io.WriteString(w, strings.ReplaceAll(want.answer, "ISSUER", r.URL))
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

func get(path string, status int, answer string) exchange {
	return exchange{method: http.MethodGet, path: path, status: status, answer: answer}
}

func discover(t *testing.T, document string, more ...exchange) *as.Server {
	t.Helper()
	r := record(t, append([]exchange{get(umaPath, 200, document)}, more...)...)
	client, err := as.New(as.Config{Issuer: r.URL})
	require.NoError(t, err)
	server, err := client.Discover(t.Context())
	require.NoError(t, err)
	return server
}

// noTransport fails the test when anything is sent.
type noTransport struct{ t *testing.T }

func (n noTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s was sent", r.Method, r.URL)
	return nil, http.ErrNotSupported
}
