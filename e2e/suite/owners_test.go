package suite_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// ownersAS is an AS at which the control plane registers itself, and alice gives
// rights to her own albums.
type ownersAS struct {
	*authServer
	// ready lets alice make albums, once the client is registered.
	ready func(t *testing.T, clientID string)
	// share gives bob scopes on an album, by alice's own decision.
	share func(t *testing.T, name, id string, scopes ...string)
	// names lists the resources of the client.
	names func(t *testing.T) []string
}

func ownersDevAS(t *testing.T, o owner) *ownersAS {
	t.Helper()
	dev, err := devas.New(devas.Options{
		Users:   []devas.User{{Name: "alice", ID: "sub-of-alice", Password: "alice"}, {Name: "bob", ID: "sub-of-bob", Password: "bob"}},
		Clients: []devas.Client{{ID: "app", Secret: "app-secret"}},
		Scopes:  []string{"view", "edit", "create"},
	})
	require.NoError(t, err)
	stop, err := dev.Start(o.Context())
	require.NoError(t, err)
	o.Cleanup(stop)
	a := &ownersAS{authServer: &authServer{kind: "devas", issuer: dev.Issuer(), app: newAppClient()}}
	a.endpoints.Token = dev.Issuer() + "/token"
	permit := func(t *testing.T, p devas.Policy) {
		t.Helper()
		_, err := dev.Permit(p)
		require.NoError(t, err)
	}
	a.ready = func(t *testing.T, _ string) {
		t.Helper()
		permit(t, devas.Policy{Resource: "albums", Scopes: []string{"create"}, Subjects: []string{"alice"}})
	}
	a.share = func(t *testing.T, name, _ string, scopes ...string) {
		t.Helper()
		permit(t, devas.Policy{Resource: name, Scopes: scopes, Subjects: []string{"bob"}})
		// The specification's owner is the PAT's, so alice needs to be let in, too.
		permit(t, devas.Policy{Resource: name, Scopes: []string{"view", "edit"}, Subjects: []string{"alice"}})
	}
	a.names = func(*testing.T) []string {
		var names []string
		for _, r := range dev.Resources() {
			names = append(names, r.Name)
		}
		return names
	}
	return a
}

func ownersKeycloak(t *testing.T, o owner) *ownersAS {
	t.Helper()
	kc, err := keycloak.Start(o.Context(), keycloaktest.Installation(t))
	require.NoError(t, err)
	o.Cleanup(func() {
		if o.Failed() {
			o.Log(kc.LastWords())
		}
		kc.Stop()
	})
	a := &ownersAS{authServer: &authServer{kind: "keycloak", issuer: kc.Issuer(), app: client{id: keycloak.AppClient}}}
	a.endpoints.Token = kc.Issuer() + "/protocol/openid-connect/token"
	clientID := ""
	a.ready = func(t *testing.T, id string) {
		t.Helper()
		clientID = id
		require.NoError(t, kc.ManageAuthorization(t.Context(), id))
		require.NoError(t, kc.ImportPolicies(t.Context(), id, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"create"}}))
	}
	a.share = func(t *testing.T, _, id string, scopes ...string) {
		t.Helper()
		token, err := kc.Token(t.Context(), "alice")
		require.NoError(t, err)
		// Keycloak lets an owner use a scope of her own once somebody has it from her.
		require.NoError(t, kc.Share(t.Context(), token, id, "bob", scopes...))
	}
	a.names = func(t *testing.T) []string {
		t.Helper()
		var resources []struct {
			Name  string
			Owner struct{ Name string }
		}
		require.NoError(t, kc.Admin(t.Context(), http.MethodGet, "/clients/"+clientID+"/authz/resource-server/resource?max=1000", nil, &resources))
		var names []string
		for _, r := range resources {
			names = append(names, r.Name)
			if strings.HasPrefix(r.Name, "album-") {
				require.Equal(t, "alice", r.Owner.Name, "who made it owns it")
			}
		}
		return names
	}
	return a
}

