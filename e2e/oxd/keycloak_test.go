package oxd_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/browser"
)

// command calls the HTTP API with the token "any": nothing is protected.
func command(t *testing.T, to target, name string, params map[string]any) (status string, data map[string]any) {
	t.Helper()
	raw, err := json.Marshal(params)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to.http+"/"+name, bytes.NewReader(raw))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer any")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var got struct {
		Status string         `json:"status"`
		Data   map[string]any `json:"data"`
	}
	require.NoError(t, json.Unmarshal(body, &got), string(body))
	return got.Status, got.Data
}

func done(t *testing.T, to target, name string, params map[string]any) map[string]any {
	t.Helper()
	status, data := command(t, to, name, params)
	require.Equal(t, "ok", status, "%s: %v", name, data)
	return data
}

// setUp registers with setup-client, which takes no token: it is the way to a site
// for who has none.
func setUp(t *testing.T, to target, more map[string]any) map[string]any {
	t.Helper()
	params := map[string]any{"authorization_redirect_uri": callback, "post_logout_redirect_uri": goodbye, "scope": []string{"openid", "email"}}
	maps.Copy(params, more)
	return done(t, to, "setup-client", params)
}

// authentications logs in with each way to authenticate and each algorithm, and
// gets a protection token with it.
func authentications(t *testing.T, to target) {
	t.Helper()
	for _, a := range []struct{ method, alg string }{
		{"client_secret_basic", ""},
		{"client_secret_post", ""},
		{"client_secret_jwt", "HS256"},
		{"private_key_jwt", "RS256"},
		{"private_key_jwt", "RS384"},
		{"private_key_jwt", "RS512"},
		{"private_key_jwt", "ES256"},
		{"private_key_jwt", "ES384"},
		{"private_key_jwt", "ES512"},
	} {
		t.Run(a.method+" "+a.alg, func(t *testing.T) {
			set := setUp(t, to, map[string]any{"client_token_endpoint_auth_method": a.method, "client_token_endpoint_auth_signing_alg": a.alg})
			token := done(t, to, "get-client-token", map[string]any{
				"client_id": set["client_id"], "client_secret": set["client_secret"], "op_host": to.opHost,
			})
			require.NotEmpty(t, token["access_token"])
			login(t, to, set["oxd_id"], nil)
			done(t, to, "update-site", map[string]any{"oxd_id": set["oxd_id"], "client_name": "again"})
			login(t, to, set["oxd_id"], nil) // with the secret and the key that it has now
		})
	}
}

func login(t *testing.T, to target, id any, more map[string]any) map[string]any {
	t.Helper()
	params := map[string]any{"oxd_id": id}
	maps.Copy(params, more)
	address, _ := done(t, to, "get-authorization-url", params)["authorization_url"].(string)
	back := browser.New(t, http.DefaultTransport).Visit(t, address, callback, "alice", "alice").Query()
	return done(t, to, "get-tokens-by-code", map[string]any{"oxd_id": id, "code": back.Get("code"), "state": back.Get("state")})
}

// everyParameter registers and updates with all that an OP may know, at one that
// refuses what it does not.
func everyParameter(t *testing.T, to target) {
	t.Helper()
	all := map[string]any{
		"application_type": "web", "response_types": []string{"code"}, "grant_types": []string{"authorization_code", "refresh_token", "client_credentials"},
		"acr_values": []string{"basic"}, "client_name": "Everything", "setup_client_name": "Everything's setup", "client_request_uris": []string{"http://127.0.0.1:9/request"},
		"client_frontchannel_logout_uris": []string{"http://127.0.0.1:9/out"}, "contacts": []string{"ops@example.com"}, "ui_locales": []string{"en"},
		"claims_locales": []string{"en"}, "claims_redirect_uri": []string{"http://127.0.0.1:9/claims"}, "client_jwks_uri": "http://127.0.0.1:9/jwks",
	}
	set := setUp(t, to, all)
	got := login(t, to, set["oxd_id"], map[string]any{
		"acr_values": []string{"basic"}, "prompt": "login", "custom_parameters": map[string]any{"param1": "value1"}, "scope": []string{"openid", "profile"},
	})
	info := done(t, to, "get-user-info", map[string]any{"oxd_id": set["oxd_id"], "access_token": got["access_token"]})
	claims, _ := info["claims"].(map[string]any)
	require.Equal(t, []any{"alice"}, claims["preferred_username"])
	all["oxd_id"] = set["oxd_id"]
	all["client_secret_expires_at"] = 1335205592410 // as on the protocol's page; Keycloak alone says when
	done(t, to, "update-site", all)
	all["oxd_id"] = set["setup_client_oxd_id"]
	done(t, to, "update-site", all)
	for range 2 { // each update has a registration token of its own
		done(t, to, "update-site", map[string]any{"oxd_id": set["oxd_id"], "client_name": "once more"})
	}
	done(t, to, "remove-site", map[string]any{"oxd_id": set["oxd_id"]})
	status, data := command(t, to, "introspect-access-token", map[string]any{"oxd_id": set["setup_client_oxd_id"], "access_token": "made-up"})
	require.Equal(t, "ok", status, data)
	require.Equal(t, false, data["active"])
}
