package oxd_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

// TestRegistration: every parameter of register_site and update_site has its
// effect at the OP, or an error.
func TestRegistration(t *testing.T) {
	t.Parallel()
	everything := map[string]any{
		"post_logout_redirect_uri": "https://app.example.com/bye", "application_type": "native", "response_types": []string{"code", "id_token"},
		"grant_types": []string{"authorization_code"}, "scope": []string{"openid", "email"}, "acr_values": []string{"basic", "unknown"}, "client_name": "The App",
		"client_jwks_uri": "https://app.example.com/jwks", "client_token_endpoint_auth_method": "client_secret_jwt", "client_token_endpoint_auth_signing_alg": "HS256",
		"client_request_uris": []string{"https://app.example.com/r"}, "client_frontchannel_logout_uris": []string{"https://app.example.com/out"},
		"client_sector_identifier_uri": []string{"https://app.example.com/sector"}, "contacts": []string{"a@example.com"}, "ui_locales": []string{"de", "fr"},
		"claims_locales": []string{"it"}, "claims_redirect_uri": []string{"https://app.example.com/claims"},
	}
	discovery := map[string]any{
		"acr_values_supported": []string{"basic", "duo"}, "subject_types_supported": []string{"public", "pairwise"}, "introspection_endpoint": "https://op.example.com/i",
		"claims_interaction_endpoint": "https://op.example.com/c",
	}
	t.Run("everything", func(t *testing.T) {
		t.Parallel()
		l := newLiar(t, discovery)
		k := lyingKit(t, l, 30*time.Second)
		id := k.register(t, everything)
		want := map[string]any{
			"redirect_uris": []any{callback}, "post_logout_redirect_uris": []any{"https://app.example.com/bye"}, "application_type": "native",
			"response_types": []any{"code", "id_token", "code id_token"}, "grant_types": []any{"authorization_code"}, "scope": "openid email",
			"default_acr_values": []any{"basic"}, "client_name": "The App", "jwks_uri": "https://app.example.com/jwks",
			"token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "HS256", "request_uris": []any{"https://app.example.com/r"},
			"frontchannel_logout_uri": "https://app.example.com/out", "sector_identifier_uri": "https://app.example.com/sector", "subject_type": "pairwise",
			"contacts": []any{"a@example.com"}, "claims_redirect_uris": []any{"https://app.example.com/claims"},
		}
		require.Equal(t, want, l.registered)
		address, err := url.Parse(k.ok(t, "get_authorization_url", map[string]any{
			"oxd_id": id, "prompt": "login", "hd": "example.com", "custom_parameters": map[string]any{"param1": "value 1&x", "param2": "value2"},
		})["authorization_url"].(string))
		require.NoError(t, err)
		query := address.Query()
		for name, value := range map[string]string{
			"response_type": "code id_token", "client_id": "c-1", "redirect_uri": callback, "scope": "openid email", "acr_values": "basic unknown",
			"ui_locales": "de fr", "claims_locales": "it", "prompt": "login", "hd": "example.com", "param1": "value 1&x", "param2": "value2",
		} {
			require.Equal(t, value, query.Get(name), name)
		}
		require.Greater(t, len(query.Get("state")), 20)
		require.Greater(t, len(query.Get("nonce")), 20)

		require.Equal(t, id, k.ok(t, "update_site", map[string]any{
			"oxd_id": id, "client_name": "Another", "response_type": []string{"code"}, "client_logout_uris": "https://app.example.com/out2", "scope": []string{"openid"},
		})["oxd_id"])
		want["client_name"], want["response_types"], want["frontchannel_logout_uri"], want["scope"] = "Another", []any{"code"}, "https://app.example.com/out2", "openid"
		want["client_id"] = "c-1"
		require.Equal(t, want, l.registered)
		require.Equal(t, "Another", k.ok(t, "get_rp", map[string]any{"oxd_id": id})["client_name"])
		k.ok(t, "remove_site", map[string]any{"oxd_id": id})
		require.Equal(t, 1, l.deleted)
	})
	t.Run("a secret too short for the algorithm", func(t *testing.T) {
		t.Parallel()
		l := newLiar(t, discovery)
		k := lyingKit(t, l, 30*time.Second)
		k.fails(t, "invalid_algorithm", "register_site", map[string]any{
			"authorization_redirect_uri": callback, "client_token_endpoint_auth_method": "client_secret_jwt", "client_token_endpoint_auth_signing_alg": "HS512",
		})
		require.Equal(t, 1, l.deleted)
	})
	refusals := []struct {
		name   string
		params map[string]any
		code   string
	}{
		{"no redirect", map[string]any{"authorization_redirect_uri": ""}, "invalid_authorization_redirect_uri"},
		{"a script", map[string]any{"authorization_redirect_uri": "javascript:alert(1)"}, "invalid_authorization_redirect_uri"},
		{"another OP", map[string]any{"op_host": "https://evil.example.com"}, "invalid_op_host"},
		{"an OP beside", map[string]any{"op_host": "http://127.0.0.1:1"}, "invalid_op_host"},
		{"no address", map[string]any{"op_host": "file:///etc/passwd"}, "invalid_op_host"},
		{"a discovery path beyond", map[string]any{"op_discovery_path": "/../x"}, "bad_request"},
		{"a discovery path elsewhere", map[string]any{"op_discovery_path": "//evil.example.com/x"}, "bad_request"},
		{"half an existing client", map[string]any{"client_id": "x"}, "bad_request"},
		{"the other half", map[string]any{"client_secret": "x"}, "bad_request"},
		{"a registration elsewhere", map[string]any{"client_id": "x", "client_secret": "y", "client_registration_client_uri": "http://169.254.169.254/x"}, "invalid_registration_client_url"},
		{"two sectors", map[string]any{"client_sector_identifier_uri": []string{"https://a.example.com", "https://b.example.com"}}, "bad_request"},
		{"a sector by http", map[string]any{"client_sector_identifier_uri": "http://a.example.com"}, "bad_request"},
		{"two logouts", map[string]any{"client_frontchannel_logout_uris": []string{"https://a.example.com", "https://b.example.com"}}, "bad_request"},
		{"another application", map[string]any{"application_type": "toaster"}, "bad_request"},
		{"alg none to sign with", map[string]any{"client_token_endpoint_auth_method": "private_key_jwt", "client_token_endpoint_auth_signing_alg": "none"}, "invalid_algorithm"},
		{"an alg for a secret", map[string]any{"client_token_endpoint_auth_method": "client_secret_jwt", "client_token_endpoint_auth_signing_alg": "RS256"}, "invalid_algorithm"},
		{"an alg without effect", map[string]any{"client_token_endpoint_auth_signing_alg": "RS256"}, "invalid_algorithm"},
		{"another method", map[string]any{"client_token_endpoint_auth_method": "none"}, "bad_request"},
		{"a key that is not here", map[string]any{"client_token_endpoint_auth_method": "private_key_jwt", "client_jwks_uri": "https://a.example.com/j"}, "bad_request"},
	}
	l := newLiar(t, discovery)
	k := lyingKit(t, l, 30*time.Second)
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			params := map[string]any{"authorization_redirect_uri": callback}
			maps.Copy(params, tt.params)
			k.fails(t, tt.code, "register_site", params)
		})
	}
	t.Run("parameters that umagate sets", func(t *testing.T) {
		t.Parallel()
		id := k.register(t, nil)
		for _, name := range []string{"state", "nonce", "redirect_uri", "client_id", "code_challenge", "request"} {
			k.fails(t, "bad_request", "get_authorization_url", map[string]any{"oxd_id": id, "custom_parameters": map[string]any{name: "x"}})
		}
		k.fails(t, "no_end_session_endpoint_at_op", "get_logout_uri", map[string]any{"oxd_id": id})
	})
	t.Run("an existing client", func(t *testing.T) {
		t.Parallel()
		id := k.register(t, map[string]any{"client_id": "mine", "client_secret": "hush"})
		require.Equal(t, "mine", k.ok(t, "get_rp", map[string]any{"oxd_id": id})["client_id"])
		k.fails(t, "invalid_registration_client_url", "update_site", map[string]any{"oxd_id": id, "client_name": "x"})
		k.ok(t, "remove_site", map[string]any{"oxd_id": id})
		id = k.register(t, map[string]any{
			"client_id": "c-1", "client_secret": "hush", "client_registration_access_token": "rat", "client_registration_client_uri": l.URL + "/register/c-1",
		})
		k.ok(t, "update_site", map[string]any{"oxd_id": id, "client_name": "x"})
		k.ok(t, "remove_site", map[string]any{"oxd_id": id}) // a client that others made stays
		require.Zero(t, l.deleted)
	})
}

