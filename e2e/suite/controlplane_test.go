package suite_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	apiclient "github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// plane is the control plane as users run it: the umagate binary.
type plane struct {
	t                *testing.T
	folder, binary   string
	api, xds         string
	issuer, upstream string
	settings         string // of the site
	process          *exec.Cmd
	ended            chan error
}

func newPlane(t *testing.T, issuer, upstream string) *plane {
	t.Helper()
	p := &plane{t: t, folder: t.TempDir(), issuer: issuer, upstream: upstream, api: freeAddress(t), xds: freeAddress(t)}
	p.binary = filepath.Join(p.folder, "umagate")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.binary, "../../controlplane").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(p.folder, "log"))
			t.Logf("the control plane's log:\n%s", log[max(0, len(log)-4000):])
		}
	})
	return p
}

// freeAddress is a loopback address that nobody listens on now. The control plane
// has to come back where it was.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// write makes umagate.yaml appear at once. extra are conditions of the open
// resource.
func (p *plane) write(extra string) {
	p.t.Helper()
	wasm, err := filepath.Abs(module)
	require.NoError(p.t, err)
	path := filepath.Join(p.folder, "umagate.yaml")
	require.NoError(p.t, os.WriteFile(path+".new", fmt.Appendf(nil, `
listen: {api: %q, xds: %q}
store: "sqlite:%s/umagate.db"
plugin: {wasm: %q}
envoy: {listener: "127.0.0.1:0", access_log: "off", node_id: process}
sites:
- name: photos
  hosts: [photos.test, photos.localhost]
  upstream: http://%s
  authorization_server: {issuer: %q, client: {register: {}}}
  limits: {tickets_per_second: 5000, ticket_burst: 5000}
%s
  resources:
  - {name: photo-album, scopes: [view, edit], conditions: [{paths: ["/echo/album/**"], methods: [GET], scopes: [view]}]}
  - {name: open, conditions: [{paths: ["/healthz"], public: true}%s]}
`, p.api, p.xds, p.folder, wasm, p.upstream, p.issuer, p.settings, extra), 0o600))
	require.NoError(p.t, os.Rename(path+".new", path))
}

func (p *plane) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(context.WithoutCancel(p.t.Context()), p.binary, args...)
	c.Dir = p.folder
	return c
}

func (p *plane) start() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer log.Close()
	p.process = p.command("serve", "-c", "umagate.yaml")
	p.process.Stdout, p.process.Stderr = log, log
	require.NoError(p.t, p.process.Start())
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.process.Wait() }()
}

// kill is kill -9.
func (p *plane) kill() { p.end(syscall.SIGKILL) }

func (p *plane) end(signal syscall.Signal) {
	if p.process == nil {
		return
	}
	_ = p.process.Process.Signal(signal)
	<-p.ended
	p.process = nil
}

func (p *plane) status() (server.Status, bool) {
	var s server.Status
	control, err := apiclient.Local(p.api, filepath.Join(p.folder, "umagate.db.token"))
	if err != nil {
		return s, false
	}
	return s, control.Do(p.t.Context(), http.MethodGet, "/v1/status", nil, &s) == nil
}

// until waits for a status.
func (p *plane) until(what string, is func(s server.Status) bool) server.Status {
	p.t.Helper()
	var last server.Status
	require.Eventually(p.t, func() bool {
		s, ok := p.status()
		last = s
		return ok && is(s)
	}, time.Minute, 20*time.Millisecond, what)
	return last
}

// acknowledged reports whether the one Envoy has all that was pushed.
func acknowledged(s server.Status) bool {
	if !s.OK || len(s.Envoys) != 1 || !s.Envoys[0].Connected {
		return false
	}
	for _, kind := range xds.Types() {
		if s.Pushed[kind] == "" || s.Envoys[0].Types[kind].Acknowledged != s.Pushed[kind] {
			return false
		}
	}
	return true
}

