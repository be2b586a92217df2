package oxd_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
)

// TestProtection: who may command what.
func TestProtection(t *testing.T) {
	t.Parallel()
	for _, format := range []devas.TokenFormat{devas.FormatOpaque, devas.FormatJWT} {
		t.Run("tokens "+string(format), func(t *testing.T) {
			t.Parallel()
			protected(t, startOP(t, devas.Options{AccessTokenFormat: format}))
		})
	}
}

func protected(t *testing.T, op *devas.Server) {
	t.Helper()
	k := newKit(t, op, func(c *oxd.Config) { c.Protect = true })
	setUp := func() (setup map[string]any, token any) {
		setup = k.ok(t, "setup_client", map[string]any{"authorization_redirect_uri": callback})
		ask := map[string]any{"client_id": setup["client_id"], "client_secret": setup["client_secret"], "op_host": op.Issuer(), "scope": []string{"oxd"}}
		return setup, k.ok(t, "get_client_token", ask)["access_token"]
	}
	mine, token := setUp()
	others, othersToken := setUp()
	id := mine["oxd_id"]
	weak := k.ok(t, "get_client_token", map[string]any{
		"client_id": mine["client_id"], "client_secret": mine["client_secret"], "op_host": op.Issuer(), "scope": []string{"openid"},
	})["access_token"]
	free := func() string { // a site that no setup client commands
		unprotected, err := oxd.New(oxd.Config{Store: k.store, OPs: []oxd.OP{{Host: op.Issuer()}}, DefaultOP: op.Issuer(), Defaults: site.OXDDefaults{Scope: []string{"openid"}}})
		require.NoError(t, err)
		status, data := callOn(t, unprotected, "register_site", map[string]any{"authorization_redirect_uri": callback})
		require.Equal(t, "ok", status)
		status, sent := callOn(t, unprotected, "register_site", map[string]any{"authorization_redirect_uri": callback, "protection_access_token": "made-up"})
		require.Equal(t, "error", status, "a token that is sent is looked at")
		require.NotEqual(t, "internal_error", sent["error"], sent)
		status, _ = callOn(t, unprotected, "get_rp", map[string]any{"oxd_id": data["oxd_id"], "protection_access_token": "made-up"})
		require.Equal(t, "ok", status)
		return data["oxd_id"].(string)
	}()
	with := func(token any, params map[string]any) map[string]any {
		params["protection_access_token"] = token
		return params
	}
	tests := []struct {
		name, command string
		params        map[string]any
		code          string
	}{
		{"good", "get_authorization_url", with(token, map[string]any{"oxd_id": id}), ""},
		{"none", "get_authorization_url", map[string]any{"oxd_id": id}, "blank_protection_access_token"},
		{"blank", "get_authorization_url", with("", map[string]any{"oxd_id": id}), "blank_protection_access_token"},
		{"none, and no site either", "get_authorization_url", map[string]any{"oxd_id": "nobody"}, "blank_protection_access_token"},
		{"made up", "get_authorization_url", with("made-up", map[string]any{"oxd_id": id}), "inactive_protection_access_token"},
		{"of another setup client", "get_authorization_url", with(othersToken, map[string]any{"oxd_id": id}), "invalid_protection_access_token"},
		{"without the scope", "get_authorization_url", with(weak, map[string]any{"oxd_id": id}), "protection_access_token_insufficient_scope"},
		{"the setup client's own site", "get_authorization_url", with(token, map[string]any{"oxd_id": mine["setup_client_oxd_id"]}), "no_setup_client_for_oxd_id"},
		{"a site of nobody's", "get_authorization_url", with(token, map[string]any{"oxd_id": free}), "no_setup_client_for_oxd_id"},
		{"no such site", "get_authorization_url", with(token, map[string]any{"oxd_id": "nobody"}), "invalid_oxd_id"},
		{"update of the setup client", "update_site", map[string]any{"oxd_id": mine["setup_client_oxd_id"], "client_name": "x"}, ""},
		{"update of a site", "update_site", map[string]any{"oxd_id": id, "client_name": "x"}, "blank_protection_access_token"},
		{"registration without", "register_site", map[string]any{"authorization_redirect_uri": callback}, "blank_protection_access_token"},
		{"a command without a site", "get_discovery", map[string]any{}, "blank_protection_access_token"},
		{"a command without a site, good", "get_discovery", with(token, map[string]any{}), ""},
		{"another OP by discovery", "get_discovery", with(token, map[string]any{"op_host": "https://evil.example.com"}), "invalid_op_host"},
		{"no such command", "get_everything", map[string]any{}, "unsupported_operation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { //nolint:paralleltest // the sites are shared
			if tt.code == "" {
				k.ok(t, tt.command, tt.params)
			} else {
				k.fails(t, tt.code, tt.command, tt.params)
			}
		})
	}
	// A site that is registered with the token is its client's.
	own, _ := k.ok(t, "register_site", with(token, map[string]any{"authorization_redirect_uri": callback}))["oxd_id"].(string)
	k.ok(t, "get_rp", with(token, map[string]any{"oxd_id": own}))
	k.fails(t, "invalid_protection_access_token", "get_rp", with(othersToken, map[string]any{"oxd_id": own}))
	// HTTP has the token in a header.
	raw, err := json.Marshal(map[string]any{"oxd_id": own})
	require.NoError(t, err)
	require.True(t, k.Handle(t.Context(), "get_rp", raw, secret.New(token.(string))).OK())
	op.ExpireTokens(mine["client_id"].(string))
	k.fails(t, "inactive_protection_access_token", "get_rp", with(token, map[string]any{"oxd_id": own}))
	_ = others
}
