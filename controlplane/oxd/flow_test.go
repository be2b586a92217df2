package oxd_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
)

// TestLogin goes the whole way of an application.
func TestLogin(t *testing.T) {
	t.Parallel()
	k := newKit(t, startOP(t, devas.Options{}), nil)
	id := k.register(t, map[string]any{"post_logout_redirect_uri": "https://app.example.com/bye", "scope": []string{"openid", "profile", "email"}})

	got := k.tokens(t, id)
	require.NotEmpty(t, got["access_token"])
	require.InDelta(t, 300, got["expires_in"], 5)
	require.NotEmpty(t, got["refresh_token"])
	require.NotEmpty(t, got["id_token"])
	claims, _ := got["id_token_claims"].(map[string]any)
	require.Equal(t, "alice-id", claims["sub"])
	require.Equal(t, k.op.Issuer(), claims["iss"])

	info := k.ok(t, "get_user_info", map[string]any{"oxd_id": id, "access_token": got["access_token"]})
	person, _ := info["claims"].(map[string]any)
	require.Equal(t, []any{"alice-id"}, person["sub"])
	require.Equal(t, []any{"alice@example.com"}, person["email"])

	said := k.ok(t, "introspect_access_token", map[string]any{"oxd_id": id, "access_token": got["access_token"]})
	require.Equal(t, true, said["active"])
	require.Contains(t, said["scopes"], "openid")
	require.Equal(t, said["scopes"], said["scope"])

	fresh := k.ok(t, "get_access_token_by_refresh_token", map[string]any{"oxd_id": id, "refresh_token": got["refresh_token"]})
	require.NotEqual(t, got["access_token"], fresh["access_token"])

	logout := k.ok(t, "get_logout_uri", map[string]any{"oxd_id": id, "state": "s1", "session_state": "x"})
	uri, err := url.Parse(logout["uri"].(string))
	require.NoError(t, err)
	require.NotEmpty(t, uri.Query().Get("id_token_hint"))
	require.Equal(t, "https://app.example.com/bye", uri.Query().Get("post_logout_redirect_uri"))
	require.Equal(t, "s1", uri.Query().Get("state"))
	back := browser.New(t, http.DefaultTransport).Visit(t, uri.String(), "https://app.example.com/bye", "", "")
	require.Equal(t, "s1", back.Query().Get("state"))

	require.Equal(t, id, k.ok(t, "remove_site", map[string]any{"oxd_id": id})["oxd_id"])
	k.fails(t, "invalid_oxd_id", "get_rp", map[string]any{"oxd_id": id})
}
