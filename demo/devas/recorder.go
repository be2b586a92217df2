package devas

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// maxCalls bounds how many calls of one endpoint are kept whole. The count goes
// on.
const maxCalls = 200

// Call is one request to an endpoint, with the secrets that were in it: it is for
// tests to look at.
type Call struct {
	Endpoint Endpoint    `json:"endpoint"`
	Method   string      `json:"method"`
	Path     string      `json:"path"`
	Header   http.Header `json:"header"`
	Body     string      `json:"body,omitempty"`
	// Form is the body read as a form, whatever its type.
	Form url.Values `json:"form,omitempty"`
	// Status is what was answered; zero while it runs and where the connection was
	// closed without an answer.
	Status int       `json:"status"`
	Time   time.Time `json:"time"`
}

// recorder keeps the calls of each endpoint. It is safe for concurrent use.
type recorder struct {
	mu     sync.Mutex
	counts map[Endpoint]int
	calls  map[Endpoint][]*Call
}

func newRecorder() *recorder {
	return &recorder{counts: map[Endpoint]int{}, calls: map[Endpoint][]*Call{}}
}

// begin counts a request before any fault meets it, and puts its body back.
func (c *recorder) begin(e Endpoint, r *http.Request, now time.Time) *Call {
	var body []byte
	if r.Body != nil && r.Body != http.NoBody {
		rest := r.Body
		// What cannot be read here cannot be read by the endpoint, which says so.
		body, _ = io.ReadAll(io.LimitReader(rest, maxBody))
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), rest), rest}
	}
	call := &Call{
		Endpoint: e, Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: string(body), Time: now,
	}
	if form, err := url.ParseQuery(call.Body); err == nil {
		call.Form = form
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[e]++
	list := append(c.calls[e], call)
	if len(list) > maxCalls {
		list = slices.Delete(list, 0, len(list)-maxCalls)
	}
	c.calls[e] = list
	return call
}

func (c *recorder) end(call *Call, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.Status = status
}

// Count is how many requests an endpoint has had, spoiled ones included; all
// endpoints with EndpointAny.
func (s *Server) Count(e Endpoint) int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	if e != EndpointAny {
		return s.recorder.counts[e]
	}
	n := 0
	for _, c := range s.recorder.counts {
		n += c
	}
	return n
}

// Calls returns the last requests of an endpoint (200 at most), oldest first.
func (s *Server) Calls(e Endpoint) []Call {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	list := []Call{}
	for _, c := range s.recorder.calls[e] {
		list = append(list, *c)
	}
	return list
}

// ResetCalls forgets every call and sets every count to zero.
func (s *Server) ResetCalls() {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	clear(s.recorder.counts)
	clear(s.recorder.calls)
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b) //nolint:wrapcheck // A pass-through.
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bufferedWriter keeps an answer, so that a fault can change it.
type bufferedWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (b *bufferedWriter) Header() http.Header { return b.header }

// WriteHeader implements http.ResponseWriter.
func (b *bufferedWriter) WriteHeader(status int) { b.status = status }

// Write implements http.ResponseWriter.
func (b *bufferedWriter) Write(p []byte) (int, error) {
	return b.body.Write(p) //nolint:wrapcheck // bytes.Buffer does not fail.
}
