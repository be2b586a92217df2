package serve_test

import (
	"bytes"
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
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/oxd/serve"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/e2e/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// within bounds every wait for a condition. It is for a machine that is ten times
// slower than the one that a test was written on.
const within = 2 * time.Minute

// log is what a control plane wrote.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// plane is a control plane that serves oxd.
type plane struct {
	t         *testing.T
	path      string
	log       *log
	intervals server.Intervals

	api, xds, oxd string
	stop          func()
}

func newPlane(t *testing.T, config string) *plane {
	t.Helper()
	p := &plane{t: t, path: filepath.Join(t.TempDir(), "umagate.yaml"), log: &log{}, intervals: server.Intervals{Site: registration.Intervals{
		Retry: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond, Sync: 100 * time.Millisecond, Probe: 20 * time.Millisecond,
		Forgotten: time.Millisecond, Doubt: 5 * time.Millisecond,
	}}}
	require.NoError(t, os.WriteFile(p.path, []byte(config), 0o600))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	return p
}

func (p *plane) start() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	started, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- server.Run(ctx, server.Options{
			Path: p.path, Logger: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Intervals: p.intervals,
			Sources: []server.OpenSource{serve.Announce(func(http, _ string) { p.oxd = http })},
			Started: func(api, xds string) { p.api, p.xds = api, xds; close(started) },
		})
	}()
	select {
	case <-started:
	case err := <-done:
		cancel()
		require.FailNow(p.t, "not started", "%v", err)
	}
	p.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(p.t, <-done)
	})
	p.t.Cleanup(p.stop)
}

func (p *plane) application() *application {
	p.t.Helper()
	require.NotEmpty(p.t, p.oxd)
	return &application{t: p.t, base: "http://" + p.oxd}
}

func (p *plane) get(path string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.api+path, nil)
	require.NoError(p.t, err)
	file := filepath.Join(filepath.Dir(p.path), "umagate.db.token")
	if _, err := os.Stat(file); err != nil {
		file = p.path + ".token" // with PostgreSQL there is no other place
	}
	token, err := api.ReadLocalToken(file)
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}

func (p *plane) status() (s server.Status) {
	p.t.Helper()
	require.NoError(p.t, json.Unmarshal([]byte(p.get("/v1/status")), &s))
	return s
}

// until waits for the status to satisfy ok.
func (p *plane) until(what string, ok func(server.Status) bool) {
	p.t.Helper()
	var last server.Status
	require.Eventually(p.t, func() bool {
		last = p.status()
		return ok(last)
	}, within, 5*time.Millisecond, "%s; the problems: %v", what, &last.Problems)
}

// requireNoSecrets looks for what the AS was sent and must not be shown.
func (p *plane) requireNoSecrets(as *devas.Server) {
	p.t.Helper()
	shown := p.log.String() + p.get("/v1/status") + p.get("/metrics")
	found := 0
	for _, e := range devas.Endpoints() {
		for _, c := range as.Calls(e) {
			for _, credential := range []string{
				strings.TrimPrefix(strings.TrimPrefix(c.Header.Get("Authorization"), "Bearer "), "Basic "),
				c.Form.Get("client_secret"), c.Form.Get("client_assertion"),
			} {
				if credential != "" {
					found++
					require.NotContains(p.t, shown, credential)
				}
			}
		}
	}
	require.Positive(p.t, found, "no secret was sent, so none was looked for")
}

func startAS(t *testing.T, options devas.Options) *devas.Server {
	t.Helper()
	as, err := devas.New(options)
	require.NoError(t, err)
	stop, err := as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	t.Cleanup(stop)
	return as
}

// module is the filter that `make wasm` builds.
func module(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", "build", "umagate.wasm"))
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "the filter is not built: make wasm")
	return path
}

// protected is an Envoy that has everything from the plane.
type protected struct {
	*envoy.Process

	t    *testing.T
	base string
}

func (p *plane) protect(options envoy.Options) *protected {
	p.t.Helper()
	file, err := site.Load(p.path)
	require.NoError(p.t, err)
	file.Envoy.XDS, file.Envoy.Listener = p.xds, "127.0.0.1:0"
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(p.t, err)
	options.Bootstrap, err = protojson.Marshal(bootstrap)
	require.NoError(p.t, err)
	process := envoytest.Start(p.t, options)
	return &protected{Process: process, t: p.t, base: "http://" + envoytest.Address(p.t.Context(), p.t, process, "umagate")}
}

func (e *protected) get(path, token string) *http.Response {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.base+path, nil)
	require.NoError(e.t, err)
	req.Host = "photos.example.com"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(e.t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(e.t, resp.Body.Close())
	return resp
}

func acknowledged(s server.Status) bool {
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
