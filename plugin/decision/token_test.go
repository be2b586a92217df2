package decision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestTokens has every rule about a token and what it may do.
func TestTokens(t *testing.T) {
	at := began.Unix()
	permission := func(members string) string {
		return `{"active":true,"permissions":[` + members + `]}`
	}
	rules := siteOf(func(s *config.Site) {
		s.Token.Issuers, s.Token.Audiences, s.Token.ClientIDs = []string{"https://as", "https://as2"}, []string{"rs", "rs2"}, []string{"app"}
	})
	leeway := siteOf(func(s *config.Site) { s.Token.LeewayMS = 10_000 })
	view := `{"resource_id":"r1","resource_scopes":["view"]}`
	ruled := func(iss, aud, client string) string {
		return fmt.Sprintf(`{"active":true,"iss":%q,"aud":%s,"client_id":%q,"permissions":[%s]}`, iss, aud, client, view)
	}
	tests := []struct {
		name         string
		change       func(*config.Config)
		method, path string
		answer       string
		want         string
	}{
		{"one scope of two", nil, "GET", "/albums/1", permission(view), "allow permitted"},
		{"the other scope", nil, "GET", "/albums/1", permission(`{"resource_id":"r1","resource_scopes":["all"]}`), "allow permitted"},
		{"another scope", nil, "GET", "/albums/1", permission(`{"resource_id":"r1","resource_scopes":["edit"]}`), "401 insufficient_permission"},
		{"a scope in other case", nil, "GET", "/albums/1", permission(`{"resource_id":"r1","resource_scopes":["View"]}`), "401 insufficient_permission"},
		{"a scope as part of another", nil, "GET", "/albums/1", permission(`{"resource_id":"r1","resource_scopes":["viewer","view edit"]}`), "401 insufficient_permission"},
		{"the right scope of another resource", nil, "GET", "/albums/1", permission(`{"resource_id":"r2","resource_scopes":["view"]}`), "401 insufficient_permission"},
		{"the resource in other case", nil, "GET", "/albums/1", permission(`{"resource_id":"R1","resource_scopes":["view"]}`), "401 insufficient_permission"},
		{"no resource", nil, "GET", "/albums/1", permission(`{"resource_scopes":["view"]}`), "401 insufficient_permission"},
		{"no scopes is not all", nil, "GET", "/albums/1", permission(`{"resource_id":"r1"}`), "401 insufficient_permission"},
		{"empty scopes is not all", nil, "GET", "/albums/1", permission(`{"resource_id":"r1","resource_scopes":[]}`), "401 insufficient_permission"},
		{"not the first permission", nil, "GET", "/albums/1", permission(`{"resource_id":"r2","resource_scopes":["read"]},` + view), "allow permitted"},
		{"scopes of the token are no permission", nil, "GET", "/albums/1", `{"active":true,"scope":"view all"}`, "401 insufficient_permission"},
		{"Keycloak", nil, "GET", "/albums/1", permission(`{"rsid":"r1","rsname":"x","scopes":["view"]}`), "allow permitted"},

		{"expression holds", nil, "PUT", "/albums/1", editR1, "allow permitted"},
		{"expression holds over two permissions", nil, "PUT", "/albums/1", permission(view + `,{"resource_id":"r1","resource_scopes":["edit"]}`), "allow permitted"},
		{"expression over two resources", nil, "PUT", "/albums/1", permission(view + `,{"resource_id":"r2","resource_scopes":["edit"]}`), "401 insufficient_permission"},
		{"any overlap is not the expression", nil, "PUT", "/albums/1", viewR1, "401 insufficient_permission"},
		{"negation, and a permission", nil, "GET", "/guests", permission(`{"resource_id":"r3","resource_scopes":["guest"]}`), "allow permitted"},
		{"negation does not hold", nil, "GET", "/guests", permission(`{"resource_id":"r3","resource_scopes":["guest","member"]}`), "401 insufficient_permission"},
		{"negation, and no permission", nil, "GET", "/guests", `{"active":true}`, "401 insufficient_permission"},
		{"negation, and a permission without scopes", nil, "GET", "/guests", permission(`{"resource_id":"r3"}`), "401 insufficient_permission"},
		{"a token of one resource at another", nil, "GET", "/reports/1", editR1, "401 insufficient_permission"},
		{"a resource without id grants to nobody", nil, "GET", "/drafts", permission(`{"resource_id":"","resource_scopes":["view"]}`), "403 resource_not_registered"},

		{"expires in a second", nil, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[%s]}`, at+1, view), "allow permitted"},
		{"expired this second", nil, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[%s]}`, at, view), "401 expired_token"},
		{"expired in 1970", nil, "GET", "/albums/1", `{"active":true,"exp":0,"permissions":[` + view + `]}`, "401 expired_token"},
		{"expired, leeway", leeway, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[%s]}`, at-9, view), "allow permitted"},
		{"expired, leeway used up", leeway, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[%s]}`, at-10, view), "401 expired_token"},
		{"valid from now", nil, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"nbf":%d,"permissions":[%s]}`, at, view), "allow permitted"},
		{"valid in a second", nil, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"nbf":%d,"permissions":[%s]}`, at+1, view), "401 token_not_yet_valid"},
		{"valid within leeway", leeway, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"nbf":%d,"permissions":[%s]}`, at+10, view), "allow permitted"},
		{"valid after leeway", leeway, "GET", "/albums/1", fmt.Sprintf(`{"active":true,"nbf":%d,"permissions":[%s]}`, at+11, view), "401 token_not_yet_valid"},
		{"permission expires in a second", nil, "GET", "/albums/1", permission(fmt.Sprintf(`{"resource_id":"r1","resource_scopes":["view"],"exp":%d}`, at+1)), "allow permitted"},
		{"permission expired this second", nil, "GET", "/albums/1", permission(fmt.Sprintf(`{"resource_id":"r1","resource_scopes":["view"],"exp":%d}`, at)), "401 insufficient_permission"},
		{"permission expired, leeway", leeway, "GET", "/albums/1", permission(fmt.Sprintf(`{"resource_id":"r1","resource_scopes":["view"],"exp":%d}`, at-9)), "allow permitted"},
		{"permission valid in a second", nil, "GET", "/albums/1", permission(fmt.Sprintf(`{"resource_id":"r1","resource_scopes":["view"],"nbf":%d}`, at+1)), "401 insufficient_permission"},
		{"permission valid from now", nil, "GET", "/albums/1", permission(fmt.Sprintf(`{"resource_id":"r1","resource_scopes":["view"],"nbf":%d}`, at)), "allow permitted"},
		{
			"one permission of two expired", nil, "PUT", "/albums/1",
			permission(view + fmt.Sprintf(`,{"resource_id":"r1","resource_scopes":["edit"],"exp":%d}`, at)), "401 insufficient_permission",
		},

		{"issuer, audience and client", rules, "GET", "/albums/1", ruled("https://as2", `["x","rs2"]`, "app"), "allow permitted"},
		{"another issuer", rules, "GET", "/albums/1", ruled("https://evil", `"rs"`, "app"), "401 wrong_issuer"},
		{"issuer with a slash", rules, "GET", "/albums/1", ruled("https://as/", `"rs"`, "app"), "401 wrong_issuer"},
		{"no issuer", rules, "GET", "/albums/1", ruled("", `"rs"`, "app"), "401 wrong_issuer"},
		{"another audience", rules, "GET", "/albums/1", ruled("https://as", `["x"]`, "app"), "401 wrong_audience"},
		{"no audience", rules, "GET", "/albums/1", ruled("https://as", `[]`, "app"), "401 wrong_audience"},
		{"empty audience", rules, "GET", "/albums/1", ruled("https://as", `""`, "app"), "401 wrong_audience"},
		{"another client", rules, "GET", "/albums/1", ruled("https://as", `"rs"`, "evil"), "401 wrong_client"},
		{"no client", rules, "GET", "/albums/1", ruled("https://as", `"rs"`, ""), "401 wrong_client"},
		{"empty rules match nothing", siteOf(func(s *config.Site) { s.Token.Issuers = []string{""} }), "GET", "/albums/1", permission(view), "401 wrong_issuer"},

		{"refresh token", nil, "GET", "/albums/1", `{"active":true,"typ":"Refresh","permissions":[` + view + `]}`, "401 not_an_access_token"},
		{"ID token", nil, "GET", "/albums/1", `{"active":true,"typ":"ID","permissions":[` + view + `]}`, "401 not_an_access_token"},
		{"DPoP token as a bearer", nil, "GET", "/albums/1", `{"active":true,"cnf":{"jkt":"k"},"permissions":[` + view + `]}`, "401 sender_constrained_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*config.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			h := newHarness(t, change...)
			x, step := h.decide(ask(tt.method, tt.path, "token"), tt.answer)
			require.Equal(t, tt.want, outcome(x, step))
			if step.Kind != decision.KindDeny || step.Deny.Status != 401 {
				return
			}
			code := "invalid_token"
			if x.Decision().Reason == decision.ReasonNotPermitted {
				code = "insufficient_scope"
			}
			require.Equal(t, `UMA realm="photos", as_uri="https://as.example.com", error="`+code+`", ticket="t1"`, value(t, step.Deny.Headers, "www-authenticate"))
		})
	}
}

// TestPermissionRequests: what a ticket asks for is what this condition names.
func TestPermissionRequests(t *testing.T) {
	tests := []struct {
		name, method, path string
		want               string
	}{
		{"scopes", "GET", "/albums/1", `[{"resource_id":"r1","resource_scopes":["view","all"]}]`},
		{"data of the expression", "PUT", "/albums/1", `[{"resource_id":"r1","resource_scopes":["view","edit"]}]`},
		{"several permissions", "GET", "/reports/1", `[{"resource_id":"r2","resource_scopes":["read"]},{"resource_id":"r1","resource_scopes":["view","all"]}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			_, step := h.start(ask(tt.method, tt.path, ""))
			require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
			require.Equal(t, "protect", step.Call.Cluster)
			require.JSONEq(t, tt.want, string(step.Call.Body))
			require.Equal(t, 5*time.Second, step.Call.Timeout)
			require.Equal(t, []decision.Header{
				{Name: ":method", Value: "POST"},
				{Name: ":scheme", Value: "https"},
				{Name: ":authority", Value: "as.example.com"},
				{Name: ":path", Value: "/permission"},
				{Name: "content-type", Value: "application/json"},
				{Name: "accept", Value: "application/json"},
			}, step.Call.Headers)
		})
	}
	t.Run("a ticket of a resource that is not registered", func(t *testing.T) {
		h := newHarness(t, siteOf(func(s *config.Site) { s.Resources[1].Conditions[0].Ticket[1].ResourceID = "" }))
		x, step := h.start(ask("GET", "/reports/1", ""))
		require.Equal(t, "403 resource_not_registered", outcome(x, step))
	})
}

