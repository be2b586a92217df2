package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// aliased runs sites of one Keycloak that differ in the names that they have for it, behind a
// real Envoy. Each site's host is its name.
type aliased struct {
	t       *testing.T
	as      *keycloak.Server
	plane   *plane
	gateway *protected
	entries string
	api     string
}

func newAliased(t *testing.T, as *keycloak.Server) *aliased {
	t.Helper()
	require.NoError(t, as.ImportRealm(t.Context(), map[string]any{
		"realm": "names", "enabled": true, "sslRequired": "none", "clients": realmClients(),
		"users": []map[string]any{{
			"username": "carol", "enabled": true, "email": "carol@example.com", "firstName": "Carol", "lastName": "C",
			"credentials": []map[string]any{{"type": "password", "value": "carol"}},
		}},
	}))
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	return &aliased{t: t, as: as, api: api.URL}
}

// site adds one, which reads Keycloak's metadata at the address of loopback.
func (n *aliased) site(name, issuer, aliases, token string) {
	n.entries += fmt.Sprintf(`
- name: %[1]s
  hosts: [%[1]s.example.com]
  upstream: %[2]s
  require: oauth_scopes
  token: {audiences: [api]%[6]s}
  authorization_server:
    issuer: "%[3]s/realms/names"
    endpoints: {discovery: "%[4]s/realms/names/.well-known/uma2-configuration"}
    insecure_http: true
    client: {id: api, secret: api-secret}
%[5]s
  resources: [{name: all, conditions: [{paths: ["/**"], scopes: [profile]}]}]
`, name, n.api, issuer, n.as.URL(), aliases, token)
}

func (n *aliased) start(ready func(server.Status) bool) {
	n.t.Helper()
	n.plane = newPlane(n.t)
	n.plane.Write(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
plugin: {wasm: "` + servertest.Module(n.t) + `"}
sites:` + n.entries)
	n.plane.Start()
	n.plane.Until("the sites are as far as they get", ready)
	n.gateway = n.plane.protect(envoy.Options{Binary: envoytest.Binary(n.t)})
	n.plane.Until("Envoy has acknowledged everything", func(s server.Status) bool {
		s.OK = true
		return servertest.Acknowledged(s)
	})
}

// token asks Keycloak for carol's token by one of its host names.
func (n *aliased) token(host string) string {
	n.t.Helper()
	form := url.Values{"grant_type": {"password"}, "client_id": {"people"}, "username": {"carol"}, "password": {"carol"}}
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.as.URL()+"/realms/names/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	require.NoError(n.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	require.NoError(n.t, err)
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	require.NoError(n.t, json.NewDecoder(resp.Body).Decode(&answer))
	require.NotEmpty(n.t, answer.Token)
	return answer.Token
}

func (n *aliased) ask(site, token string) (int, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.gateway.Base+"/albums/1", http.NoBody)
	require.NoError(n.t, err)
	req.Host = site + ".example.com"
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(n.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(n.t, err)
	var problem struct{ Code string }
	_ = json.Unmarshal(body, &problem)
	return resp.StatusCode, problem.Code
}

// TestKeycloakWithTwoNames: a real Keycloak that people know by a public name, and umagate
// by the address inside. Its tokens have the public name: they pass where the file says
// that both are one, and nowhere else.
func TestKeycloakWithTwoNames(t *testing.T) {
	t.Parallel()
	const public = "https://keycloak.umagate.test"
	n := newAliased(t, keycloaktest.StartBehind(t, public))
	alias := func(of string) string { return `    issuer_aliases: ["` + of + `/realms/names"]` }
	n.site("inside", n.as.URL(), alias(public), "")
	n.site("outside", public, alias(n.as.URL()), "")
	n.site("public", public, "", "")
	n.site("strange", n.as.URL(), alias("https://elsewhere.umagate.test"), "")
	n.site("unnamed", n.as.URL(), "", "")
	n.start(func(s server.Status) bool {
		up := 0
		for i := range s.Sites {
			if s.Sites[i].Failure == nil && s.Sites[i].Phase == "serving" {
				up++
			}
		}
		return up == 3 && len(s.Sites) == 5 && len(s.Conditions) >= 2
	})
	token := n.token("")
	for site, want := range map[string]int{"inside": 200, "outside": 200, "public": 200, "strange": 503, "unnamed": 503} {
		got, code := n.ask(site, token)
		require.Equal(t, want, got, "%s: %s", site, code)
	}
	for _, s := range n.plane.Status().Sites {
		if s.Name == "strange" || s.Name == "unnamed" {
			require.Contains(t, s.Failure.Message, "issuer")
		}
	}
}

// TestKeycloakNamedByItsCaller: a real Keycloak without a host name of its own has that by
// which it is asked. It knows no token that it gave out by another, and umagate shows it
// none that the file does not name.
func TestKeycloakNamedByItsCaller(t *testing.T) {
	t.Parallel()
	n := newAliased(t, keycloaktest.Start(t))
	other := strings.Replace(n.as.URL(), "127.0.0.1", "localhost", 1)
	n.site("both", n.as.URL(), `    issuer_aliases: ["`+other+`/realms/names"]`, "")
	n.site("one", n.as.URL(), "", `, issuers: ["`+n.as.URL()+`/realms/names"]`)
	n.start(allWell)
	token, others := n.token(""), n.token(strings.TrimPrefix(other, "http://"))
	require.NotEqual(t, token, others)
	for _, site := range []string{"both", "one"} {
		got, code := n.ask(site, token)
		require.Equal(t, http.StatusOK, got, code)
		got, code = n.ask(site, others)
		require.Equal(t, http.StatusUnauthorized, got)
		require.Equal(t, "inactive_token", code, "Keycloak's own word")
	}
}
