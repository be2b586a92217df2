package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/e2e/browser"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// TestRealKeycloakClients lets a real Keycloak judge the ways of authentication,
// key rotation, updates, logins and removal.
func TestRealKeycloakClients(t *testing.T) {
	t.Parallel()
	as := keycloaktest.Start(t)
	clients := map[string]string{
		"client_secret_basic":     "client_secret_basic",
		"client_secret_post":      "client_secret_post",
		"client_secret_jwt":       "client_secret_jwt",
		"client_secret_jwt HS512": "client_secret_jwt, token_endpoint_auth_signing_alg: HS512",
		"private_key_jwt":         "private_key_jwt",
		"audience token endpoint": "private_key_jwt, assertion_audience: token_endpoint",
	}
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		clients["private_key_jwt "+alg] = "private_key_jwt, token_endpoint_auth_signing_alg: " + alg
	}
	// Deep enough for a PAT and a resource; Keycloak's introspection takes no PAT, so
	// this is what a command does.
	t.Run("authentication", func(t *testing.T) {
		for name, client := range clients {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newPlane(t)
				config := p.client(as.Issuer(), "register: {client_name: "+name+"}, token_endpoint_auth_method: "+client, "albums")
				p.Write(strings.Replace(config, "    client:", "    timeout: 30s # many ask one Keycloak at once\n    client:", 1))
				done, _, err := p.operation().Apply(t.Context(), nil)
				require.NoError(t, err)
				require.Equal(t, 1, done.Done)
				left, err := p.operation().Remove(t.Context(), false)
				require.NoError(t, err)
				require.Empty(t, left)
			})
		}
	})
	t.Run("key rotation and updates", func(t *testing.T) {
		t.Parallel()
		p := newPlane(t)
		config := func(name string) string {
			return p.client(as.Issuer(), "register: {client_name: "+name+"}, token_endpoint_auth_method: private_key_jwt, keys: {overlap: 0s}", "albums")
		}
		p.Write(config("first"))
		p.Start()
		first := p.Until("all is well", allWell)
		for range 3 {
			keys, err := p.operation().RotateKeys(t.Context())
			require.NoError(t, err)
			used := keys[len(keys)-1]
			require.Equal(t, store.KeyActive, used.State)
			p.Until("in use", func(s server.Status) bool { return s.OK && s.Sites[0].KeyID == used.ID })
		}
		p.Write(config("second"))
		require.Eventually(t, func() bool {
			var found []struct {
				Name string `json:"name"`
			}
			err := as.Admin(t.Context(), http.MethodGet, "/clients?clientId="+url.QueryEscape(first.Sites[0].ClientID), nil, &found)
			return err == nil && len(found) == 1 && found[0].Name == "second"
		}, servertest.Within, 20*time.Millisecond)
		s := p.Until("all is well", allWell)
		require.Equal(t, first.Sites[0].ClientID, s.Sites[0].ClientID)
		_, err := p.operation().RotateKeys(t.Context())
		require.NoError(t, err, "the registration access token has been followed")
	})
	t.Run("login", func(t *testing.T) {
		t.Parallel()
		p := newPlane(t)
		p.Write(p.person(as.Issuer(), "register: {}", "albums"))
		p.Start()
		s := p.Until("somebody has to log in", func(s server.Status) bool {
			return s.Sites[0].Failure != nil && s.Sites[0].Phase == registration.GettingPAT
		})
		letProtect(t, as, s.Sites[0].ClientID, "alice")
		const redirect = "http://127.0.0.1:1/callback"
		m := p.operation()
		login, err := m.Login(t.Context(), redirect)
		require.NoError(t, err)
		back := browser.New(t, nil).Visit(t, login.Address(), redirect, "alice", "alice")
		require.Equal(t, as.Issuer(), back.Query().Get("iss"), "RFC 9207")
		person, err := m.FinishLogin(t.Context(), login, back.Query())
		require.NoError(t, err)
		require.Equal(t, "alice", person.Name)
		s = p.Until("all is well", allWell)
		require.Equal(t, 1, s.Sites[0].Resources.Registered)

		require.NoError(t, as.Logout(t.Context(), "alice"))
		p.Until("the PAT still serves, or it is told", func(s server.Status) bool {
			return s.OK || s.Sites[0].Failure != nil && strings.Contains(s.Sites[0].Failure.Remedy, "umagate login")
		})
	})
	t.Run("software statement", func(t *testing.T) {
		t.Parallel()
		p := newPlane(t)
		p.Write(p.client(as.Issuer(), `register: {software_statement: "a.b.c"}`, "albums"))
		p.Start()
		s := p.Until("it is told", func(s server.Status) bool { return s.Sites[0].Failure != nil })
		require.Contains(t, s.Sites[0].Failure.Remedy, "software_statement")
		p.Write(p.client(as.Issuer(), `register: {metadata: {software_statements: "x"}}`, "albums"))
		s = p.Until("it is told", func(s server.Status) bool {
			return s.Sites[0].Failure != nil && strings.Contains(s.Sites[0].Failure.Message, "400")
		})
		require.Contains(t, s.Sites[0].Failure.Message, "software_statements")
	})
}

// letProtect gives a person the right to have resources at a resource server.
func letProtect(t *testing.T, as *keycloak.Server, clientID, person string) {
	t.Helper()
	var clients, users []struct {
		ID string `json:"id"`
	}
	require.NoError(t, as.Admin(t.Context(), http.MethodGet, "/clients?clientId="+url.QueryEscape(clientID), nil, &clients))
	require.NoError(t, as.Admin(t.Context(), http.MethodGet, "/users?exact=true&username="+person, nil, &users))
	require.Len(t, clients, 1)
	require.Len(t, users, 1)
	var role map[string]any
	require.NoError(t, as.Admin(t.Context(), http.MethodGet, fmt.Sprintf("/clients/%s/roles/uma_protection", clients[0].ID), nil, &role))
	require.NoError(t, as.Admin(t.Context(), http.MethodPost, fmt.Sprintf("/users/%s/role-mappings/clients/%s", users[0].ID, clients[0].ID), []any{role}, nil))
}
