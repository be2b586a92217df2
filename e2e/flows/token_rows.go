package flows

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func tokenRows() []row {
	return []row{
		{name: "a password gets tokens, a wrong one does not", run: func(t *testing.T, w *world) {
			t.Helper()
			r := w.login(t, "alice")
			require.NotEmpty(t, r.text("id_token"))
			require.NotEmpty(t, r.text("refresh_token"))
			r = w.token(t, url.Values{
				"grant_type": {"password"}, "client_id": {w.PartyClient}, "username": {"alice"}, "password": {"wrong"},
			}, nobody)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized}, r.status, r.raw)
			require.Equal(t, "invalid_grant", r.text("error"))
		}},
		{name: "grant types that nobody knows", run: func(t *testing.T, w *world) {
			t.Helper()
			c := w.newClient(t, w.rsMetadata())
			r := w.token(t, url.Values{"grant_type": {"urn:example:nothing"}}, c.auth())
			require.Equal(t, http.StatusBadRequest, r.status, r.raw)
			require.Equal(t, "unsupported_grant_type", r.text("error"))
		}},
		{name: "a scope that nobody knows", run: func(t *testing.T, w *world) {
			t.Helper()
			c := w.newClient(t, w.rsMetadata())
			r := w.token(t, url.Values{"grant_type": {"client_credentials"}, "scope": {"no-such-scope"}}, c.auth())
			require.Equal(t, http.StatusBadRequest, r.status, r.raw)
			require.Equal(t, "invalid_scope", r.text("error"))
		}},
		{name: "a refresh token", run: func(t *testing.T, w *world) {
			t.Helper()
			first := w.login(t, "alice").text("refresh_token")
			refresh := func(token string) reply {
				return w.token(t, url.Values{"grant_type": {"refresh_token"}, "client_id": {w.PartyClient}, "refresh_token": {token}}, nobody)
			}
			r := refresh(first)
			requireToken(t, r)
			require.NotEmpty(t, r.text("refresh_token"))
			r = refresh("garbage")
			require.Equal(t, http.StatusBadRequest, r.status, r.raw)
			require.Equal(t, "invalid_grant", r.text("error"))
		}},
		{name: "a refresh token used twice revokes its family", needs: []Capability{RefreshRotation}, run: func(t *testing.T, w *world) {
			t.Helper()
			refresh := func(token string) reply {
				return w.token(t, url.Values{"grant_type": {"refresh_token"}, "client_id": {w.PartyClient}, "refresh_token": {token}}, nobody)
			}
			first := w.login(t, "alice").text("refresh_token")
			second := refresh(first)
			requireToken(t, second)
			refresh(first).requireRefusal(t, Refusal{http.StatusBadRequest, "invalid_grant"})
			refresh(second.text("refresh_token")).requireRefusal(t, Refusal{http.StatusBadRequest, "invalid_grant"})
		}},
		{name: "a revoked token is not active", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			login := w.login(t, "bob")
			if w.can(PlainIntrospection) {
				require.Equal(t, true, w.introspect(t, rs, login.text("access_token")).body["active"])
			}
			r := w.form(t, w.endpointOr("revocation_endpoint", "token_endpoint", "/revoke"),
				url.Values{"token": {login.text("refresh_token")}, "client_id": {w.PartyClient}}, nobody)
			require.Equal(t, http.StatusOK, r.status, r.raw)
			require.Equal(t, false, w.introspect(t, rs, login.text("access_token")).body["active"])
		}},
		{name: "introspection of what is no token", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			r := w.introspect(t, rs, "garbage")
			require.Equal(t, http.StatusOK, r.status, r.raw)
			require.Equal(t, map[string]any{"active": false}, r.body)
		}},
		{name: "introspection needs to know who asks", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			for name, as := range map[string]auth{"nobody": nobody, "a wrong secret": basic(rs.id, "wrong"), "a bad bearer": bearer("garbage")} {
				r := w.form(t, w.endpoint(t, "introspection_endpoint"), url.Values{"token": {rs.pat}}, as)
				require.GreaterOrEqual(t, r.status, 400, name)
				require.Less(t, r.status, 500, name)
				require.NotContains(t, r.body, "active", name)
			}
		}},
		{name: "introspection of a plain access token", needs: []Capability{PlainIntrospection}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			r := w.form(t, w.endpoint(t, "introspection_endpoint"), url.Values{"token": {rs.pat}}, rs.auth())
			require.Equal(t, http.StatusOK, r.status, r.raw)
			require.Equal(t, true, r.body["active"], r.raw)
			require.Equal(t, rs.id, r.text("client_id"), r.raw)
			require.Equal(t, w.URL, r.text("iss"), r.raw)
			require.NotContains(t, r.body, "permissions")
		}},
	}
}

// endpointOr takes an endpoint from the discovery document; where uma2-configuration
// leaves it out, from a path beside another one.
func (w *world) endpointOr(name, beside, path string) string {
	if s, ok := w.meta[name].(string); ok {
		return s
	}
	s, _ := w.meta[beside].(string)
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	return u.JoinPath("..", path).String()
}