// owners is umagate.yaml of the tests.
func (p *plane) owners(instances string) {
	p.t.Helper()
	wasm, err := filepath.Abs(module)
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(filepath.Join(p.folder, "umagate.yaml"), fmt.Appendf(nil, `
listen: {api: %q, xds: %q, instances: %q}
store: "sqlite:%s/umagate.db"
plugin: {wasm: %q}
envoy: {listener: "127.0.0.1:0", access_log: "off", node_id: owners}
sites:
- name: photos
  hosts: [photos.test]
  upstream: http://%s
  authorization_server: {issuer: %q, client: {register: {}}}
  resources:
  - {name: albums, conditions: [{paths: ["/albums"], methods: [POST], scopes: [create]}]}
  - name: album-{id}
    type: https://example.com/types/album
    on_create: register
    conditions:
    - {paths: ["/albums/{id}", "/albums/{id}/**"], methods: [GET], scopes: [view]}
    - {paths: ["/albums/{id}"], methods: [PUT, DELETE], scopes: [edit]}
`, p.api, p.xds, instances, p.folder, wasm, p.upstream, p.issuer), 0o600))
}

// compiled is what the control plane gives to Envoys, for gateways that are none.
func (p *plane) compiled(t *testing.T, instances string) delivery {
	t.Helper()
	ctx := t.Context()
	file, err := site.Load(filepath.Join(p.folder, "umagate.yaml"))
	require.NoError(t, err)
	kept, err := store.Open(ctx, secret.New("sqlite:umagate.db"), p.folder, secret.Text{})
	require.NoError(t, err)
	defer func() { require.NoError(t, kept.Close()) }()
	s := &file.Sites[0]
	client, err := as.New(s.ASConfig(nil))
	require.NoError(t, err)
	found, err := client.Discover(ctx)
	require.NoError(t, err)
	key := store.Key{Site: s.Name, Issuer: p.issuer}
	resources, err := kept.Resources(ctx, key)
	require.NoError(t, err)
	ids := map[string]string{}
	for _, r := range resources {
		ids[r.Name] = r.ID
	}
	registered, err := kept.Client(ctx, key)
	require.NoError(t, err)
	pat, err := kept.PAT(ctx, key)
	require.NoError(t, err)
	shared, err := kept.SharedSecret(ctx, "instances", secret.New("never"))
	require.NoError(t, err)
	d := delivery{}
	d.config, err = site.Compile(file, map[string]site.Facts{s.Name: site.FactsOf(found, ids)})
	require.NoError(t, err)
	host, _, _ := strings.Cut(strings.TrimPrefix(p.issuer, "http://"), "/")
	d.clusters = map[string]cluster{
		site.IntrospectionCluster(s.Name): {host, envoyconf.Basic(registered.ClientID, registered.Secret)},
		site.ProtectionCluster(s.Name):    {host, envoyconf.Bearer(pat.Value)},
		site.InstancesCluster:             {instances, envoyconf.Bearer(shared)},
	}
	return d
}

// TestOwners: each album has a registration and an owner of its own, who alone says
// who gets in.
func TestOwners(top *testing.T) {
	var shared *ownersAS // Keycloak takes long to start
	for _, g := range []string{"native", "wazero", "envoy"} {
		top.Run(g, func(gt *testing.T) {
			gt.Run("devas", func(t *testing.T) {
				if g == "envoy" {
					envoytest.Binary(t)
				}
				// Of its own: its policies name resources, whoever's they are.
				owners(t, g, ownersDevAS(t, t))
			})
			gt.Run("keycloak", func(t *testing.T) {
				if g == "envoy" {
					envoytest.Binary(t)
				}
				if shared == nil {
					shared = ownersKeycloak(t, top)
				}
				// Each control plane has a client of its own, and so names of its own.
				owners(t, g, shared)
			})
		})
	}
}

