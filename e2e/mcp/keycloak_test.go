package mcp_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// TestKeycloak: the same with a real Keycloak, whose client scopes say which API a token is for.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	as := keycloaktest.Start(t)
	address := reserve(t)
	admin := func(method, path string, in, out any) {
		t.Helper()
		require.NoError(t, as.Admin(t.Context(), method, path, in, out))
	}
	admin(http.MethodPost, "/clients", map[string]any{"clientId": "albums-api", "secret": "albums-secret", "serviceAccountsEnabled": true, "standardFlowEnabled": false}, nil)
	audience := func(name, member, value string) map[string]any {
		return map[string]any{
			"name": name, "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
			"config": map[string]string{member: value, "access.token.claim": "true", "introspection.token.claim": "true"},
		}
	}
	for _, name := range []string{"use", "delete"} {
		admin(http.MethodPost, "/client-scopes", map[string]any{
			"name": name, "protocol": "openid-connect", "attributes": map[string]string{"include.in.token.scope": "true"},
			"protocolMappers": []map[string]any{
				audience("resource", "included.custom.audience", "http://"+address+serverPath), // what clients are given
				audience("api", "included.client.audience", "albums-api"),                      // which asks what they are worth
			},
		}, nil)
	}
	// Python asks for offline_access where the AS has it, and TypeScript asks for no more scopes
	// while it has a refresh token.
	for client, refresh := range map[string]string{"agent": "true", "desktop": "false"} {
		admin(http.MethodPost, "/clients", map[string]any{
			"clientId": client, "publicClient": true, "redirectUris": []string{callback}, "optionalClientScopes": []string{"use", "delete", "offline_access"},
			"attributes": map[string]string{"pkce.code.challenge.method": "S256", "use.refresh.tokens": refresh},
		}, nil)
	}
	w := newWorld(t, address, as.Issuer(), "{id: albums-api, secret: albums-secret}")
	w.clients = map[string]string{"go": "agent", "python": "agent", "typescript": "desktop"}
	for name, connect := range agents() {
		t.Run(name, func(t *testing.T) {
			a := connect(t.Context(), t, w)
			require.Equal(t, toolsBut(), a.tools())
			text, problem := a.call(t, getAlbum)
			require.Empty(t, problem)
			require.Contains(t, text, "album 1 is shown for ")
		})
	}
	stepUp(t, w)
}
