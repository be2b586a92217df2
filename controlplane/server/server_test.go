package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/e2e/devas"
)

// within bounds every wait for a condition. It is for a machine that is ten times
// slower than the one that a test was written on.
const within = 2 * time.Minute

// quick lets tests see in milliseconds what takes minutes.
func quick() server.Intervals {
	return server.Intervals{Watch: 10 * time.Millisecond, Site: registration.Intervals{
		Retry: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond, Sync: 100 * time.Millisecond, Probe: 20 * time.Millisecond,
		Forgotten: time.Millisecond, Doubt: 5 * time.Millisecond,
	}}
}

// log is what a control plane wrote, to be searched for secrets.
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

// plane is a control plane that a test starts and stops.
type plane struct {
	t         *testing.T
	dir       string
	log       *log
	intervals server.Intervals
	// sources bring sites beside the file's.
	sources []server.OpenSource

	api, xds string
	// reached is api for other goroutines than the test's.
	reached atomic.Value
	stop    func()
}

// target is where the control plane's API is, for a handler that stands before it.
func (p *plane) target() *url.URL {
	host, _ := p.reached.Load().(string)
	return &url.URL{Scheme: "http", Host: host}
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{t: t, dir: t.TempDir(), log: &log{}, intervals: quick()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	return p
}

func (p *plane) path() string { return filepath.Join(p.dir, "umagate.yaml") }

// write makes umagate.yaml appear at once, as an editor does.
func (p *plane) write(content string) {
	p.t.Helper()
	temp := p.path() + ".new"
	require.NoError(p.t, os.WriteFile(temp, []byte(content), 0o600))
	require.NoError(p.t, os.Rename(temp, p.path()))
}

// beside makes a file beside umagate.yaml appear at once.
func (p *plane) beside(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	require.NoError(p.t, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(p.t, os.Rename(path+".new", path))
}

// run runs it on context.Background but for the test's own end.
func (p *plane) start() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- server.Run(ctx, server.Options{
			Path: p.path(), Logger: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Intervals: p.intervals, Version: "test", Sources: p.sources,
			Started: func(api, xds string) { p.api, p.xds = api, xds; p.reached.Store(api); close(started) },
		})
	}()
	select {
	case <-started:
	case err := <-done:
		cancel()
		require.FailNow(p.t, "not started", "%v", err)
	}
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(p.t, <-done)
		})
	}
	p.t.Cleanup(p.stop)
}

func (p *plane) get(path string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.api+path, nil)
	require.NoError(p.t, err)
	p.authorize(req)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return resp.StatusCode, string(body)
}

// authorize calls with the token that serve made beside the store.
func (p *plane) authorize(req *http.Request) {
	p.t.Helper()
	path := filepath.Join(p.dir, "umagate.db.token")
	if _, err := os.Stat(path); err != nil {
		path = p.path() + ".token" // with PostgreSQL there is no other place
	}
	token, err := api.ReadLocalToken(path)
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
}

func (p *plane) status() server.Status {
	p.t.Helper()
	code, body := p.get("/v1/status")
	require.Equal(p.t, http.StatusOK, code)
	var s server.Status
	require.NoError(p.t, json.Unmarshal([]byte(body), &s))
	return s
}

// until waits for the status to satisfy ok, and gives it.
func (p *plane) until(what string, ok func(server.Status) bool) server.Status {
	p.t.Helper()
	var last server.Status
	require.Eventually(p.t, func() bool {
		last = p.status()
		return ok(last)
	}, within, 5*time.Millisecond, "%s; the problems: %v", what, &last.Problems)
	return last
}

func allWell(s server.Status) bool { return s.OK }

func startAS(t *testing.T, options devas.Options) *devas.Server {
	t.Helper()
	as, err := devas.New(options)
	require.NoError(t, err)
	stop, err := as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	t.Cleanup(stop)
	return as
}

