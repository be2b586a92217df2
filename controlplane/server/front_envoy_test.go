package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// named is an API that says its name.
func named(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return s.URL
}

// entry is a site of the file.
func entry(name, upstream, issuer string) string {
	if upstream != "" {
		upstream = "upstream: " + upstream
	}
	return fmt.Sprintf(`- name: %[1]s
  hosts: [%[1]s.example.com]
  %[2]s
  authorization_server: {issuer: %[3]s, client: {register: {}}}
  resources:
  - {name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}
  - {name: health, conditions: [{paths: ["/healthz"], public: true}]}
`, name, upstream, issuer)
}

func document(module, envoy string, entries ...string) string {
	return fmt.Sprintf(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
plugin: {wasm: %q}
envoy: {%s}
unknown_hosts: allow
released_hosts: [files.example.com]
sites:
%s`, module, envoy, strings.Join(entries, ""))
}

// ask sends a request without a token.
func (e *protected) ask(ctx context.Context, base, host, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// load asks again and again until it is stopped, and tells what was wrong.
type load struct {
	mu     sync.Mutex
	faults []string
	last   string
	n      int
}

func (e *protected) load(host, path string, fault func(status int, body string, err error) bool) (l *load, stop func()) {
	l = &load{}
	ctx, cancel := context.WithCancel(e.T.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				status, body, err := e.ask(ctx, e.Base, host, path)
				if ctx.Err() != nil {
					return
				}
				l.mu.Lock()
				l.n++
				l.last = fmt.Sprintf("%d %s", status, body)
				if fault(status, body, err) {
					l.faults = append(l.faults, fmt.Sprintf("%d %s %v", status, body, err))
				}
				l.mu.Unlock()
			}
		})
	}
	return l, func() {
		e.T.Helper()
		cancel()
		wg.Wait()
		require.Positive(e.T, l.n)
		require.Empty(e.T, l.faults, "%s%s, of %d", host, path, l.n)
	}
}

func (l *load) until(t *testing.T, last string) {
	t.Helper()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.HasPrefix(l.last, last)
	}, servertest.Within, 10*time.Millisecond, last)
}

// tells reports whether a condition is there, with those words.
func tells(kind health.Kind, words string) func(server.Status) bool {
	return func(s server.Status) bool {
		return slices.ContainsFunc(s.Conditions, func(c health.Condition) bool { return c.Name == kind.Name && strings.Contains(c.Message, words) })
	}
}

// TestRealEnvoyFollowsTheFile changes upstreams, sites and the listener under traffic.
// Where unknown hosts pass, a host must not be routed before the filter knows its site.
func TestRealEnvoyFollowsTheFile(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := servertest.StartAS(t, devas.Options{})
	one, two := named(t, "one"), named(t, "two")
	p := newPlane(t)
	listener := `listener: "127.0.0.1:0"`
	photos := entry("photos", one, as.Issuer())
	p.Write(document(servertest.Module(t), listener, photos))
	p.Start()
	p.Until("all is well before any Envoy is there", allWell)
	e := p.protect(envoy.Options{Binary: binary, Concurrency: 2})
	p.Until("Envoy has acknowledged everything", servertest.Acknowledged)
	e.requireTicket("/albums/1")

	steady, stopSteady := e.load("photos.example.com", "/healthz", func(status int, body string, err error) bool {
		return err != nil || status != http.StatusOK || body != "one" && body != "two"
	})
	steady.until(t, "200 one")
	unprotected, stopUnprotected := e.load("files.example.com", "/albums/1", func(status int, _ string, err error) bool {
		return err != nil || status == http.StatusOK
	})
	unprotected.until(t, "404")

	// Another upstream: no request is lost.
	photos = entry("photos", two, as.Issuer())
	p.Write(document(servertest.Module(t), listener, photos))
	steady.until(t, "200 two")
	p.Until("the upstream is followed", servertest.Acknowledged)

	// A site comes, goes, and comes again with another upstream.
	for _, upstream := range []string{one, two, one} {
		p.Write(document(servertest.Module(t), listener, photos, entry("files", upstream, as.Issuer())))
		unprotected.until(t, "401")
		p.Until("the site is there", servertest.Acknowledged)
		status, body, err := e.ask(t.Context(), e.Base, "files.example.com", "/healthz")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, map[string]string{one: "one", two: "two"}[upstream], body)
		p.Write(document(servertest.Module(t), listener, photos))
		unprotected.until(t, "404")
		p.Until("the site is gone", servertest.Acknowledged)
	}

	// A site without an upstream is served by nobody, and status says so.
	p.Write(document(servertest.Module(t), listener, photos, entry("files", "", as.Issuer())))
	p.Until("it is told", tells(health.SiteUnrouted, "has no route for files"))
	p.Write(document(servertest.Module(t), listener, photos))
	p.Until("mended", servertest.Acknowledged)
	stopUnprotected()
	stopSteady()

	// Another address.
	address, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, reservation.Close()) })
	p.Write(document(servertest.Module(t), fmt.Sprintf("listener: %q", address), photos))
	p.Until("the listener is followed", servertest.Acknowledged)
	require.Eventually(t, func() bool {
		status, _, err := e.ask(t.Context(), "http://"+address, "photos.example.com", "/healthz")
		return err == nil && status == http.StatusOK
	}, servertest.Within, 10*time.Millisecond)

	// What only a bootstrap can say.
	p.Write(document(servertest.Module(t), fmt.Sprintf("listener: %q, admin: off", address), photos))
	p.Until("the older bootstrap is told", tells(health.EnvoyBootstrapOutdated, "has bootstrap"))
}

// TestRealEnvoyWithAListenerOfItsOwn: a bootstrap of an earlier version, whose listener
// and upstreams are static, goes on, and status says what it does not follow. One whose
// listener takes the routes from here follows them.
func TestRealEnvoyWithAListenerOfItsOwn(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := servertest.StartAS(t, devas.Options{})
	one, two := named(t, "one"), named(t, "two")
	for name, follows := range map[string]bool{"static routes": false, "routes by RDS": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			p.Write(document(servertest.Module(t), "", entry("photos", one, as.Issuer())))
			p.Start()
			p.Until("all is well before any Envoy is there", allWell)
			file, err := site.Load(p.Path())
			require.NoError(t, err)
			file.Envoy.Listener = "127.0.0.1:0"
			e := p.protect(envoy.Options{Binary: binary}, func(b *bootstrapv3.Bootstrap) {
				listener, err := envoyconf.Listener(file)
				require.NoError(t, err)
				b.DynamicResources.LdsConfig, b.Node.Metadata = nil, nil
				if !follows {
					withRoutes(t, listener, file)
					upstreams, err := envoyconf.Upstreams(file)
					require.NoError(t, err)
					b.StaticResources.Clusters = append(b.StaticResources.Clusters, upstreams...)
				}
				b.StaticResources.Listeners = []*listenerv3.Listener{listener}
			})
			has := func(s server.Status) bool {
				return len(s.Envoys) == 1 && s.Envoys[0].Types[xds.ECDS].Acknowledged == s.Pushed[xds.ECDS] && s.Envoys[0].Types[xds.CDS].Acknowledged == s.Pushed[xds.CDS] &&
					(!follows || s.Envoys[0].Types[xds.RDS].Acknowledged == s.Pushed[xds.RDS])
			}
			s := p.Until("it has everything", func(s server.Status) bool {
				if !follows {
					return has(s) && tells(health.EnvoyNotFollowing, "does not follow upstream")(s)
				}
				return has(s) && s.OK
			})
			e.requireTicket("/albums/1")
			p.Write(document(servertest.Module(t), "", entry("photos", two, as.Issuer())))
			s = p.Until("it has the change", func(now server.Status) bool { return now.Pushed[xds.CDS] != s.Pushed[xds.CDS] && has(now) })
			require.Empty(t, s.Envoys[0].Types[xds.CDS].Refused)
			want := map[bool]string{false: "one", true: "two"}[follows]
			require.Eventually(t, func() bool {
				_, body, err := e.ask(t.Context(), e.Base, "photos.example.com", "/healthz")
				return err == nil && body == want
			}, servertest.Within, 10*time.Millisecond)
			e.requireTicket("/albums/2")
		})
	}
}

// TestRealEnvoyWithoutTheFilter: an Envoy with a listener of its own that takes the
// routes from here and has no filter gets none, and status says so.
func TestRealEnvoyWithoutTheFilter(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(document(servertest.Module(t), "", entry("photos", named(t, "one"), as.Issuer())))
	p.Start()
	p.Until("all is well before any Envoy is there", allWell)
	file, err := site.Load(p.Path())
	require.NoError(t, err)
	file.Envoy.Listener = "127.0.0.1:0"
	e := p.protect(envoy.Options{Binary: binary}, func(b *bootstrapv3.Bootstrap) {
		listener, err := envoyconf.Listener(file)
		require.NoError(t, err)
		withManager(t, listener, func(m *hcmv3.HttpConnectionManager) {
			m.HttpFilters = m.GetHttpFilters()[1:]
			// It goes on without routes, soon.
			m.GetRds().GetConfigSource().InitialFetchTimeout = durationpb.New(time.Second)
		})
		b.DynamicResources.LdsConfig, b.Node.Metadata = nil, nil
		b.StaticResources.Listeners = []*listenerv3.Listener{listener}
	})
	s := p.Until("it is told", tells(health.EnvoyUnfiltered, "umagate-envoy takes no filter"))
	require.False(t, s.OK)
	require.Empty(t, s.Envoys[0].Types[xds.RDS].Acknowledged)
	for _, path := range []string{"/albums/1", "/healthz"} {
		status, _, err := e.ask(t.Context(), e.Base, "photos.example.com", path)
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, status, path)
	}
	// A change brings it none either.
	p.Write(document(servertest.Module(t), "", entry("photos", named(t, "two"), as.Issuer())))
	p.Until("it has the change", func(now server.Status) bool {
		return now.Pushed[xds.CDS] != s.Pushed[xds.CDS] && now.Envoys[0].Types[xds.CDS].Acknowledged == now.Pushed[xds.CDS]
	})
	require.Empty(t, p.Status().Envoys[0].Types[xds.RDS].Acknowledged)
	status, _, err := e.ask(t.Context(), e.Base, "photos.example.com", "/albums/1")
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status)
}

// withRoutes puts the file's routes into the listener.
func withRoutes(t *testing.T, listener *listenerv3.Listener, file *site.File) {
	t.Helper()
	withManager(t, listener, func(m *hcmv3.HttpConnectionManager) {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: envoyconf.Routes(file)}
	})
}

// withManager changes the one HTTP connection manager of the listener.
func withManager(t *testing.T, listener *listenerv3.Listener, change func(*hcmv3.HttpConnectionManager)) {
	t.Helper()
	config := listener.GetFilterChains()[0].GetFilters()[0].GetTypedConfig()
	var manager hcmv3.HttpConnectionManager
	require.NoError(t, config.UnmarshalTo(&manager))
	change(&manager)
	require.NoError(t, config.MarshalFrom(&manager))
}
