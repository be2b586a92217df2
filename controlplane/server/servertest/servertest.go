// Package servertest has tests run a control plane, with an AS before it and an Envoy
// behind it.
package servertest

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/process"
)

// Within bounds every wait for a condition. It is for a machine that is ten times
// slower than the one that a test was written on.
const Within = 2 * time.Minute

// Quick lets tests see in milliseconds what takes minutes. Calls to the AS are counted, so
// that only tests of it ask what Envoys ask.
func Quick() server.Intervals {
	return server.Intervals{Watch: 10 * time.Millisecond, Site: registration.Intervals{
		Retry: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond, Sync: 100 * time.Millisecond, Probe: 20 * time.Millisecond,
		Forgotten: time.Millisecond, Unusable: 5 * time.Millisecond, Health: time.Hour,
	}}
}

// Plane is a control plane that a test starts and stops. Only the test's own goroutine
// may use it.
type Plane struct {
	T *testing.T
	// Dir is where umagate.yaml and its store are.
	Dir string
	// Log is what it wrote, to be searched for secrets.
	Log *process.Log
	// Options are those of Run; Path, Logger and Started are the plane's own.
	Options server.Options
	// Token is the file with the API's local token, where it is not in Dir.
	Token string
	// Started is called with the API's address; may be nil.
	Started func(api string)
	// API and XDS are the addresses, once it was started. Stop ends it.
	API, XDS string
	Stop     func()
}

// New makes one that is not started.
func New(t *testing.T) *Plane {
	t.Helper()
	p := &Plane{T: t, Dir: t.TempDir(), Log: &process.Log{}, Options: server.Options{Version: "test", Intervals: Quick()}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.Log.String())
		}
	})
	return p
}

// Path is that of umagate.yaml.
func (p *Plane) Path() string { return filepath.Join(p.Dir, "umagate.yaml") }

// Write makes umagate.yaml appear at once, as an editor does.
func (p *Plane) Write(content string) {
	p.T.Helper()
	p.Beside("umagate.yaml", content)
}

// Beside makes a file beside umagate.yaml appear at once.
func (p *Plane) Beside(name, content string) {
	p.T.Helper()
	path := filepath.Join(p.Dir, name)
	require.NoError(p.T, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(p.T, os.Rename(path+".new", path))
}

// Start runs it until Stop, or the test's end.
func (p *Plane) Start() {
	p.T.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.T.Context()))
	started := make(chan struct{})
	done := make(chan error, 1)
	options := p.Options
	options.Path, options.Logger = p.Path(), slog.New(slog.NewTextHandler(p.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options.Started = func(api, xds string) {
		p.API, p.XDS = api, xds
		if p.Started != nil {
			p.Started(api)
		}
		close(started)
	}
	go func() { done <- server.Run(ctx, options) }()
	select {
	case <-started:
	case err := <-done:
		cancel()
		require.FailNow(p.T, "not started", "%v", err)
	}
	p.Stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(p.T, <-done)
	})
	p.T.Cleanup(p.Stop)
}

// Get calls the API.
func (p *Plane) Get(path string) (int, string) {
	p.T.Helper()
	req, err := http.NewRequestWithContext(p.T.Context(), http.MethodGet, "http://"+p.API+path, http.NoBody)
	require.NoError(p.T, err)
	p.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.T, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.T, err)
	return resp.StatusCode, string(body)
}

// Authorize calls with the token that serve made beside the store.
func (p *Plane) Authorize(req *http.Request) {
	p.T.Helper()
	path := cmp.Or(p.Token, filepath.Join(p.Dir, "umagate.db.token"))
	if _, err := os.Stat(path); err != nil {
		path = p.Path() + ".token" // with PostgreSQL there is no other place
	}
	token, err := api.ReadLocalToken(path)
	require.NoError(p.T, err)
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
}

// Status asks for it.
func (p *Plane) Status() server.Status {
	p.T.Helper()
	code, body := p.Get("/v1/status")
	require.Equal(p.T, http.StatusOK, code)
	var s server.Status
	require.NoError(p.T, json.Unmarshal([]byte(body), &s))
	return s
}

// Until waits for the status to satisfy ok, and returns it.
func (p *Plane) Until(what string, ok func(server.Status) bool) server.Status {
	p.T.Helper()
	var last server.Status
	require.Eventually(p.T, func() bool {
		last = p.Status()
		return ok(last)
	}, Within, 5*time.Millisecond, "%s; the problems: %v", what, &last.Conditions)
	return last
}

// RequireNoSecrets looks for what the AS was sent and must not be shown.
func (p *Plane) RequireNoSecrets(as *devas.Server) {
	p.T.Helper()
	_, status := p.Get("/v1/status")
	_, metrics := p.Get("/metrics")
	shown := p.Log.String() + status + metrics
	found := 0
	for _, e := range devas.Endpoints() {
		for _, c := range as.Calls(e) {
			for _, value := range []string{c.Header.Get("Authorization"), c.Form.Get("client_secret"), c.Form.Get("client_assertion")} {
				_, credential, ok := strings.Cut(value, " ")
				if !ok {
					credential = value
				}
				if credential == "" {
					continue
				}
				found++
				require.NotContains(p.T, shown, credential)
			}
		}
	}
	require.Positive(p.T, found, "no secret was sent, so none was looked for")
}

// StartAS runs an AS until the test's end.
func StartAS(t *testing.T, options devas.Options) *devas.Server {
	t.Helper()
	as, err := devas.New(options)
	require.NoError(t, err)
	stop, err := as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	t.Cleanup(stop)
	return as
}

// Acknowledged reports whether all is well, and the one Envoy has everything.
func Acknowledged(s server.Status) bool {
	if !s.OK || len(s.Envoys) != 1 {
		return false
	}
	for _, kind := range xds.Types() {
		if s.Envoys[0].Types[kind].Acknowledged != s.Pushed[kind] {
			return false
		}
	}
	return true
}