func (p *plane) config(issuer string, resources ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:1
  authorization_server:
    issuer: %s
    client: {register: {}}
  resources:
`, issuer)
	for _, r := range resources {
		fmt.Fprintf(&b, "  - {name: %s, type: \"https://example.com/%s\", conditions: [{paths: [\"/%s/**\"], scopes: [view, edit]}]}\n", r, r, r)
	}
	return b.String()
}

func names(as *devas.Server) []string {
	out := []string{}
	for _, r := range as.Resources() {
		out = append(out, r.Name)
	}
	return out
}

// secretsSeen lists what the AS was sent or gave out that must not be shown.
func (p *plane) requireNoSecrets(as *devas.Server) {
	p.t.Helper()
	shown := p.log.String()
	_, status := p.get("/v1/status")
	_, metrics := p.get("/metrics")
	shown += status + metrics
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
				require.NotContains(p.t, shown, credential)
			}
		}
	}
	require.Positive(p.t, found, "no secret was sent, so none was looked for")
}

func TestFromNothingToServing(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := startAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			p.write(p.config(as.Issuer(), "albums", "people"))
			p.start()
			s := p.until("all is well", allWell)
			require.Equal(t, name, s.Sites[0].Dialect)
			require.Equal(t, registration.Serving, s.Sites[0].Phase)
			require.True(t, s.Sites[0].Registered)
			require.NotEmpty(t, s.Sites[0].ClientID)
			require.Equal(t, 2, s.Sites[0].Resources.Registered)
			require.False(t, s.Sites[0].PATExpiresAt.IsZero())
			require.ElementsMatch(t, []string{"albums", "people"}, names(as))
			for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
				code, _ := p.get(path)
				require.Equal(t, http.StatusOK, code, path)
			}
			_, metrics := p.get("/metrics")
			require.Contains(t, metrics, `umagate_site_phase{phase="serving",site="photos"} 1`)
			require.Contains(t, metrics, `umagate_as_call_duration_seconds_count{code="201"`)
			p.requireNoSecrets(as)

			// The second start registers nothing twice, and gets no PAT while it has one.
			before := as.Count(devas.EndpointRegistration)
			tokens := as.Count(devas.EndpointToken)
			p.stop()
			p.start()
			again := p.until("all is well", allWell)
			require.Equal(t, s.Sites[0].ClientID, again.Sites[0].ClientID)
			require.Equal(t, s.Revision, again.Revision)
			require.Equal(t, before, as.Count(devas.EndpointRegistration))
			require.Equal(t, tokens, as.Count(devas.EndpointToken))
			require.Len(t, as.Resources(), 2)
		})
	}
}

func TestASDownAtStart(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	stop, err := as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	stop() // the address is known now, and nobody is there
	p := newPlane(t)
	p.write(p.config(as.Issuer(), "albums"))
	p.start()
	s := p.until("a failure is told", func(s server.Status) bool { return s.Sites[0].Failure != nil })
	require.Equal(t, registration.Discovering, s.Sites[0].Phase)
	require.NotEmpty(t, s.Sites[0].Failure.Remedy)
	require.NotEmpty(t, s.Revision, "a configuration that denies is there for Envoys")
	stop, err = as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	s = p.until("all is well", allWell)
	known := s.Revision

	// Started while the AS is down, it serves what it knew.
	p.stop()
	stop()
	p.start()
	require.Equal(t, known, p.status().Revision)
	require.NotEmpty(t, p.status().Pushed)
	require.Equal(t, 1, p.status().Sites[0].Resources.Registered)
	stop, err = as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	defer stop()
	s = p.until("all is well", allWell)
	require.Equal(t, known, s.Revision)
	require.Equal(t, 1, as.Count(devas.EndpointRegistration))
}

func TestFaultsOfTheAS(t *testing.T) {
	t.Parallel()
	every := []devas.Endpoint{devas.EndpointDiscovery, devas.EndpointRegistration, devas.EndpointToken, devas.EndpointResources}
	kinds := []devas.FaultKind{
		devas.FaultDown, devas.FaultStatus, devas.FaultHTML, devas.FaultEmpty, devas.FaultRateLimit, devas.FaultTruncated,
		devas.FaultOversized, devas.FaultWrongTypes, devas.FaultSlow,
	}
	for _, endpoint := range every {
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%s/%s", endpoint, kind), func(t *testing.T) {
				t.Parallel()
				as := startAS(t, devas.Options{})
				require.NoError(t, as.SetFault(devas.Fault{
					Endpoint: endpoint, Kind: kind, Count: 2, Delay: time.Millisecond, RetryAfter: time.Nanosecond, Size: 2 << 20,
				}))
				p := newPlane(t)
				p.write(p.config(as.Issuer(), "albums", "people"))
				p.start()
				p.until("all is well in the end", allWell)
				require.ElementsMatch(t, []string{"albums", "people"}, names(as), "nothing is registered twice")
				p.requireNoSecrets(as)
			})
		}
	}
}

func TestForgottenByTheAS(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()} {
		t.Run(name+"/the PAT", func(t *testing.T) {
			t.Parallel()
			as := startAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			p.write(p.config(as.Issuer(), "albums"))
			p.start()
			first := p.until("all is well", allWell)
			tokens := as.Count(devas.EndpointToken)
			as.ExpirePATs()
			p.until("another PAT is pushed", func(s server.Status) bool { return s.OK && s.Pushed["sds"] != first.Pushed["sds"] })
			require.Equal(t, tokens+1, as.Count(devas.EndpointToken), "renewed once")
		})
		t.Run(name+"/the client", func(t *testing.T) {
			t.Parallel()
			as := startAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			p.write(p.config(as.Issuer(), "albums"))
			p.start()
			first := p.until("all is well", allWell)
			as.ForgetClients()
			second := p.until("registered anew", func(s server.Status) bool {
				return s.OK && s.Sites[0].ClientID != first.Sites[0].ClientID && s.Revision != first.Revision
			})
			require.Equal(t, []string{"albums"}, names(as))
			require.Equal(t, 1, second.Sites[0].Resources.Registered)
		})
	}
	t.Run("a resource", func(t *testing.T) {
		t.Parallel()
		as := startAS(t, devas.Options{})
		p := newPlane(t)
		p.write(p.config(as.Issuer(), "albums"))
		p.start()
		first := p.until("all is well", allWell)
		lost := as.Resources()[0].ID
		p.deleteAtAS(as, lost)
		p.until("registered anew", func(s server.Status) bool { return s.OK && s.Revision != first.Revision })
		require.Equal(t, []string{"albums"}, names(as))
		require.NotEqual(t, lost, as.Resources()[0].ID)
	})
}

// deleteAtAS removes a resource with the PAT that the control plane used last.
func (p *plane) deleteAtAS(as *devas.Server, id string) {
	p.t.Helper()
	calls := as.Calls(devas.EndpointResources)
	last := calls[len(calls)-1]
	resp, err := http.Get(as.Issuer() + "/.well-known/uma2-configuration") //nolint:noctx // a test's own
	require.NoError(p.t, err)
	var metadata struct {
		Resources string `json:"resource_registration_endpoint"`
	}
	require.NoError(p.t, json.NewDecoder(resp.Body).Decode(&metadata))
	require.NoError(p.t, resp.Body.Close())
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodDelete, metadata.Resources+"/"+id, nil)
	require.NoError(p.t, err)
	req.Header.Set("Authorization", last.Header.Get("Authorization"))
	resp, err = http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	require.NoError(p.t, resp.Body.Close())
	require.Less(p.t, resp.StatusCode, 300)
}

func TestReload(t *testing.T) {
	t.Parallel()
	as := startAS(t, devas.Options{})
	p := newPlane(t)
	p.write(p.config(as.Issuer(), "albums", "people"))
	p.start()
	first := p.until("all is well", allWell)

	p.write("sites: [{name: photos, hots: [a]}]")
	s := p.until("the bad file is told of", func(s server.Status) bool { return s.ReloadError != "" })
	require.False(t, s.OK)
	require.Equal(t, first.Revision, s.Revision)
	require.Equal(t, "photos", s.Sites[0].Name)

	p.write(p.config(as.Issuer(), "people", "places"))
	p.until("taken over", func(s server.Status) bool {
		return s.OK && s.Revision != first.Revision && s.Sites[0].Resources.Registered == 2 && len(as.Resources()) == 2
	})
	require.ElementsMatch(t, []string{"people", "places"}, names(as), "what is no longer declared is gone")
	require.Equal(t, 1, as.Count(devas.EndpointRegistration))
}

func TestPlaintextIsForLoopback(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.write(strings.Replace(p.config("http://127.0.0.1:1", "albums"), `xds: "127.0.0.1:0"`, `xds: "0.0.0.0:0"`, 1))
	err := server.Run(t.Context(), server.Options{Path: p.path(), Logger: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "listen.insecure_plaintext: true")
}

func TestAPIAnswersToLoopbackNamesOnly(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.write(p.config("http://127.0.0.1:1", "albums"))
	p.start()
	_, port, err := net.SplitHostPort(p.api)
	require.NoError(t, err)
	for host, code := range map[string]int{
		"localhost:" + port: 200, "127.0.0.1": 200, "[::1]:" + port: 200, "LOCALHOST": 200,
		"rebound.example.com:" + port: 421, "rebound.example.com": 421, "127.0.0.1.example.com": 421, "192.0.2.1:" + port: 421,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.api+"/v1/status", nil)
		require.NoError(t, err)
		req.Host = host
		p.authorize(req)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, code, resp.StatusCode, host)
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
	}
}
