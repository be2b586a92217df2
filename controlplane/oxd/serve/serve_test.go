package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

const oxdCallback = "https://app.example.com/cb"

// application speaks the protocol of oxd over HTTP, as one written for it does.
type application struct {
	t       *testing.T
	base    string
	oxdID   string
	idToken string
	token   string // protects commands
	warning string // of the last answer
}

// command returns the status and the data of the answer.
func (a *application) command(name string, params map[string]any) (status string, data map[string]any) {
	a.t.Helper()
	if params["oxd_id"] == nil && a.oxdID != "" {
		params["oxd_id"] = a.oxdID
	}
	raw, err := json.Marshal(params)
	require.NoError(a.t, err)
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.base+"/"+name, bytes.NewReader(raw))
	require.NoError(a.t, err)
	req.Header.Set("Content-Type", "application/json")
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(a.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(a.t, err)
	a.warning = resp.Header.Get("Warning")
	var envelope struct {
		Status string         `json:"status"`
		Data   map[string]any `json:"data"`
	}
	require.NoError(a.t, json.Unmarshal(body, &envelope), "%s", body)
	return envelope.Status, envelope.Data
}

func (a *application) ok(name string, params map[string]any) map[string]any {
	a.t.Helper()
	status, data := a.command(name, params)
	require.Equal(a.t, "ok", status, "%s: %v", name, data)
	return data
}

func (a *application) text(name string, params map[string]any, member string) string {
	a.t.Helper()
	s, _ := a.ok(name, params)[member].(string)
	require.NotEmpty(a.t, s)
	return s
}

// register sets a client up that commands the application, and registers it.
func (a *application) register(opHost string, scope ...string) {
	a.t.Helper()
	setup := a.ok("setup-client", map[string]any{
		"authorization_redirect_uri": oxdCallback, "scope": append([]string{"oxd"}, scope...), "grant_types": []string{"client_credentials"},
	})
	a.token = a.text("get-client-token", map[string]any{
		"op_host": opHost, "client_id": setup["client_id"], "client_secret": setup["client_secret"], "scope": []string{"oxd"},
	}, "access_token")
	a.oxdID = a.text("register-site", map[string]any{
		"authorization_redirect_uri": oxdCallback, "client_name": "photo app", "scope": scope,
		"grant_types": []string{"authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:uma-ticket"},
	}, "oxd_id")
}

func (a *application) login() {
	a.t.Helper()
	address := a.text("get-authorization-url", map[string]any{}, "authorization_url")
	back := browser.New(a.t, nil).Visit(a.t, address, oxdCallback, "alice", "alice").Query()
	a.idToken = a.text("get-tokens-by-code", map[string]any{"code": back.Get("code"), "state": back.Get("state")}, "id_token")
}

func (a *application) protect(overwrite bool, resources string) {
	a.t.Helper()
	a.ok("uma-rs-protect", map[string]any{"overwrite": overwrite, "resources": json.RawMessage(resources)})
}

func (a *application) check(method, rpt string) map[string]any {
	a.t.Helper()
	return a.ok("uma-rs-check-access", map[string]any{"rpt": rpt, "path": "/photo", "http_method": method})
}

func (a *application) rpt(ticket string) string {
	a.t.Helper()
	return a.text("uma-rp-get-rpt", map[string]any{
		"ticket": ticket, "claim_token": a.idToken, "claim_token_format": "http://openid.net/specs/openid-connect-core-1_0.html#IDToken",
	}, "access_token")
}