func owners(t *testing.T, kind string, authority *ownersAS) {
	t.Helper()
	readModule(t)
	api := startAPI(t)
	p := newPlane(t, authority.issuer, api.address)
	instances := freeAddress(t)
	p.owners(instances)
	out, err := p.command("validate", "-c", "umagate.yaml").CombinedOutput()
	require.NoError(t, err, "%s", out)
	p.start()
	status := p.until("the site is served", func(s server.Status) bool { return len(s.Sites) == 1 && s.Sites[0].Phase == registration.Serving })
	authority.ready(t, status.Sites[0].ClientID)

	e := &env{t: t, host: "photos.test", api: api, as: authority.authServer}
	switch kind {
	case "native":
		e.gw = nativeKind().start(t, api.address, p.compiled(t, instances))
	case "wazero":
		e.gw = wasmKind().start(t, api.address, p.compiled(t, instances))
	default:
		bootstrap, err := p.command("render", "bootstrap", "-c", "umagate.yaml").Output()
		require.NoError(t, err)
		process := envoytest.Start(t, envoy.Options{Binary: envoytest.Binary(t), Bootstrap: bootstrap, Concurrency: suiteWorkers})
		p.until("Envoy has everything", acknowledged)
		e.gw = &envoyGateway{process: process, at: envoytest.Address(t.Context(), t, process, "umagate")}
	}
	e.client = newClient(t, e.gw.address())
	w := &ownersWorld{env: e, plane: p, as: authority}
	w.story(t)
}

// ownersWorld is everything that the story needs.
type ownersWorld struct {
	*env

	plane *plane
	as    *ownersAS
}

func (w *ownersWorld) ask(t *testing.T, method, path, token, body string) *answer {
	t.Helper()
	return w.client.do(t, w.request(t, &step{method: method, path: path, body: body}, token))
}

// rptFor trades the ticket of a refused request for a person's RPT.
func (w *ownersWorld) rptFor(t *testing.T, person, method, path string) (string, error) {
	t.Helper()
	r := w.ask(t, method, path, "", "")
	require.Equal(t, 401, r.status, "%s %s: %s", method, path, r.body)
	return w.as.rpt(t.Context(), t, person, parseChallenge(r.header.Get("Www-Authenticate")).params["ticket"], "")
}

// create has alice make an album, and gives its path and its name at the AS.
func (w *ownersWorld) create(t *testing.T, token string) (path, name string) {
	t.Helper()
	r := w.ask(t, "POST", "/albums", token, `{"owner":"alice","title":"Fjords"}`)
	require.Equal(t, 201, r.status, "%s", r.body)
	path = r.header.Get("Location")
	return path, "album-" + strings.TrimPrefix(path, "/albums/")
}

func (w *ownersWorld) story(t *testing.T) {
	t.Helper()
	creates, err := w.rptFor(t, "alice", "POST", "/albums")
	require.NoError(t, err)

	// Nobody has registered these: whether the API has them or not, the answer is one.
	for _, path := range []string{"/albums/2", "/albums/999", "/albums/999/photos"} {
		r := w.ask(t, "GET", path, "", "")
		require.Equal(t, "resource_unknown", r.code, "%s: %s", path, r.body)
		require.Equal(t, 403, r.status)
	}

	// Alice makes an album, and at once it is hers.
	path, name := w.create(t, creates)
	_, err = w.rptFor(t, "bob", "GET", path)
	require.ErrorIs(t, err, errDenied, "alice has not let bob in")
	require.Contains(t, w.as.names(t), name)
	w.as.share(t, name, w.registered(t, name), "view")
	views, err := w.rptFor(t, "bob", "GET", path)
	require.NoError(t, err)
	require.Equal(t, 200, w.ask(t, "GET", path, views, "").status)
	require.Equal(t, 200, w.ask(t, "GET", path+"/photos", views, "").status)
	r := w.ask(t, "DELETE", path, views, "")
	require.Equal(t, "insufficient_permission", r.code, "%s", r.body)

	// Nobody gets an album by shaping what the API says of another.
	w.shape(t, creates)

	// It is of no use for another one.
	other, otherName := w.create(t, creates)
	r = w.ask(t, "GET", other, views, "")
	require.Equal(t, "insufficient_permission", r.code, "%s", r.body)
	// Nor is a path below the one, which a server reads as the other's.
	for _, up := range []string{"/%C4%AE%C4%AE", "/..%20", "/x%D0%AF..%D0%AF.."} {
		r = w.ask(t, "GET", path+up+strings.TrimPrefix(other, "/albums"), views, "")
		require.Equal(t, "ambiguous_path", r.code, "%s: %s", up, r.body)
	}
	// Envoy closes the connection after a 400, and each worker has a memory of its own:
	// the worker of the new connection asks for the album here.
	require.Equal(t, 200, w.ask(t, "GET", path, views, "").status)

	// The control plane goes. What is known goes on, what is not is denied, and what
	// is made meanwhile is registered when it is back.
	w.plane.kill()
	require.Equal(t, 200, w.ask(t, "GET", path, views, "").status)
	r = w.ask(t, "GET", "/albums/777", views, "")
	require.Equal(t, "control_plane_unreachable", r.code, "%s", r.body)
	require.Equal(t, 503, r.status)
	late, lateName := w.create(t, creates)
	r = w.ask(t, "GET", late, "", "")
	require.NotEqual(t, 200, r.status)
	w.plane.start()
	waitForLong(t, "what was made meanwhile", func() bool { return w.ask(t, "GET", late, "", "").status == 401 })
	require.Contains(t, w.as.names(t), lateName)
	require.Equal(t, 200, w.ask(t, "GET", path, views, "").status)

	// Alice deletes it.
	w.as.share(t, otherName, w.registered(t, otherName), "view", "edit")
	edits, err := w.rptFor(t, "alice", "DELETE", other)
	require.NoError(t, err)
	require.Equal(t, 204, w.ask(t, "DELETE", other, edits, "").status)
	r = w.ask(t, "GET", other, edits, "")
	require.Equal(t, "resource_unknown", r.code, "at once: %s", r.body)
	waitForLong(t, "the AS has it no more", func() bool { return !slices.Contains(w.as.names(t), otherName) })
}