// TestIntrospectionRequest is the call of RFC 7662 section 2.1.
func TestIntrospectionRequest(t *testing.T) {
	h := newHarness(t, siteOf(func(s *config.Site) {
		in := &s.AuthorizationServer.Introspection
		in.TokenTypeHint, in.Scheme, in.TimeoutMS, in.InsecureInlineCredentials = "requesting_party_token", "http", 250, "Basic dTpw"
	}))
	_, step := h.start(ask("GET", "/albums/1", "a+b/c=="))
	require.Equal(t, "token=a%2Bb%2Fc%3D%3D&token_type_hint=requesting_party_token", string(step.Call.Body))
	require.Equal(t, 250*time.Millisecond, step.Call.Timeout)
	require.Equal(t, "introspect", step.Call.Cluster)
	require.Equal(t, []decision.Header{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":authority", Value: "as.example.com"},
		{Name: ":path", Value: "/introspect"},
		{Name: "content-type", Value: "application/x-www-form-urlencoded"},
		{Name: "accept", Value: "application/json"},
		{Name: "authorization", Value: "Basic dTpw"},
	}, step.Call.Headers)
}

// TestOAuthScopes: plain scopes instead of UMA permissions, with the answers of
// RFC 6750 and never a ticket.
func TestOAuthScopes(t *testing.T) {
	tests := []struct {
		name, method, token, answer string
		want, challenge             string
	}{
		{"permitted", "GET", "t", `{"active":true,"scope":"openid view"}`, "allow permitted", ""},
		{"as an array", "GET", "t", `{"active":true,"scope":["all"]}`, "allow permitted", ""},
		{"expression", "PUT", "t", `{"active":true,"scope":"edit view"}`, "allow permitted", ""},
		{"expression does not hold", "PUT", "t", `{"active":true,"scope":"edit"}`, "403 insufficient_permission", `Bearer realm="photos", error="insufficient_scope", scope="view edit"`},
		{"another scope", "GET", "t", `{"active":true,"scope":"viewer"}`, "403 insufficient_permission", `Bearer realm="photos", error="insufficient_scope", scope="view viewer"`},
		{"no scopes", "GET", "t", `{"active":true}`, "403 insufficient_permission", `Bearer realm="photos", error="insufficient_scope", scope="view"`},
		{"permissions are no scopes", "GET", "t", viewR1, "403 insufficient_permission", `Bearer realm="photos", error="insufficient_scope", scope="view"`},
		{"not active", "GET", "t", unknown, "401 inactive_token", `Bearer realm="photos", error="invalid_token"`},
		{"no token", "GET", "", "", "401 no_token", `Bearer realm="photos"`},
		{"malformed", "GET", "a b", "", "400 invalid_request", `Bearer realm="photos", error="invalid_request"`},
		{"AS fails", "GET", "t", `{}`, "503 as_bad_answer", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, siteOf(func(s *config.Site) {
				s.Require = config.RequireOAuthScopes
				s.AuthorizationServer.Permission = nil
			}))
			x, step := h.decide(ask(tt.method, "/albums/1", tt.token), tt.answer)
			require.Equal(t, tt.want, outcome(x, step))
			require.Equal(t, tt.challenge, value(t, step.Deny.Headers, "www-authenticate"))
			if step.Kind == decision.KindDeny {
				requireProblem(t, x, step)
			}
		})
	}
}