// TestControlPlane runs the binary with a real Envoy: what is served goes on while
// the control plane is killed, stopped and started anew, and nothing is registered
// twice.
func TestControlPlane(t *testing.T) {
	binary := envoytest.Binary(t)
	readModule(t)
	api := startAPI(t)
	as, err := devas.New(devas.Options{
		Users:   []devas.User{{Name: "alice", Password: "alice"}},
		Clients: []devas.Client{{ID: "app", Secret: "app-secret"}},
		Scopes:  []string{"view", "edit"},
	})
	require.NoError(t, err)
	stop, err := as.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	p := newPlane(t, as.Issuer(), api.address)
	p.write("")
	out, err := p.command("validate", "-c", "umagate.yaml").CombinedOutput()
	require.NoError(t, err, "%s", out)
	bootstrap, err := p.command("render", "bootstrap", "-c", "umagate.yaml").Output()
	require.NoError(t, err)
	p.start()
	process := envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: bootstrap, Concurrency: suiteWorkers})
	p.until("Envoy has everything", acknowledged)
	_, err = as.Permit(devas.Policy{Resource: "photo-album", Subjects: []string{"alice"}})
	require.NoError(t, err)

	e := &env{t: t, host: "photos.test", api: api, as: &authServer{issuer: as.Issuer(), app: newAppClient()}}
	e.gw = &envoyGateway{process: process, at: envoytest.Address(t.Context(), t, process, "umagate")}
	e.client = newClient(t, e.gw.address())
	e.as.endpoints.Token = as.Issuer() + "/token"
	mint := func() string {
		rpt, err := e.as.rpt(t.Context(), t, "alice", e.ticketOf(t, "/echo/album/a"), "")
		require.NoError(t, err)
		return rpt
	}
	status := func(path, token string) int { return e.client.do(t, e.request(t, &step{path: path}, token)).status }
	token := mint()
	require.Equal(t, 200, status("/echo/album/a", token))

	permitted, none := e.request(t, &step{path: "/echo/album/a"}, token), e.request(t, &step{path: "/echo/album/a"}, "")
	steady := func(name string, plain *http.Request, want int) *load {
		return startLoad(t, e, 2, func() int { return 0 },
			func() *http.Request { return plain.Clone(context.WithoutCancel(t.Context())) },
			func(_, _ int, a *answer, err error) string {
				if err != nil {
					return name + " lost: " + err.Error()
				}
				if a.status != want {
					return fmt.Sprintf("%s: %d %s", name, a.status, a.body)
				}
				return ""
			})
	}
	allowed, ticketed := steady("a permitted request", permitted, 200), steady("a request without a token", none, 401)
	both := func() { allowed.more(t, 30); ticketed.more(t, 30) }
	both()

	// kill -9, and everything goes on: tokens are verified and tickets got without it.
	p.kill()
	both()
	require.Equal(t, 200, status("/echo/album/a", mint()))
	require.Equal(t, 403, status("/echo/later", ""))

	// It comes back with another file than it knew, and brings Envoy up to it.
	p.write(`, {paths: ["/echo/later"], public: true}`)
	p.start()
	s := p.until("Envoy has what changed meanwhile", acknowledged)
	waitFor(t, "the new condition", func() bool { return status("/echo/later", "") == 200 })
	require.Len(t, s.Sites, 1)
	both()

	// A stop in good order, and a file that a running control plane takes over.
	p.end(syscall.SIGTERM)
	both()
	p.start()
	before := p.until("Envoy is back", acknowledged)
	p.write("")
	p.until("the file is taken over", func(now server.Status) bool { return acknowledged(now) && now.Revision != before.Revision })
	waitFor(t, "the condition is gone", func() bool { return status("/echo/later", "") == 403 })
	both()
	require.Empty(t, allowed.end())
	require.Empty(t, ticketed.end())
	require.Equal(t, 1, as.Count(devas.EndpointRegistration), "one client")
	require.Len(t, as.Resources(), 1, "one resource")
}