// TestAuthentication: a login with each way to authenticate and each algorithm,
// and a protection token with it.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long", 16) // as long as HS512 needs it
	k := newKit(t, startOP(t, devas.Options{Clients: []devas.Client{{ID: "long", Secret: devas.Secret(long), Metadata: devas.Metadata{
		TokenEndpointAuthMethod: "client_secret_jwt", GrantTypes: []string{"authorization_code", "client_credentials", "refresh_token"}, RedirectURIs: []string{callback},
	}}}}), nil)
	tests := []struct{ method, alg string }{
		{"client_secret_basic", ""},
		{"client_secret_basic", "none"},
		{"client_secret_post", ""},
		{"client_secret_jwt", "HS256"},
		{"client_secret_jwt", "HS384"},
		{"client_secret_jwt", "HS512"},
		{"private_key_jwt", "RS256"},
		{"private_key_jwt", "RS384"},
		{"private_key_jwt", "RS512"},
		{"private_key_jwt", "ES256"},
		{"private_key_jwt", "ES384"},
		{"private_key_jwt", "ES512"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.alg, func(t *testing.T) {
			t.Parallel()
			params := map[string]any{"client_token_endpoint_auth_method": tt.method, "client_token_endpoint_auth_signing_alg": tt.alg}
			if tt.alg == "HS384" || tt.alg == "HS512" {
				params["client_id"], params["client_secret"] = "long", long
			}
			require.NotEmpty(t, k.tokens(t, k.register(t, params))["access_token"])

			params["authorization_redirect_uri"] = callback
			setup := k.ok(t, "setup_client", params)
			ask := map[string]any{"client_id": setup["client_id"], "client_secret": setup["client_secret"], "op_host": k.op.Issuer()}
			if tt.method == "private_key_jwt" {
				about := k.ok(t, "get_rp", map[string]any{"oxd_id": setup["setup_client_oxd_id"]})
				ask["authentication_method"], ask["algorithm"], ask["key_id"] = tt.method, tt.alg, about["key_id"]
			}
			require.NotEmpty(t, k.ok(t, "get_client_token", ask)["access_token"])
			if tt.method == "private_key_jwt" {
				ask["client_secret"] = "guessed" // the key is used for who knows the secret only
				k.fails(t, "bad_request", "get_client_token", ask)
			}
		})
	}
}