// TestClaimsFromToken: a Keycloak RPT, whose introspection says nothing of its
// issuer.
func TestClaimsFromToken(t *testing.T) {
	const header, signature = "eyJhbGciOiJSUzI1NiJ9.", ".c2ln"
	token := header + encode(`{"sub":"bob","iss":"https://as","azp":"app","aud":"rs","typ":"Bearer"}`) + signature
	refresh := header + encode(`{"iss":"https://as","aud":"rs","typ":"Refresh"}`) + signature
	granted := header + encode(`{"iss":"https://as","aud":"rs","authorization":{"permissions":[{"rsid":"r1","scopes":["view"]}]}}`) + signature
	evil := header + encode(`{"iss":"https://evil","aud":"rs"}`) + signature
	tests := []struct{ name, token, answer, want string }{
		{"from the token", token, `{"active":true,"permissions":[{"rsid":"r1","scopes":["view"]}]}`, "allow permitted"},
		{"rights that the answer no longer has", granted, `{"active":true}`, "401 insufficient_permission"},
		{"rights that the answer has none of", granted, `{"active":true,"permissions":[]}`, "401 insufficient_permission"},
		{"the answer comes first", token, `{"active":true,"iss":"https://evil","permissions":[{"rsid":"r1","scopes":["view"]}]}`, "401 wrong_issuer"},
		{"of another issuer", evil, `{"active":true,"permissions":[{"rsid":"r1","scopes":["view"]}]}`, "401 wrong_issuer"},
		{"refresh token", refresh, `{"active":true,"permissions":[{"rsid":"r1","scopes":["view"]}]}`, "401 not_an_access_token"},
		{"opaque token", "opaque", `{"active":true,"permissions":[{"rsid":"r1","scopes":["view"]}]}`, "401 wrong_issuer"},
		{"encrypted token", "e.e30x.a.b.c", `{"active":true,"iss":"https://as","aud":"rs","permissions":[{"rsid":"r1","scopes":["view"]}]}`, "allow permitted"},
		{"payload of two minds", header + encode(`{"iss":"https://evil","iss":"https://as","aud":"rs"}`) + signature, viewR1, "503 as_bad_answer"},
		{"not active", token, unknown, "401 inactive_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, siteOf(func(s *config.Site) {
				s.AuthorizationServer.Introspection.Claims = config.ClaimsFromToken
				s.Token.Issuers, s.Token.Audiences = []string{"https://as"}, []string{"rs"}
			}))
			x, step := h.decide(ask("GET", "/albums/1", tt.token), tt.answer)
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
}
