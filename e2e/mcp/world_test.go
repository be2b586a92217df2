package mcp_test

import (
	"context"
	"maps"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/e2e/browser"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// callback is where the browser is sent back to. Nobody listens there: the test takes the
// address, as a program on a desktop does that has it pasted.
const callback = "http://127.0.0.1:9/callback"

// world is an MCP server behind a real Envoy, and somebody who can log in at its AS.
type world struct {
	t     *testing.T
	plane *servertest.Plane
	// url is all that a client is given.
	url    string
	person string
	// clients are their client_ids, by the name of the agent; those that are not there
	// register themselves.
	clients map[string]string
	file    string // its umagate.yaml, up to what is asked of requests
}

// site is the file of the world: URL is the resource identifier, and HOST its host.
const site = `
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0", instances: "127.0.0.1:0"}
envoy: {listener: "ADDRESS"}
plugin: {wasm: "WASM"}
sites:
- name: albums
  hosts: [127.0.0.1]
  upstream: UPSTREAM
  authorization_server: {issuer: ISSUER, client: CLIENT}
  metadata: {identifiers: ["URL"], name: Albums}
`

// newWorld starts it; client is how umagate's client at the AS is made.
func newWorld(t *testing.T, address, issuer, client string) *world {
	t.Helper()
	api := httptest.NewServer(newAlbums())
	t.Cleanup(api.Close)
	return newWorldOf(t, address, api.URL, issuer, client)
}

// newWorldOf has another MCP server.
func newWorldOf(t *testing.T, address, upstream, issuer, client string) *world {
	t.Helper()
	binary := envoytest.Binary(t)
	w := &world{t: t, plane: servertest.New(t), url: "http://" + address + serverPath, person: "alice"}
	w.file = strings.NewReplacer(
		"ADDRESS", address, "WASM", servertest.Module(t), "UPSTREAM", upstream, "ISSUER", issuer, "CLIENT", client, "URL", w.url,
	).Replace(site)
	w.plane.Write(w.file + scopes)
	w.plane.Start()
	w.plane.Protect(envoy.Options{Binary: binary})
	w.plane.Until("Envoy has acknowledged everything", servertest.Acknowledged)
	return w
}

// change asks something else of requests, and returns when Envoy does.
func (w *world) change(settings string) {
	w.t.Helper()
	was := w.plane.Status().Pushed
	w.plane.Write(w.file + settings)
	w.plane.Until("Envoy has acknowledged the change", func(s server.Status) bool {
		return servertest.Acknowledged(s) && !maps.Equal(s.Pushed, was)
	})
}

// reserve is an address that Envoy is going to listen on: clients are told of it before.
func reserve(t *testing.T) string {
	t.Helper()
	address, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { _ = reservation.Close() })
	_, _, err = net.SplitHostPort(address)
	require.NoError(t, err)
	return address
}

// logIn is what the person does in front of the AS's page, and returns where the browser is
// sent back to.
func (w *world) logIn(t *testing.T, page string) string {
	t.Helper()
	require.Contains(t, page, "code_challenge_method=S256")
	require.Contains(t, page, "resource=http")
	return browser.New(t, nil).Visit(t, page, callback, w.person, w.person).String()
}

// agent is a client of MCP that has connected and has listed the tools.
type agent interface {
	// call calls a tool and returns what it answers, or what the client tells of a refusal.
	call(t *testing.T, tool string) (text, problem string)
	// tools are those that it was shown first, and list asks for them again.
	tools() []string
	list(t *testing.T) []string
	// asked are the pages that the person was sent to, so far.
	asked() []string
}

// connect starts an agent.
type connect func(ctx context.Context, t *testing.T, w *world) agent

func agents() map[string]connect {
	return map[string]connect{"go": connectGo, "python": connectPython, "typescript": connectTypeScript}
}
