package suite_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/plugin/config"
)

// keycloakKind is a real Keycloak.
func keycloakKind() asKind {
	return asKind{"keycloak", func(t *testing.T, o owner) *authServer {
		t.Helper()
		server, err := keycloak.Start(o.Context(), keycloaktest.Installation(t))
		require.NoError(t, err)
		o.Cleanup(func() {
			if o.Failed() {
				o.Log(server.LastWords())
			}
			server.Stop()
		})
		a := &authServer{
			kind: "keycloak", issuer: server.Issuer(), app: client{id: keycloak.AppClient}, light: client{id: "light"},
			hint: "requesting_party_token", claims: config.ClaimsFromToken, subjects: map[string]string{},
		}
		require.NoError(t, server.Admin(o.Context(), http.MethodPost, "/clients", map[string]any{
			"clientId": a.light.id, "publicClient": true, "directAccessGrantsEnabled": true,
			"attributes": map[string]string{"client.use.lightweight.access.token.enabled": "true"},
		}, nil))
		addRoles(t, server)
		a.rs = registerClient(t, a.issuer)
		a.discover(t, o)
		a.register(t)
		importPolicies(t, server, a.rs.id)
		gate(t, server, a.rs.id)
		for _, user := range []string{"alice", "bob"} {
			a.subjects[user] = subjectOf(t, a.accessToken(t.Context(), t, user))
		}
		claimOwnTokens(t, server, a)
		ownResource(t, server, a)
		return a
	}}
}

// addRoles makes alice an editor and puts her into two groups, which the application's
// tokens have for a claim.
func addRoles(t *testing.T, server *keycloak.Server) {
	t.Helper()
	type named struct {
		ID   string `json:"id"`
		Name string `json:"name,omitempty"`
	}
	admin := func(method, path string, in, out any) {
		t.Helper()
		require.NoError(t, server.Admin(t.Context(), method, path, in, out))
	}
	var alice, apps []named
	admin(http.MethodGet, "/users?exact=true&username=alice", nil, &alice)
	admin(http.MethodGet, "/clients?clientId="+keycloak.AppClient, nil, &apps)
	var editor named
	admin(http.MethodPost, "/roles", map[string]string{"name": "editor"}, nil)
	admin(http.MethodGet, "/roles/editor", nil, &editor)
	admin(http.MethodPost, "/users/"+alice[0].ID+"/role-mappings/realm", []named{editor}, nil)
	for _, name := range []string{"crew, and friends", "staff"} {
		admin(http.MethodPost, "/groups", map[string]string{"name": name}, nil)
	}
	var groups []named
	admin(http.MethodGet, "/groups", nil, &groups)
	for _, g := range groups {
		admin(http.MethodPut, "/users/"+alice[0].ID+"/groups/"+g.ID, nil, nil)
	}
	for name, claim := range map[string][2]string{"level": {"int", "3"}, "employed": {"boolean", "true"}} {
		admin(http.MethodPost, "/clients/"+apps[0].ID+"/protocol-mappers/models", map[string]any{
			"name": name, "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper",
			"config": map[string]string{"claim.name": name, "jsonType.label": claim[0], "claim.value": claim[1], "access.token.claim": "true", "introspection.token.claim": "true"},
		}, nil)
	}
	admin(http.MethodPost, "/clients/"+apps[0].ID+"/protocol-mappers/models", map[string]any{
		"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
		"config": map[string]string{"claim.name": "groups", "full.path": "false", "access.token.claim": "true", "introspection.token.claim": "true"},
	}, nil)
}

// registerClient registers a resource server by dynamic registration (RFC 7591).
func registerClient(t *testing.T, issuer string) client {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/clients-registrations/openid-connect", strings.NewReader(
		`{"client_name":"suite","redirect_uris":[],"grant_types":["client_credentials","`+grantUMA+`"]}`))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	status, body := send(t.Context(), t, request)
	require.Equal(t, http.StatusCreated, status, "%s", body)
	var answer struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	return client{answer.ID, secret.New(answer.Secret)}
}