// shape makes albums while the API builds its Location with what the client sends: a
// header that a proxy would set is removed, and from a Location that names another
// album before a query or a fragment, or another authority, nothing follows.
func (w *ownersWorld) shape(t *testing.T, token string) {
	t.Helper()
	made := func(header, prefix string) string {
		r := w.request(t, &step{method: "POST", path: "/albums", body: `{"owner":"alice","title":"Fjords"}`}, token)
		r.Header.Set(header, prefix)
		a := w.client.do(t, r)
		require.Equal(t, 201, a.status, "%s", a.body)
		return a.header.Get("Location")
	}
	path := made("X-Forwarded-Prefix", "/albums/2?")
	require.Regexp(t, `^/albums/\d+$`, path)
	for _, prefix := range []string{"/albums/2?", "/albums/2#", "http://photos.test/albums/2?", "http://another.test/albums/2?", "http://another.test:80", "http://photos.test:8080", "/albums/2;"} {
		location := made("X-Suite-Prefix", prefix)
		require.True(t, strings.HasPrefix(location, prefix), location)
	}
	// The ends of all these come before the next one's on their workers: once an album
	// that is made now is registered, nothing else is to come.
	after, afterName := w.create(t, token)
	waitForLong(t, "the album is registered", func() bool { return w.ask(t, "GET", after, "", "").status == 401 })
	waitForLong(t, "so is that of the header", func() bool { return w.ask(t, "GET", path, "", "").status == 401 })
	names := w.as.names(t)
	require.Contains(t, names, afterName)
	require.NotContains(t, names, "album-2")
	require.Equal(t, "resource_unknown", w.ask(t, "GET", "/albums/2", "", "").code)
}

// registered is the id of an instance, as the control plane has it.
func (w *ownersWorld) registered(t *testing.T, name string) string {
	t.Helper()
	kept, err := store.Open(t.Context(), secret.New("sqlite:umagate.db"), w.plane.folder, secret.Text{})
	require.NoError(t, err)
	defer func() { require.NoError(t, kept.Close()) }()
	in, err := kept.Instance(t.Context(), store.Key{Site: "photos", Issuer: w.as.issuer}, name)
	require.NoError(t, err)
	require.Equal(t, store.InstanceRegistered, in.State)
	return in.ID
}

func waitForLong(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 50*time.Millisecond, what)
}
