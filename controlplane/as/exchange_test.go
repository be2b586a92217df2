package as_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// recording is one file of testdata: what is said in one step.
type recording struct {
	Source    string `json:"source"`
	Exchanges []said `json:"exchanges"`
}

type said struct {
	Request  recordedRequest  `json:"request"`
	Response recordedResponse `json:"response"`
}

type recordedRequest struct {
	Method        string            `json:"method"`
	Path          string            `json:"path"`
	Authorization string            `json:"authorization,omitempty"`
	Form          map[string]string `json:"form,omitempty"`
	JSON          json.RawMessage   `json:"json,omitempty"`
}

type recordedResponse struct {
	Status      int               `json:"status"`
	ContentType string            `json:"content_type,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	JSON        json.RawMessage   `json:"json,omitempty"`
	Text        string            `json:"text,omitempty"`
}

// player is an AS that answers the exchanges of one step after the other.
type player struct {
	t      *testing.T
	server *httptest.Server
	folder string

	mu    sync.Mutex
	step  string
	queue []said
}

func newPlayer(t *testing.T, folder string) *player {
	t.Helper()
	p := &player{t: t, folder: folder}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

// play has f say what the file of that step has, all of it and nothing else.
func (p *player) play(step string, f func()) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", p.folder, step+".json"))
	require.NoError(p.t, err)
	var r recording
	require.NoError(p.t, json.Unmarshal(text, &r))
	require.NotEmpty(p.t, r.Source, "%s/%s names no source", p.folder, step)
	p.mu.Lock()
	p.step, p.queue = step, r.Exchanges
	p.mu.Unlock()
	f()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.t, p.queue, "%s/%s: exchanges that did not take place", p.folder, step)
}

func (p *player) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.t.Errorf("%s/%s: unexpected %s %s", p.folder, p.step, req.Method, req.URL)
		w.WriteHeader(599)
		return
	}
	next := p.queue[0]
	p.queue = p.queue[1:]
	have := readRequest(p.t, req)
	want := next.Request
	want.JSON, have.JSON = canonical(want.JSON), canonical(have.JSON)
	if !sameRequest(want, have) {
		p.t.Errorf("%s/%s: got %s\nexpected %s", p.folder, p.step, printed(have), printed(want))
	}
	if next.Response.ContentType != "" {
		w.Header().Set("Content-Type", next.Response.ContentType)
	}
	issuer := func(s string) string { return strings.ReplaceAll(s, "ISSUER", p.server.URL) }
	for name, value := range next.Response.Header {
		w.Header().Set(name, issuer(value))
	}
	w.WriteHeader(next.Response.Status)
	_, _ = io.WriteString(w, issuer(string(next.Response.JSON)+next.Response.Text))
}

func readRequest(t *testing.T, req *http.Request) recordedRequest {
	t.Helper()
	out := recordedRequest{Method: req.Method, Path: req.URL.RequestURI(), Authorization: req.Header.Get("Authorization")}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	switch {
	case strings.HasPrefix(req.Header.Get("Content-Type"), "application/json"):
		out.JSON = body
	case len(body) > 0:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Errorf("body of %s %s: %v", req.Method, req.URL, err)
		}
		out.Form = map[string]string{}
		for name, values := range form {
			out.Form[name] = strings.Join(values, " and ")
		}
	}
	return out
}

func sameRequest(a, b recordedRequest) bool { return printed(a) == printed(b) }

func printed(r recordedRequest) string {
	text, _ := json.Marshal(r)
	return string(text)
}

func canonical(raw json.RawMessage) json.RawMessage {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	text, _ := json.Marshal(v)
	return text
}