// oxdConfig serves applications, which have photos.example.com.
func oxdConfig(t *testing.T, issuer, upstream string) string {
	t.Helper()
	return fmt.Sprintf(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
plugin: {wasm: %q}
oxd:
  http: 127.0.0.1:0
  op_hosts: [{url: %q}]
  sites: [{client_name: photo app, hosts: [photos.example.com], upstream: %q}]
`, servertest.Module(t), issuer, upstream)
}

// ticketOf is the ticket of a challenge.
func ticketOf(resp *http.Response) string {
	_, after, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `ticket="`)
	ticket, _, _ := strings.Cut(after, `"`)
	return ticket
}

// TestOXDApplicationIsEnforced: what an application protects with uma_rs_protect,
// Envoy enforces at once; so what it changes.
func TestOXDApplicationIsEnforced(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(upstream.Close)
	as := servertest.StartAS(t, devas.Options{SkipConsent: true, Scopes: []string{"oxd"}, Users: []devas.User{{Name: "alice", Password: "alice"}}})
	p := newPlane(t, oxdConfig(t, as.Issuer(), upstream.URL))
	p.Start()
	app := p.application()
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy has acknowledged that there is nothing", func(s server.Status) bool {
		return len(s.Envoys) == 1 && s.Envoys[0].Types[xds.ECDS].Acknowledged == s.Pushed[xds.ECDS]
	})
	require.Equal(t, http.StatusForbidden, e.Get("/photo", "").StatusCode, "nobody has the host")

	app.register(as.Issuer(), "openid", "uma_protection")
	app.login()
	app.protect(false, `[{"path":"/photo","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)
	p.Until("Envoy has acknowledged the application's site", servertest.Acknowledged)
	resp := e.Get("/photo", "")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Contains(t, resp.Header.Get("WWW-Authenticate"), `UMA realm="rs"`)
	require.Equal(t, http.StatusForbidden, e.Get("/other", "").StatusCode)

	// The RPT for Envoy's ticket opens Envoy, and check_access says so.
	_, err := as.Permit(devas.Policy{Resource: "[GET] /photo", Subjects: []string{"alice"}})
	require.NoError(t, err)
	rpt := app.rpt(ticketOf(resp))
	require.Equal(t, http.StatusOK, e.Get("/photo", rpt).StatusCode)
	require.Equal(t, "granted", app.check("GET", rpt)["access"])
	// And the other way round.
	ticket, _ := app.check("GET", "")["ticket"].(string)
	require.Equal(t, http.StatusOK, e.Get("/PHOTO?size=1", app.rpt(ticket)).StatusCode)

	// Overwriting: the old right is not enough for the new condition, the new path is
	// there, the old one gone.
	app.protect(true, `[{"path":"/photo","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"and":[{"var":0},{"var":1}]},"data":["view","print"]}}]},
		{"path":"/albums/{id}/**","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)
	p.Until("Envoy has acknowledged the change", servertest.Acknowledged)
	for path, want := range map[string]int{"/photo": http.StatusUnauthorized, "/albums/1/2/3": http.StatusUnauthorized, "/albums": http.StatusForbidden} {
		require.Equal(t, want, e.Get(path, rpt).StatusCode, path)
	}
	resp = e.Get("/photo", rpt)
	rpt = app.rpt(ticketOf(resp))
	require.Equal(t, http.StatusOK, e.Get("/photo", rpt).StatusCode, "alice has both scopes")
	require.Equal(t, "granted", app.check("GET", rpt)["access"])
	e.requireNoSite(as)

	// A restart serves the same from the store, also while the AS is away.
	p.Stop()
	require.NoError(t, as.SetFault(devas.Fault{Kind: devas.FaultDown}))
	p.Start()
	s := p.Status()
	require.Len(t, s.Sites, 1)
	require.Equal(t, "oxd-"+app.oxdID, s.Sites[0].Name)
	require.Equal(t, 2, s.Sites[0].Resources.Registered)
	as.ClearFaults("")

	// Removed: nobody has the host again.
	app = &application{t: t, base: "http://" + p.oxd, oxdID: app.oxdID, token: app.token}
	app.ok("remove-site", map[string]any{})
	p.Until("the site is gone", func(s server.Status) bool { return len(s.Sites) == 0 })
	p.RequireNoSecrets(as)
}

// requireNoSite: no credential of the application is in Envoy's configuration.
func (e *protected) requireNoSite(as *devas.Server) {
	e.T.Helper()
	dump, err := e.ConfigDump(e.T.Context())
	require.NoError(e.T, err)
	for _, endpoint := range []devas.Endpoint{devas.EndpointToken, devas.EndpointResources, devas.EndpointPermission, devas.EndpointIntrospection} {
		for _, call := range as.Calls(endpoint) {
			if _, credential, ok := strings.Cut(call.Header.Get("Authorization"), " "); ok {
				require.NotContains(e.T, dump, credential)
			}
		}
	}
}