// claimOwnTokens makes Keycloak take tokens as claim_token: only those that were issued to
// the resource server's own client, and they must name it, or introspection calls them
// inactive.
func claimOwnTokens(t *testing.T, server *keycloak.Server, a *authServer) {
	t.Helper()
	a.claimFormat, a.claimant = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken", a.rs
	id := clientUUID(t, server, a.rs.id)
	var whole map[string]any
	require.NoError(t, server.Admin(t.Context(), http.MethodGet, "/clients/"+id, nil, &whole))
	whole["directAccessGrantsEnabled"] = true
	require.NoError(t, server.Admin(t.Context(), http.MethodPut, "/clients/"+id, whole, nil))
	require.NoError(t, server.Admin(t.Context(), http.MethodPost, "/clients/"+id+"/protocol-mappers/models", map[string]any{
		"name": "itself", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
		"config": map[string]string{"included.client.audience": a.rs.id, "access.token.claim": "true", "introspection.token.claim": "true"},
	}, nil))
}

// ownResource gives alice the resource "owned".
func ownResource(t *testing.T, server *keycloak.Server, a *authServer) {
	t.Helper()
	var made struct {
		ID string `json:"_id"`
	}
	require.NoError(t, server.Admin(t.Context(), http.MethodPost, "/clients/"+clientUUID(t, server, a.rs.id)+"/authz/resource-server/resource", map[string]any{
		"name": "owned", "owner": map[string]string{"id": a.subjects["alice"]}, "ownerManagedAccess": true,
		"scopes": []any{map[string]string{"name": "view"}, map[string]string{"name": "edit"}},
	}, &made))
	require.NotEmpty(t, made.ID)
	a.resources["owned"] = made.ID
	share := func(scopes ...string) func(t *testing.T) {
		return func(t *testing.T) {
			t.Helper()
			require.NoError(t, server.Share(t.Context(), a.accessToken(t.Context(), t, "alice"), made.ID, "bob", scopes...))
		}
	}
	a.owned = ownedResource{approve: share("view"), takeBack: share(), requests: func(t *testing.T) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.issuer+"/account/resources/"+made.ID+"/permissions/requests", http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+a.accessToken(t.Context(), t, "alice"))
		request.Header.Set("Accept", "application/json")
		status, body := send(t.Context(), t, request)
		require.Equal(t, http.StatusOK, status, "%s", body)
		var waiting []struct{ Username string }
		require.NoError(t, json.Unmarshal(body, &waiting), "%s", body)
		for _, w := range waiting {
			require.Equal(t, "bob", w.Username)
		}
		return len(waiting)
	}}
}

// clientUUID is what the administration API knows a client by.
func clientUUID(t *testing.T, server *keycloak.Server, clientID string) string {
	t.Helper()
	var clients []struct {
		ID string `json:"id"`
	}
	require.NoError(t, server.Admin(t.Context(), http.MethodGet, "/clients?clientId="+url.QueryEscape(clientID), nil, &clients))
	require.Len(t, clients, 1)
	return clients[0].ID
}

// importPolicies says that alice may view and edit "album" and bob may view
// "other".
func importPolicies(t *testing.T, server *keycloak.Server, clientID string) {
	t.Helper()
	policy := func(name, kind string, config map[string]string) map[string]any {
		return map[string]any{"name": name, "type": kind, "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": config}
	}
	require.NoError(t, server.Admin(t.Context(), http.MethodPost, "/clients/"+clientUUID(t, server, clientID)+"/authz/resource-server/import", map[string]any{
		"policyEnforcementMode": "ENFORCING", "decisionStrategy": "UNANIMOUS", "allowRemoteResourceManagement": true,
		"resources": []any{}, "scopes": []any{},
		"policies": []any{
			policy("alice", "user", map[string]string{"users": `["alice"]`}),
			policy("bob", "user", map[string]string{"users": `["bob"]`}),
			policy("alice's", "scope", map[string]string{"resources": `["album"]`, "scopes": `["view","edit"]`, "applyPolicies": `["alice"]`}),
			policy("bob's", "scope", map[string]string{"resources": `["other"]`, "scopes": `["view"]`, "applyPolicies": `["bob"]`}),
		},
	}, nil))
}

// subjectOf reads the sub of a JWT.
func subjectOf(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims struct {
		Subject string `json:"sub"`
	}
	require.NoError(t, json.Unmarshal(payload, &claims))
	require.NotEmpty(t, claims.Subject)
	return claims.Subject
}
