package envoygateway_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/sampleapi"
	"github.com/umagate/umagate/e2e/mesh"
	"github.com/umagate/umagate/e2e/mesh/loadtest"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
	"github.com/umagate/umagate/e2e/mesh/pagetest"
)

// TestMain gives the tests a network of their own, in which ports can be fixed.
func TestMain(m *testing.M) {
	pagetest.AsUmagate()
	meshtest.Main(m)
}

const (
	issuer   = "http://as.example.com:9400"
	frontend = "http://127.0.0.1:8888"
)

const file = `listen: {api: "127.0.0.1:0", xds: "127.0.0.1:18010", insecure_plaintext: true}
store: sqlite:umagate.db
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server:
    issuer: ` + issuer + `
    insecure_http: true
    timeout: 2s
    client: {id: photos-api, secret: {env: PHOTOS_API_SECRET}}
  token: {max_ttl: 2s}
  limits: {tickets_per_second: 1000000, ticket_burst: 1000000}
  resources:
  - name: albums
    conditions:
    - {paths: ["/albums/{id}"], methods: [GET], scopes: [view]}
  - {name: health, conditions: [{paths: [/healthz], public: true}]}
`

// route leads what comes to port 8888 to the API.
const route = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  gatewayClassName: eg
  listeners: [{name: http, protocol: HTTP, port: 8888}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: photos, namespace: edge}
spec:
  parentRefs: [{name: public}]
  hostnames: [photos.example.com]
  rules:
  - backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: api}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: api, namespace: edge}
spec:
  endpoints: [{ip: {address: 127.0.0.1, port: 3000}}]
