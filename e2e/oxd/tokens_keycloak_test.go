package oxd_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// protectedCommand calls the HTTP API with a protection token.
func protectedCommand(t *testing.T, to target, name, token string, params map[string]any) (status string, data map[string]any) {
	t.Helper()
	raw, err := json.Marshal(params)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to.http+"/"+name, bytes.NewReader(raw))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	var got struct {
		Status string         `json:"status"`
		Data   map[string]any `json:"data"`
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&got))
	return got.Status, got.Data
}

// atToken posts a form to Keycloak as a client.
func atToken(t *testing.T, kc *keycloak.Server, endpoint string, set map[string]any, form url.Values) map[string]any {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, kc.Issuer()+"/protocol/openid-connect/"+endpoint, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(set["client_id"].(string)+":"+set["client_secret"].(string))))
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Less(t, response.StatusCode, 300, endpoint)
	var got map[string]any
	_ = json.NewDecoder(response.Body).Decode(&got) // a revocation has no answer
	return got
}

// TestTokensOfKeycloak: whose a token is, and whether it is still good, is told of
// Keycloak's tokens as of any other's.
func TestTokensOfKeycloak(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.Start(t)
	to := serve(t, kc.Issuer(), true)
	set := setUp(t, to, map[string]any{"grant_types": []string{"authorization_code", "refresh_token", "client_credentials", "password"}})
	site := set["oxd_id"]
	given := func() string {
		token, _ := done(t, to, "get-client-token", map[string]any{
			"client_id": set["client_id"], "client_secret": set["client_secret"], "op_host": to.opHost,
		})["access_token"].(string)
		return token
	}
	clientCredentials := url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}
	alice := func(scope string) map[string]any {
		return atToken(t, kc, "token", set, url.Values{
			"grant_type": {"password"}, "username": {"alice"}, "password": {keycloak.Password("alice")}, "scope": {scope},
		})
	}
	text := func(token any) string {
		s, _ := token.(string)
		require.NotEmpty(t, s)
		return s
	}
	commands := func(t *testing.T, token string, codes ...string) { // or is refused with one of the codes
		t.Helper()
		status, data := protectedCommand(t, to, "get-rp", token, map[string]any{"oxd_id": site})
		if len(codes) == 0 {
			require.Equal(t, "ok", status, data)
			return
		}
		require.Contains(t, codes, data["error"], data)
	}
	active := func(t *testing.T, token string) bool {
		t.Helper()
		status, data := protectedCommand(t, to, "introspect-access-token", given(), map[string]any{"oxd_id": site, "access_token": token})
		require.Equal(t, "ok", status, data)
		isActive, _ := data["active"].(bool)
		return isActive
	}
	fetched := text(atToken(t, kc, "token", set, clientCredentials)["access_token"])
	t.Run("the client's own commands", func(t *testing.T) { //nolint:paralleltest // one Keycloak
		commands(t, given())
		commands(t, fetched)
	})
	t.Run("a person's does not", func(t *testing.T) { //nolint:paralleltest // as above
		for _, scope := range []string{"openid", "openid offline_access"} {
			commands(t, text(alice(scope)["access_token"]), "invalid_protection_access_token")
		}
		elsewhere, err := kc.Token(t.Context(), "alice") // of the client "app"
		require.NoError(t, err)
		// Keycloak 26.0 tells any client of it.
		commands(t, elsewhere, "inactive_protection_access_token", "invalid_protection_access_token")
	})
	t.Run("the setup client's own is active", func(t *testing.T) { //nolint:paralleltest // as above
		require.True(t, active(t, given()))
		require.True(t, active(t, fetched))
		require.True(t, active(t, text(alice("openid")["access_token"])))
	})
	t.Run("what has ended is not", func(t *testing.T) { //nolint:paralleltest // as above
		own := given()
		atToken(t, kc, "revoke", set, url.Values{"token": {own}})
		require.False(t, active(t, own))
		commands(t, own, "inactive_protection_access_token")
		person := alice("openid")
		require.True(t, active(t, text(person["access_token"])))
		atToken(t, kc, "logout", set, url.Values{"refresh_token": {text(person["refresh_token"])}})
		require.False(t, active(t, text(person["access_token"])))
	})
	t.Run("a person's that names nobody does not", func(t *testing.T) { //nolint:paralleltest // as above
		require.NoError(t, kc.SetClientAttributes(t.Context(), text(set["client_id"]), map[string]string{"client.use.lightweight.access.token.enabled": "true"}))
		commands(t, text(alice("openid")["access_token"]), "inactive_protection_access_token", "invalid_protection_access_token")
	})
}
