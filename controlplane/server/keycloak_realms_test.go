package server_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// realmClients are the API's client in a realm, and a client for its people whose tokens
// are for the API.
func realmClients() []map[string]any {
	return []map[string]any{
		{"clientId": "api", "secret": "api-secret", "serviceAccountsEnabled": true, "standardFlowEnabled": false},
		{"clientId": "people", "publicClient": true, "directAccessGrantsEnabled": true, "protocolMappers": []map[string]any{{
			"name": "api", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
			"config": map[string]string{"included.client.audience": "api", "access.token.claim": "true"},
		}}},
	}
}

// TestRealKeycloakWithTwoRealms: two realms for the same paths of one host, one of them for
// a prefix of its own, too. Each token is judged by its own realm.
func TestRealKeycloakWithTwoRealms(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := keycloaktest.Start(t)
	for _, c := range realmClients() {
		require.NoError(t, as.Admin(t.Context(), http.MethodPost, "/clients", c, nil))
	}
	require.NoError(t, as.ImportRealm(t.Context(), map[string]any{
		"realm": "partners", "enabled": true, "clients": realmClients(),
		"users": []map[string]any{{
			"username": "carol", "enabled": true, "email": "carol@example.com", "firstName": "Carol", "lastName": "C",
			"credentials": []map[string]any{{"type": "password", "value": "carol"}},
		}},
	}))
	token := func(realm, person string) string {
		t.Helper()
		token, err := as.TokenIn(t.Context(), realm, "people", person)
		require.NoError(t, err)
		return token
	}

	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Subject", r.Header.Get("X-Uma-Subject"))
	}))
	t.Cleanup(api.Close)
	entry := func(name, settings, realm string) string {
		return fmt.Sprintf(`
- name: %s
  hosts: [photos.example.com]
  %s
  require: oauth_scopes
  token: {audiences: [api]}
  authorization_server: {issuer: "%s/realms/%s", client: {id: api, secret: api-secret}}
  resources: [{name: all, conditions: [{paths: ["/**"], scopes: [profile]}]}]
`, name, settings, as.URL(), realm)
	}
	p := newPlane(t)
	p.Write(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
plugin: {wasm: "` + servertest.Module(t) + `"}
sites:` +
		entry("staff", "upstream: "+api.URL, keycloak.Realm) + entry("partners", "chosen_by: issuer", "partners") +
		entry("extranet", "path_prefixes: [/extranet]\n  upstream: "+api.URL, "partners"))
	p.Start()
	p.Until("all is well before any Envoy is there", allWell)
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy has acknowledged everything", servertest.Acknowledged)

	alice, carol := token(keycloak.Realm, "alice"), token("partners", "carol")
	header, payload, signature := strings.Cut(alice, ".")
	require.True(t, signature)
	payload, last, _ := strings.Cut(payload, ".")
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	require.NoError(t, err)
	forged := header + "." + base64.RawURLEncoding.EncodeToString(bytes.Replace(claims, []byte("/realms/"+keycloak.Realm), []byte("/realms/partners"), 1)) + "." + last
	for _, tt := range []struct {
		name, path, token string
		status            int
	}{
		{"alice", "/albums/1", alice, 200},
		{"carol", "/albums/1", carol, 200},
		{"carol below the prefix", "/extranet/1", carol, 200},
		{"alice below the prefix of the other realm", "/extranet/1", alice, 401},
		{"alice who says that she is of the other realm", "/albums/1", forged, 401},
		{"the same below the prefix", "/extranet/1", forged, 401},
		{"alice once more", "/albums/1", alice, 200},
	} {
		resp := e.Get(tt.path, tt.token)
		require.Equal(t, tt.status, resp.StatusCode, "%s: %v", tt.name, resp.Header)
		require.Equal(t, tt.status == 200, resp.Header.Get("X-Subject") != "", tt.name)
	}
	require.NotEqual(t, e.Get("/albums/1", alice).Header.Get("X-Subject"), e.Get("/albums/1", carol).Header.Get("X-Subject"))
}
