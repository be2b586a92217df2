package istio_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
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
	"github.com/umagate/umagate/e2e/pki"
)

// TestMain gives the tests a network of their own, in which ports can be fixed.
func TestMain(m *testing.M) {
	pagetest.AsUmagate()
	meshtest.Main(m)
}

const (
	issuer  = "https://as.example.com:9443"
	xds     = "127.0.0.1:18000"
	gateway = "http://127.0.0.1:8888"
)

// file is umagate.yaml, to which a test adds what it needs.
const file = `listen: {api: "127.0.0.1:0", xds: "` + xds + `", insecure_plaintext: true}
store: sqlite:umagate.db
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server:
    issuer: ` + issuer + `
    tls: {ca_file: ca.pem}
    client: {id: photos-api, secret: {env: PHOTOS_API_SECRET}}
    timeout: 2s
  token: {max_ttl: 2s}
  limits: {tickets_per_second: 1000000, ticket_burst: 1000000}
  resources:
  - name: albums
    conditions:
    - {paths: ["/albums/{id}"], methods: [GET], scopes: [view]}
    - {paths: ["/albums/{id}"], methods: [DELETE], scopes: [edit]}
  - {name: health, conditions: [{paths: [/healthz], public: true}]}
`

// mesh of a test: everything but the objects that umagate renders.
type world struct {
	t        *testing.T
	as       *devas.Server
	api      *mesh.APIServer
	istiod   *mesh.Istiod
	registry *mesh.Registry
	plane    *servertest.Plane
	proxy    *mesh.Proxy
	module   string
	// authority is that of the authorization server's certificate.
	authority *pki.Authority
}

// encrypt has the authorization server speak https at its issuer.
func (w *world) encrypt() {
	w.t.Helper()
	w.authority = pki.New(w.t, "test")
	pair := w.authority.Issue(w.t, pki.Leaf{Names: []string{"as.example.com"}})
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	require.NoError(w.t, err)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: w.as.Address()})
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	// What is broken off there is broken off here.
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	listener, err := tls.Listen("tcp", "127.0.0.1:9443", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	require.NoError(w.t, err)
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: servertest.Within, ErrorLog: proxy.ErrorLog}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	w.t.Cleanup(func() {
		_ = server.Close() // the test is over
		<-done
	})
}

// ingress leads what comes to port 8888 to the API.
const ingress = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8888, name: http, protocol: HTTP}
    hosts: [photos.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: photos, namespace: edge}
spec:
  hosts: [photos.example.com]
  gateways: [public]
  http:
  - route:
    - destination: {host: api.example.com, port: {number: 3000}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: edge}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 3000, name: http, protocol: HTTP}]
`

func newWorld(t *testing.T) *world {
	t.Helper()
	meshtest.RequireIsolation(t)
	w := &world{t: t, module: servertest.Module(t)}
	w.as = servertest.StartAS(t, devas.Options{
		Issuer: issuer, Listen: "127.0.0.1:9400", SkipConsent: true, LiveIntrospection: true, RPTFormat: devas.FormatJWT,
		Users:   []devas.User{{Name: "alice", Password: "alice"}},
		Clients: []devas.Client{{ID: "photos-api", Secret: "photos-api-secret"}, {ID: "app", Secret: "app-secret"}},
	})
	w.encrypt()
	photos, err := sampleapi.New().Start(context.WithoutCancel(t.Context()), "127.0.0.1:3000", nil)
	require.NoError(t, err)
	t.Cleanup(photos.Stop)
	w.registry = meshtest.StartRegistry(t)
	w.api = meshtest.StartAPIServer(t)
	w.istiod = meshtest.StartIstiod(t, w.api)
	w.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: edge}}`)
	w.apply(ingress)
	t.Setenv("PHOTOS_API_SECRET", "photos-api-secret")
	w.plane = servertest.New(t)
	w.plane.Beside("ca.pem", string(w.authority.PEM))
	w.plane.Write(file)
	w.startPlane()
	return w
}

func (w *world) startPlane() {
	w.t.Helper()
	w.plane.Start()
	w.plane.Until("the resources are registered", func(s server.Status) bool { return len(s.Sites) == 1 && s.Sites[0].Phase == registration.Serving })
}

// clean looks at objects as kubectl and istioctl do.
func (w *world) clean(objects string) {
	w.t.Helper()
	_, err := w.api.Kubectl(w.t.Context(), objects, "apply", "--dry-run=server", "-f", "-")
	require.NoError(w.t, err)
	path := filepath.Join(w.t.TempDir(), "objects.yaml")
	require.NoError(w.t, os.WriteFile(path, []byte(objects), 0o600))
	out, err := w.api.Istioctl(w.t.Context(), "", "validate", "-f", path)
	require.NoError(w.t, err)
	require.NotContains(w.t, strings.ToLower(out), "warning")
	require.NotContains(w.t, objects, "photos-api-secret")
}

// rpt gets a token for what a request needs, as alice.
func (w *world) rpt(r loadtest.Request) string {
	w.t.Helper()
	_, err := w.as.Permit(devas.Policy{Resource: "albums", Scopes: []string{"view"}, Subjects: []string{"alice"}})
	require.NoError(w.t, err)
	w.t.Setenv("UMAGATE_CLIENT_SECRET", "app-secret")
	w.t.Setenv("UMAGATE_PASSWORD", "alice")
	return strings.TrimSpace(w.umagate("rpt", "--client", "app", "--user", "alice", "--cacert", filepath.Join(w.plane.Dir, "ca.pem"), "-H", "Host: "+r.Host, "--print-token", r.URL))
}

// keys are those that the authorization server signs with, as a set of JWKs.
func (w *world) keys() string {
	w.t.Helper()
	return w.get("http://" + w.as.Address() + "/jwks")
}

func (w *world) get(address string) string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(w.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, response.StatusCode)
	return string(text)
}

// runs is the file of the module that the gateway runs.
func (w *world) runs() string {
	w.t.Helper()
	return moduleFile.FindString(w.get("http://" + w.proxy.Admin + "/config_dump?resource=ecds_filters"))
}

var moduleFile = regexp.MustCompile(`/var/lib/istio/data/[^"]+`)

func (w *world) apply(yaml string) {
	w.t.Helper()
	require.NoError(w.t, w.api.Apply(w.t.Context(), yaml))
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

// render makes the objects for the gateway, which pulls the module from the registry.
func (w *world) render(args ...string) string {
	w.t.Helper()
	return w.umagate(append([]string{"render", "istio", "-c", w.plane.Path(), "-n", "edge", "--gateway-selector", "istio=ingressgateway"}, args...)...)
}

func (w *world) startGateway() {
	w.t.Helper()
	w.proxy = meshtest.StartProxy(w.t, w.istiod, mesh.ProxyOptions{
		Role: "router", Namespace: "edge", Labels: `{"istio":"ingressgateway"}`, Registry: w.registry.Address,
	})
}
