package flows

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

func umaRows() []row {
	return []row{
		{name: "who is permitted gets an RPT, who is not does not", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			w.permit(t, rs, id, "album", "view")
			rpt := w.rpt(t, w.ticket(t, rs, asked{id, []string{"view"}}))
			require.Equal(t, map[string][]string{id: {"view"}}, w.permissions(t, rs, rpt))
			w.grant(t, "bob", w.ticket(t, rs, asked{id, []string{"view"}})).requireRefusal(t, w.Denied)
		}},
		{name: "an RPT has what is permitted of what is asked, and no more", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view", "edit")
			w.permit(t, rs, id, "album", "view")
			rpt := w.rpt(t, w.ticket(t, rs, asked{id, []string{"view", "edit"}}))
			require.Equal(t, map[string][]string{id: {"view"}}, w.permissions(t, rs, rpt))
			w.grant(t, "alice", w.ticket(t, rs, asked{id, []string{"edit"}})).requireRefusal(t, w.Denied)
		}},
		{name: "several permissions in one ticket", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			one, two := w.resource(t, rs, "one", "view"), w.resource(t, rs, "two", "view")
			w.permit(t, rs, one, "one", "view")
			w.permit(t, rs, two, "two", "view")
			rpt := w.rpt(t, w.ticket(t, rs, asked{one, []string{"view"}}, asked{two, []string{"view"}}))
			require.Equal(t, map[string][]string{one: {"view"}, two: {"view"}}, w.permissions(t, rs, rpt))
			rpt = w.rpt(t, w.ticket(t, rs, asked{one, []string{"view"}}))
			require.Equal(t, map[string][]string{one: {"view"}}, w.permissions(t, rs, rpt))
		}},
		{name: "a bad ticket", run: func(t *testing.T, w *world) {
			t.Helper()
			w.grant(t, "alice", "garbage").requireRefusal(t, w.BadTicket)
		}},
		{name: "a ticket is good for one use", needs: []Capability{SingleUseTickets}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			w.permit(t, rs, id, "album", "view")
			ticket := w.ticket(t, rs, asked{id, []string{"view"}})
			w.rpt(t, ticket)
			w.grant(t, "alice", ticket).requireRefusal(t, w.BadTicket)
			denied := w.ticket(t, rs, asked{id, []string{"view"}})
			w.grant(t, "bob", denied).requireRefusal(t, w.Denied)
			w.grant(t, "alice", denied).requireRefusal(t, w.BadTicket)
		}},
		{name: "a policy that is gone grants no more", hook: "Forbid", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			p := w.permit(t, rs, id, "album", "view")
			w.rpt(t, w.ticket(t, rs, asked{id, []string{"view"}}))
			w.Forbid(t, p)
			w.grant(t, "alice", w.ticket(t, rs, asked{id, []string{"view"}})).requireRefusal(t, w.Denied)
		}},
		{name: "introspection tells who the RPT is for", needs: []Capability{Sub}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			w.permit(t, rs, id, "album", "view")
			r := w.introspect(t, rs, w.rpt(t, w.ticket(t, rs, asked{id, []string{"view"}})))
			require.Equal(t, w.PartyClient, r.text("client_id"), r.raw)
			require.NotEmpty(t, r.text("sub"), r.raw)
			require.Equal(t, rs.id, r.body["aud"], r.raw)
			require.NotContains(t, r.body, "scope", "UMA Federated Authorization section 5.1.1 puts permissions in its place")
		}},
		{name: "each permission has its own validity", needs: []Capability{PermissionTimes}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			w.permit(t, rs, id, "album", "view")
			r := w.introspect(t, rs, w.rpt(t, w.ticket(t, rs, asked{id, []string{"view"}})))
			list, ok := r.body["permissions"].([]any)
			require.True(t, ok, r.raw)
			require.Len(t, list, 1)
			for _, member := range []string{"exp", "iat", "nbf"} {
				require.Contains(t, list[0], member)
			}
		}},
		{name: "a PAT introspects", needs: []Capability{PATIntrospection}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			w.permit(t, rs, id, "album", "view")
			rpt := w.rpt(t, w.ticket(t, rs, asked{id, []string{"view"}}))
			r := w.form(t, w.endpoint(t, "introspection_endpoint"), url.Values{"token": {rpt}}, bearer(rs.pat))
			require.Equal(t, http.StatusOK, r.status, r.raw)
			require.Equal(t, true, r.body["active"])
			other := w.resourceServer(t)
			r = w.form(t, w.endpoint(t, "introspection_endpoint"), url.Values{"token": {rpt}}, bearer(other.pat))
			require.Equal(t, false, r.body["active"], "another resource server has no business with it")
		}},
		{name: "a resource that is gone is gone from the RPT", needs: []Capability{LiveResources}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			w.permit(t, rs, id, "album", "view")
			rpt := w.rpt(t, w.ticket(t, rs, asked{id, []string{"view"}}))
			r := w.do(t, http.MethodDelete, w.endpoint(t, "resource_registration_endpoint")+"/"+id, "", "", bearer(rs.pat))
			require.Equal(t, http.StatusNoContent, r.status)
			require.Empty(t, w.permissions(t, rs, rpt))
		}},
		{name: "a JWT RPT verifies by the JWKS", needs: []Capability{JWTRPT}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			w.permit(t, rs, id, "album", "view")
			rpt := w.rpt(t, w.ticket(t, rs, asked{id, []string{"view"}}))
			claims := w.verify(t, rpt)
			require.Equal(t, w.URL, claims["iss"])
			require.Contains(t, []any{rs.id, []any{rs.id}}, claims["aud"])
			permissions := claims["permissions"]
			if authorization, ok := claims["authorization"].(map[string]any); ok {
				permissions = authorization["permissions"]
			}
			require.Equal(t, map[string][]string{id: {"view"}}, readPermissions(t, permissions))
		}},
	}
}

// verify checks a JWT by the issuer's JWKS and returns its payload.
func (w *world) verify(t *testing.T, text string) map[string]any {
	t.Helper()
	r := w.do(t, http.MethodGet, w.endpoint(t, "jwks_uri"), "", "", nobody)
	var set jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal([]byte(r.raw), &set))
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	require.NoError(t, err)
	claims := map[string]any{}
	require.NoError(t, parsed.Claims(&set, &claims))
	return claims
}
