package suite_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/port"
)

// The endpoints of an AS that a filter calls, as the front serves them.
const (
	introspection = "/introspect"
	permission    = "/permission"
	evaluation    = "/evaluate"
)

// front stands before an AS, as far as the gateways see it. It counts the calls
// and spoils answers, in the same way for every AS.
type front struct {
	owner   owner
	address string
	targets map[string]*url.URL
	client  *http.Transport

	mu     sync.Mutex
	server *http.Server
	served sync.WaitGroup
	gone   bool
	counts map[string]int
	last   map[string]call
	bodies map[string]int // calls by what they sent
	// evaluations are by the token that is asked about.
	evaluations map[string]int
	faults      map[string]fault
}

// call is a request to the AS.
type call struct {
	header http.Header
	body   string
}

// fault answers a call in the AS's place. ask is what the AS says.
type fault func(w http.ResponseWriter, r *http.Request, ask func() asAnswer)

type asAnswer struct {
	status int
	header http.Header
	body   []byte
}

func (a asAnswer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		if k != "Content-Length" {
			w.Header()[k] = v
		}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func startFront(t *testing.T, o owner, introspect, permit, evaluate *url.URL) *front {
	t.Helper()
	address, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(t, err)
	o.Cleanup(func() { require.NoError(t, reservation.Close()) })
	f := &front{
		address: address,
		targets: map[string]*url.URL{introspection: introspect, permission: permit, evaluation: evaluate},
		client:  &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		counts:  map[string]int{}, last: map[string]call{}, bodies: map[string]int{}, evaluations: map[string]int{}, faults: map[string]fault{},
	}
	f.owner = o
	f.up(t)
	o.Cleanup(f.down)
	return f
}

// up listens; after down, on the same address.
func (f *front) up(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(t.Context()), "tcp", f.address)
	require.NoError(t, err, "the front cannot listen")
	server := &http.Server{Handler: f}
	f.mu.Lock()
	f.server = server
	f.mu.Unlock()
	f.served.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			f.owner.Errorf("the front: %v", err)
		}
	})
}

// down closes the listener and every connection.
func (f *front) down() {
	f.mu.Lock()
	server := f.server
	f.mu.Unlock()
	_ = server.Close()
	f.served.Wait()
}

// away takes the AS away until up, or the end of the test.
func (f *front) away(t *testing.T) {
	t.Helper()
	f.down()
	f.mu.Lock()
	f.gone = true
	f.mu.Unlock()
	t.Cleanup(func() { f.back(t) })
}

// back undoes away.
func (f *front) back(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	gone := f.gone
	f.gone = false
	f.mu.Unlock()
	if gone {
		f.up(t)
	}
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	endpoint := r.URL.Path
	f.mu.Lock()
	f.counts[endpoint]++
	f.last[endpoint] = call{r.Header.Clone(), string(body)}
	f.bodies[string(body)]++
	if endpoint == evaluation {
		f.evaluations[evaluatedToken(r.Header, body)]++
	}
	spoil := f.faults[endpoint]
	f.mu.Unlock()
	ask := func() asAnswer { return f.ask(r, body) }
	if spoil != nil {
		spoil(w, r, ask)
		return
	}
	ask().write(w)
}

func evaluatedToken(header http.Header, body []byte) string {
	if form, err := url.ParseQuery(string(body)); err == nil && form.Has("claim_token") {
		return form.Get("claim_token")
	}
	return strings.TrimPrefix(header.Get("Authorization"), "Bearer ")
}

func (f *front) ask(r *http.Request, body []byte) asAnswer {
	target := f.targets[r.URL.Path]
	if target == nil {
		return asAnswer{status: http.StatusNotFound}
	}
	request, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return asAnswer{status: http.StatusBadGateway}
	}
	request.Header = r.Header.Clone()
	response, err := f.client.RoundTrip(request)
	if err != nil {
		return asAnswer{status: http.StatusBadGateway}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return asAnswer{status: http.StatusBadGateway}
	}
	return asAnswer{response.StatusCode, response.Header, answer}
}

// spoil sets the fault of an endpoint until the end of the test.
func (f *front) spoil(t *testing.T, endpoint string, spoil fault) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[endpoint] = spoil
	t.Cleanup(func() { f.mend(endpoint) })
}

func (f *front) mend(endpoint string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.faults, endpoint)
}

func (f *front) count(endpoint string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[endpoint]
}

// askedAbout counts the introspections of a token.
func (f *front) askedAbout(token string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for body, times := range f.bodies {
		if form, err := url.ParseQuery(body); err == nil && form.Get("token") == token {
			n += times
		}
	}
	return n
}

// evaluationsOf counts how often the AS was asked what a token may: with the token as the
// credential, or as a claim_token.
func (f *front) evaluationsOf(token string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.evaluations[token]
}

func (f *front) lastCall(endpoint string) call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[endpoint]
}