`

// world is everything but the objects that umagate renders.
type world struct {
	t        *testing.T
	as       *devas.Server
	registry *mesh.Registry
	plane    *servertest.Plane
	gateway  *mesh.Gateway
}

func newWorld(t *testing.T) *world {
	t.Helper()
	meshtest.RequireIsolation(t)
	w := &world{t: t, registry: meshtest.StartRegistry(t)}
	w.as = servertest.StartAS(t, devas.Options{
		Issuer: issuer, Listen: "127.0.0.1:9400", SkipConsent: true, LiveIntrospection: true,
		Users:   []devas.User{{Name: "alice", Password: "alice"}},
		Clients: []devas.Client{{ID: "photos-api", Secret: "photos-api-secret"}, {ID: "app", Secret: "app-secret"}},
	})
	photos, err := sampleapi.New().Start(context.WithoutCancel(t.Context()), "127.0.0.1:3000", nil)
	require.NoError(t, err)
	t.Cleanup(photos.Stop)
	t.Setenv("PHOTOS_API_SECRET", "photos-api-secret")
	w.plane = servertest.New(t)
	w.plane.Write(file)
	w.startPlane()
	w.gateway = meshtest.StartGateway(t, "edge", "public", route)
	return w
}

func (w *world) startPlane() {
	w.t.Helper()
	w.plane.Start()
	w.plane.Until("the resources are registered", func(s server.Status) bool { return len(s.Sites) == 1 && s.Sites[0].Phase == registration.Serving })
}

// umagate runs the command line.
func (w *world) umagate(args ...string) string {
	w.t.Helper()
	var out, problems bytes.Buffer
	code := cli.Run(w.t.Context(), cli.Environment{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &problems, LookupEnv: os.LookupEnv,
		OpenBrowser: func(context.Context, string) error { return nil },
	}, args)
	require.Equal(w.t, cli.ExitOK, code, "%v\n%s", args, problems.String())
	return out.String()
}

func (w *world) render(args ...string) string {
	w.t.Helper()
	return w.umagate(append([]string{"render", "envoy-gateway", "-c", w.plane.Path(), "-n", "edge", "--gateway", "public"}, args...)...)
}

// rpt gets a token for what a request needs, as alice.
func (w *world) rpt(r loadtest.Request) string {
	w.t.Helper()
	_, err := w.as.Permit(devas.Policy{Resource: "albums", Scopes: []string{"view"}, Subjects: []string{"alice"}})
	require.NoError(w.t, err)
	w.t.Setenv("UMAGATE_CLIENT_SECRET", "app-secret")
	w.t.Setenv("UMAGATE_PASSWORD", "alice")
	return strings.TrimSpace(w.umagate("rpt", "--client", "app", "--user", "alice", "--insecure-http", "-H", "Host: "+r.Host, "--print-token", r.URL))
}

// TestStory walks through the life of a site. Requests are sent all the time, and each
// answer is compared.
func TestStory(t *testing.T) {
	w := newWorld(t)
	module := servertest.Module(t)
	_, err := w.registry.PushModule(t.Context(), module, "umagate/module:v1")
	require.NoError(t, err)
	first := "oci://" + w.registry.Address + "/umagate/module:v1"
	load := loadtest.Start(t)
	album := loadtest.Request{URL: frontend + "/albums/1", Host: "photos.example.com"}
	load.Phase("before")
	load.Add("anonymous", album, http.StatusOK, http.StatusNotFound, 0) // until the routes are there
	load.Becomes("anonymous", http.StatusOK)

	load.Phase("install")
	load.May("anonymous", http.StatusOK, http.StatusUnauthorized)
	require.NoError(t, w.gateway.Apply("umagate", w.render("--wasm", first)))
	load.Becomes("anonymous", http.StatusUnauthorized)
	rpt := album
	rpt.Token = w.rpt(album)
	load.Add("alice", rpt, http.StatusOK)
	forged := album
	forged.Token = "forged"
	load.Add("forged", forged, http.StatusUnauthorized)
	load.Add("public", loadtest.Request{URL: frontend + "/healthz", Host: album.Host}, http.StatusOK)
	load.Add("unlisted", loadtest.Request{URL: frontend + "/albums", Host: album.Host}, http.StatusForbidden)
	load.More(50)

	load.Phase("change")
	w.plane.Write(strings.Replace(file, "paths: [/healthz]", "paths: [/healthz, /albums]", 1))
	load.May("unlisted", http.StatusForbidden, http.StatusOK)
	require.NoError(t, w.gateway.Apply("umagate", w.render("--wasm", first)))
	load.Becomes("unlisted", http.StatusOK)
	load.More(50)

	load.Phase("umagate down")
	w.plane.Stop()
	load.More(100)
	w.startPlane()
	load.More(50)

	load.Phase("upgrade of the module")
	content, err := os.ReadFile(module)
	require.NoError(t, err)
	// A section that says nothing makes it another module.
	other := filepath.Join(t.TempDir(), "umagate.wasm")
	require.NoError(t, os.WriteFile(other, append(content, 0, 2, 1, 'v'), 0o600))
	_, err = w.registry.PushModule(t.Context(), other, "umagate/module:v2")
	require.NoError(t, err)
	load.May("unlisted", http.StatusForbidden, http.StatusOK)
	w.plane.Write(file) // what is in force with the new module
	require.NoError(t, w.gateway.Apply("umagate", w.render("--wasm", "oci://"+w.registry.Address+"/umagate/module:v2")))
	load.Becomes("unlisted", http.StatusForbidden)
	load.More(50)

	load.Phase("the authorization server is down")
	load.May("anonymous", http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable)
	load.May("forged", http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable)
	load.May("alice", http.StatusOK, http.StatusServiceUnavailable)
	require.NoError(t, w.as.SetFault(devas.Fault{Kind: devas.FaultDown}))
	load.Becomes("anonymous", http.StatusForbidden)      // there is no ticket to give
	load.Becomes("alice", http.StatusServiceUnavailable) // her token's time is over, and nobody says more of it
	load.More(50)
	load.May("alice", http.StatusOK, http.StatusServiceUnavailable)
	load.May("anonymous", http.StatusUnauthorized, http.StatusForbidden)
	w.as.ClearFaults(devas.EndpointAny)
	load.Becomes("anonymous", http.StatusUnauthorized)
	load.Becomes("forged", http.StatusUnauthorized)
	load.Becomes("alice", http.StatusOK)

	load.Phase("revoked at the authorization server")
	load.May("alice", http.StatusOK, http.StatusUnauthorized)
	w.as.ForbidAll()
	load.Becomes("alice", http.StatusUnauthorized)

	load.Phase("removal")
	for _, name := range []string{"anonymous", "alice", "forged"} {
		load.May(name, http.StatusOK, http.StatusUnauthorized)
	}
	load.May("unlisted", http.StatusOK, http.StatusForbidden)
	// The filter first: what it calls must be there as long as it is.
	patches, _, found := strings.Cut(w.render("--wasm", first), "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\n")
	require.True(t, found)
	require.NoError(t, w.gateway.Apply("umagate", patches))
	load.Becomes("anonymous", http.StatusOK)
	require.NoError(t, w.gateway.Apply("umagate", ""))
	load.More(50)
}
