package oxd_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/demo/devas"
)

// TestSetupOfAnothersClient: who does not have the secret of a client changes nothing
// of how its tokens are judged.
func TestSetupOfAnothersClient(t *testing.T) {
	for _, format := range []devas.TokenFormat{devas.FormatOpaque, devas.FormatJWT} {
		t.Run(string(format), func(t *testing.T) {
			op := startOP(t, devas.Options{AccessTokenFormat: format})
			k := newKit(t, op, func(c *oxd.Config) { c.Protect = true })
			setup := k.ok(t, "setup_client", map[string]any{"authorization_redirect_uri": callback})
			ask := map[string]any{"client_id": setup["client_id"], "client_secret": setup["client_secret"], "op_host": op.Issuer(), "scope": []string{"oxd"}}
			token := k.ok(t, "get_client_token", ask)["access_token"]
			k.ok(t, "get_authorization_url", map[string]any{"oxd_id": setup["oxd_id"], "protection_access_token": token})
			// somebody without any credential
			k.call(t, "setup_client", map[string]any{"authorization_redirect_uri": callback, "client_id": setup["client_id"], "client_secret": "made-up"})
			token = k.ok(t, "get_client_token", ask)["access_token"]
			status, data := k.call(t, "get_authorization_url", map[string]any{"oxd_id": setup["oxd_id"], "protection_access_token": token})
			require.Equal(t, "ok", status, "%v", data)
		})
	}
}

// TestSetupOfAnothersClientWithKeys is the same of a client that has keys.
func TestSetupOfAnothersClientWithKeys(t *testing.T) {
	op := startOP(t, devas.Options{})
	k := newKit(t, op, func(c *oxd.Config) { c.Protect = true })
	setup := k.ok(t, "setup_client", map[string]any{"authorization_redirect_uri": callback, "client_token_endpoint_auth_method": "private_key_jwt"})
	ask := map[string]any{"client_id": setup["client_id"], "client_secret": setup["client_secret"], "op_host": op.Issuer(), "scope": []string{"oxd"}}
	k.ok(t, "get_client_token", ask)
	k.call(t, "setup_client", map[string]any{"authorization_redirect_uri": callback, "client_id": setup["client_id"], "client_secret": "made-up"})
	status, data := k.call(t, "get_client_token", ask)
	require.Equal(t, "ok", status, "%v", data)
}
