package suite_test

import (
	"encoding/json"
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// one is the resource "album" with one condition.
func one(e *env, c config.Condition) []config.Resource {
	return []config.Resource{{Name: "album", ID: e.as.resources["album"], Conditions: []config.Condition{c}}}
}

// conditionScenarios have one row for every kind of condition and every choice of
// a site.
func conditionScenarios() []scenario {
	preflight := http.Header{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"PUT"}}
	return []scenario{
		{
			name: "public", once: true,
			steps: []step{
				{name: "no token", path: "/healthz", status: 200},
				{name: "a bad token is not looked at", path: "/echo/public/a", token: "=garbage", status: 200, api: map[string]string{"X-Uma-Subject": ""}},
				{name: "every method", method: "DELETE", path: "/echo/public/a", status: 200},
				{name: "two credentials are nobody's here", path: "/echo/public/a", header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}, status: 200},
			},
		},
		{
			name: "unmatched-deny",
			steps: []step{
				{name: "no token", path: "/echo/nowhere", status: 403, code: "unmatched_path"},
				{name: "a token changes nothing", path: "/echo/nowhere", token: "alice/album/view", status: 403, code: "unmatched_path"},
				{name: "another case is another path", path: "/ECHO/album/x", status: 403, code: "unmatched_path"},
				{name: "a longer literal is another path", path: "/echo/albums/x", status: 403, code: "unmatched_path"},
				{name: "no method of a named path", method: "PATCH", path: "/albums/1", token: "alice/album/edit", status: 403, code: "method_not_covered"},
			},
		},
		{
			name: "unmatched-allow",
			site: func(_ *env, s *config.Site) { s.Unmatched = config.UnmatchedAllow },
			steps: []step{
				{name: "what no condition names", path: "/echo/nowhere?a=b", status: 200},
				{name: "what one names", path: "/albums/1", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "a method that none covers", method: "PATCH", path: "/albums/1", status: 403, code: "method_not_covered"},
				{name: "an ambiguous path", path: "/echo//nowhere", status: 400, code: "ambiguous_path"},
			},
		},
		{
			name: "unmatched-authenticated",
			site: func(_ *env, s *config.Site) { s.Unmatched = config.UnmatchedAuthenticated },
			steps: []step{
				{name: "no token", path: "/echo/nowhere", status: 401, code: "no_token", challenge: "Bearer"},
				{name: "a token of nobody", path: "/echo/nowhere", token: "=garbage", status: 401, code: "inactive_token", challenge: "Bearer", fault: "invalid_token", introspections: 1},
				{
					name: "a permission on something else", path: "/echo/nowhere", token: "bob/other/view", status: 200, introspections: 1,
					header: http.Header{"X-Uma-Subject": {"forged"}, "X-Uma-Scopes": {"forged"}},
					api:    map[string]string{"X-Uma-Scopes": "", "X-Uma-Resource-Id": ""},
				},
				{name: "it is known now", path: "/echo/elsewhere", token: "bob/other/view", status: 200},
				{name: "what a condition names", path: "/albums/1", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "a method that none covers", method: "PATCH", path: "/albums/1", token: "bob/other/view", status: 403, code: "method_not_covered"},
				{name: "an ambiguous path", path: "/echo//nowhere", token: "bob/other/view", status: 400, code: "ambiguous_path"},
				{name: "some server reads it as what a condition names", path: "/albums%d0%af1", token: "bob/other/view", status: 400, code: "ambiguous_path"},
				{name: "no server does", path: "/echo/nowhere%d0%af1", token: "bob/other/view", status: 200},
			},
		},
		{
			name: "deny", once: true,
			site: func(_ *env, s *config.Site) {
				s.Resources = append(s.Resources, config.Resource{Name: "closed", Conditions: []config.Condition{
					{Paths: []string{"/echo/public/closed/**"}, Deny: true},
				}})
			},
			steps: []step{
				{name: "no token", path: "/echo/public/closed/a", status: 403, code: "denied"},
				{name: "any token", path: "/echo/public/closed", token: "=garbage", status: 403, code: "denied"},
				{name: "what is beside it", path: "/echo/public/open", status: 200},
			},
		},
		{
			name: "scopes-or",
			site: func(e *env, s *config.Site) {
				s.Resources = one(e, config.Condition{Paths: []string{"/echo/**"}, Scopes: []string{"share", "edit"}})
			},
			steps: []step{
				{name: "one of them", path: "/echo/a", token: "alice/album/edit", status: 200, introspections: 1, api: map[string]string{"X-Uma-Scopes": "edit"}},
				{name: "none of them", path: "/echo/a", token: "alice/album/view", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
			},
			run: func(e *env) {
				t := e.t
				require.JSONEq(t, `[{"resource_id":"`+e.as.resources["album"]+`","resource_scopes":["share","edit"]}]`, e.front.lastCall(permission).body)
			},
		},
		{
			name: "scope-expression",
			site: func(e *env, s *config.Site) {
				s.Resources = one(e, config.Condition{
					Paths: []string{"/echo/**"},
					ScopeExpression: &config.ScopeExpression{
						Rule: json.RawMessage(`{"and":[{"var":0},{"or":[{"var":1},{"var":2}]}]}`), Data: []string{"view", "edit", "share"},
					},
				})
			},
			steps: []step{
				{name: "what the rule asks", path: "/echo/a", token: "alice/album/view,edit", status: 200, introspections: 1},
				{name: "an overlap is not enough", path: "/echo/a", token: "alice/album/view", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
				{name: "nor is the other half", path: "/echo/a", token: "alice/album/edit", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
			},
		},
		{
			name: "scope-expression-not",
			site: func(e *env, s *config.Site) {
				s.Resources = one(e, config.Condition{
					Paths:           []string{"/echo/**"},
					ScopeExpression: &config.ScopeExpression{Rule: json.RawMessage(`{"!":{"var":0}}`), Data: []string{"edit"}},
				})
			},
			steps: []step{
				{name: "without the scope", path: "/echo/a", token: "alice/album/view", status: 200, introspections: 1},
				{name: "with it", path: "/echo/a", token: "alice/album/edit", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
				{name: "no permission at all is not one without the scope", path: "/echo/a", token: "bob/other/view", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
			},
		},
		{
			name: "ticket-scopes",
			site: func(e *env, s *config.Site) {
				s.Resources = one(e, config.Condition{
					Paths: []string{"/echo/**"}, Scopes: []string{"view"},
					Ticket: []config.Permission{{ResourceID: e.as.resources["album"], ResourceScopes: []string{"view", "edit"}}},
				})
			},
			steps: []step{{name: "no token", path: "/echo/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1}},
			run: func(e *env) {
				t := e.t
				require.JSONEq(t, `[{"resource_id":"`+e.as.resources["album"]+`","resource_scopes":["view","edit"]}]`, e.front.lastCall(permission).body)
				rpt, err := e.as.rpt(t.Context(), t, "alice", e.ticketOf(t, "/echo/a"), "")
				require.NoError(t, err)
				e.step(t, &step{name: "the RPT has both", path: "/echo/a", token: "=" + rpt, status: 200, introspections: 1})
				a := e.client.do(t, e.request(t, &step{path: "/echo/b"}, rpt))
				require.ElementsMatch(t, []string{"view", "edit"}, splitScopes(a.echo.Headers.Get("X-Uma-Scopes")))
			},
		},
		{
			name: "several-permissions-in-one-ticket",
			site: func(e *env, s *config.Site) {
				s.Resources = one(e, config.Condition{
					Paths: []string{"/echo/**"}, Scopes: []string{"view"},
					Ticket: []config.Permission{
						{ResourceID: e.as.resources["other"], ResourceScopes: []string{"view"}},
						{ResourceID: e.as.resources["album"], ResourceScopes: []string{"view"}},
					},
				})
			},
			steps: []step{
				{name: "no token", path: "/echo/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "the permission that counts is the resource's own", path: "/echo/a", token: "bob/other/view", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
			},
			run: func(e *env) {
				t := e.t
				require.JSONEq(t, `[{"resource_id":"`+e.as.resources["other"]+`","resource_scopes":["view"]},{"resource_id":"`+
					e.as.resources["album"]+`","resource_scopes":["view"]}]`, e.front.lastCall(permission).body)
				rpt, err := e.as.rpt(t.Context(), t, "alice", e.ticketOf(t, "/echo/a"), "")
				require.NoError(t, err, "a partial grant")
				e.step(t, &step{name: "a partial grant that does", path: "/echo/a", token: "=" + rpt, status: 200, introspections: 1})
			},
		},
		{
			name: "oauth-scopes", needs: canOAuth,
			site: func(_ *env, s *config.Site) {
				s.Require = config.RequireOAuthScopes
				s.AuthorizationServer.Permission = nil
			},
			steps: []step{
				{name: "no token", path: "/echo/album/a", status: 401, code: "no_token", challenge: "Bearer"},
				{name: "the scope", path: "/echo/album/a", token: "@alice view", status: 200, introspections: 1, api: map[string]string{"X-Uma-Scopes": "view", "X-Uma-Subject": "sub-of-alice", "X-Uma-Client-Id": "app"}},
				{name: "another scope", method: "PUT", path: "/echo/album/a", token: "@alice view", status: 403, code: "insufficient_permission", challenge: "Bearer", fault: "insufficient_scope"},
				{name: "not active", path: "/echo/album/a", token: "=nonsense", status: 401, code: "inactive_token", challenge: "Bearer", fault: "invalid_token", introspections: 1},
			},
		},
		{
			name: "mode-monitor",
			site: func(_ *env, s *config.Site) { s.Mode = config.ModeMonitor },
			steps: []step{
				{name: "no token", path: "/echo/album/a", status: 200, api: map[string]string{"X-Uma-Subject": ""}},
				{name: "not active", path: "/echo/album/a", token: "=nonsense", status: 200, introspections: 1},
				{name: "unmatched", path: "/echo/nowhere", status: 200},
				{name: "ambiguous", path: "/echo//album", status: 200},
				{name: "permitted", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1, api: map[string]string{"X-Uma-Scopes": "view"}},
			},
		},
		{
			name: "mode-off", once: true,
			site: func(_ *env, s *config.Site) { s.Mode = config.ModeOff },
			steps: []step{
				{name: "no token", path: "/echo/album/a", status: 200},
				{name: "nothing is asked", path: "/echo/album/a", token: "=nonsense", status: 200},
				{name: "nothing is judged", path: "/echo/album/../b", status: 200},
			},
		},
		{
			name: "mode-of-a-condition",
			site: func(_ *env, s *config.Site) {
				s.Resources[0].Conditions[0].Mode = config.ModeMonitor
				s.Resources[0].Conditions[1].Mode = config.ModeOff
			},
			steps: []step{
				{name: "monitored", path: "/echo/album/a", status: 200},
				{name: "off", method: "PUT", path: "/echo/album/a", status: 200},
				{name: "enforced", path: "/echo/other/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
		},
		{
			name: "enforced-condition-of-a-monitored-site",
			site: func(_ *env, s *config.Site) {
				s.Mode = config.ModeMonitor
				s.Resources[0].Conditions[0].Mode = config.ModeEnforce
			},
			steps: []step{
				{name: "enforced", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "monitored", method: "PUT", path: "/echo/album/a", status: 200},
			},
		},
		{
			name: "hosts", once: true,
			site: func(_ *env, s *config.Site) { s.Hosts = append(s.Hosts, "*.hosts.test", "[::1]") },
			steps: []step{
				{name: "no site", path: "/healthz", host: "nobody.test", status: 403, code: "unknown_host"},
				{name: "a suffix", path: "/healthz", host: "a.b.hosts.test", status: 200},
				{name: "the suffix alone, which is listed", path: "/healthz", host: "hosts.test", status: 200},
				{name: "upper case and a port", path: "/healthz", host: "HOSTS.Test:8080", status: 200},
				{name: "an address", path: "/healthz", host: "[::1]:80", status: 200},
				{name: "a trailing dot", path: "/healthz", host: "hosts.test.", status: 400, code: "invalid_host"},
				{name: "a suffix is no substring", path: "/healthz", host: "nothosts.test", status: 403, code: "unknown_host"},
			},
		},
		{
			name: "cors-preflight", once: true,
			site: func(_ *env, s *config.Site) { s.CORSPreflight = config.VerdictAllow },
			steps: []step{
				{name: "a preflight", method: "OPTIONS", path: "/echo/album/a", header: preflight, status: 200},
				{name: "no preflight", method: "OPTIONS", path: "/echo/album/a", header: http.Header{"Origin": {"https://app.example"}}, status: 403, code: "method_not_covered"},
				{name: "the request itself", method: "PUT", path: "/echo/album/a", header: preflight, status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "a preflight of an ambiguous path", method: "OPTIONS", path: "/echo//a", header: preflight, status: 400, code: "ambiguous_path"},
			},
		},
		{
			name: "cors-preflight-denied", once: true,
			steps: []step{
				{name: "by default", method: "OPTIONS", path: "/echo/album/a", header: preflight, status: 403, code: "method_not_covered"},
			},
		},
		{
			name: "case-insensitive", once: true,
			site: func(_ *env, s *config.Site) { s.Case = config.CaseInsensitive },
			steps: []step{
				{name: "another case is the same path", path: "/ECHO/Album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "forwarded as it came", path: "/ECHO/Public/a", status: 200},
			},
		},
		{
			name: "longest-and-most-literal-first",
			site: func(e *env, s *config.Site) {
				s.Resources = []config.Resource{
					{Name: "album", ID: e.as.resources["album"], Conditions: []config.Condition{
						{Paths: []string{"/echo/**"}, Scopes: []string{"edit"}},
						{Paths: []string{"/echo/{id}/photos"}, Scopes: []string{"view"}},
					}},
					{Name: "open", Conditions: []config.Condition{{Paths: []string{"/echo/new/photos", "/echo/*/list"}, Public: true}}},
				}
			},
			steps: []step{
				{name: "the rest", path: "/echo/1/other", token: "alice/album/view", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
				{name: "a name", path: "/echo/1/photos", token: "alice/album/view", status: 200},
				{name: "a literal before a name", path: "/echo/new/photos", status: 200},
				{name: "one segment", path: "/echo/x/list", status: 200},
				{name: "one segment is not two", path: "/echo/x/y/list", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
		},
		{
			name: "normalize", once: true,
			site: func(_ *env, s *config.Site) { s.AmbiguousPaths = config.PathsNormalize },
			steps: []step{
				{name: "dot segments", path: "/echo/album/../public/./a", status: 200, target: "/echo/public/a"},
				{name: "into what is protected", path: "/echo/public/../album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "slashes and encodings", path: "/echo%2fpublic%2F%61%3f", status: 400, code: "ambiguous_path"},
				{name: "encoded letters", path: "/%65cho/publi%63/a?q=%61", status: 200, target: "/echo/public/a?q=%61"},
				{name: "a permitted one", path: "/echo//album/a;v=1", token: "alice/album/view", status: 200, target: "/echo/album/a", introspections: 1},
				{name: "control bytes stay refused", path: "/echo/public/%00", status: 400},
			},
		},
		{
			name: "authorization-kept",
			steps: []step{
				{name: "permitted", path: "/echo/album/a", token: "=", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
			run: func(e *env) {
				t := e.t
				rpt := e.fresh(t, "view")
				e.step(t, &step{name: "kept", path: "/echo/album/a", token: "=" + rpt, status: 200, introspections: 1, api: map[string]string{"Authorization": "Bearer " + rpt}})
			},
		},
		{
			name: "authorization-stripped",
			site: func(_ *env, s *config.Site) { s.Token.AuthorizationHeader = config.HeaderStrip },
			steps: []step{
				{name: "permitted", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1, api: map[string]string{"Authorization": "", "X-Uma-Scopes": "view"}},
				{name: "public", path: "/echo/public/a", token: "=some", status: 200, api: map[string]string{"Authorization": ""}},
				{name: "what may hold a token", path: "/echo/public/a", header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}, status: 200, api: map[string]string{"Authorization": ""}},
				{name: "another scheme is the API's", path: "/echo/public/a", header: http.Header{"Authorization": {"Basic YTpi"}}, status: 200, api: map[string]string{"Authorization": "Basic YTpi"}},
			},
		},
		{
			name: "credentials", once: true,
			steps: []step{
				{name: "two", path: "/echo/album/a", header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}, status: 400, code: "invalid_request", challenge: "Bearer", fault: "invalid_request"},
				{name: "joined by a comma", path: "/echo/album/a", header: http.Header{"Authorization": {"Bearer a,Bearer b"}}, status: 400, code: "invalid_request", challenge: "Bearer", fault: "invalid_request"},
				{name: "empty", path: "/echo/album/a", header: http.Header{"Authorization": {"Bearer "}}, status: 400, code: "invalid_request", challenge: "Bearer", fault: "invalid_request"},
				{name: "two words", path: "/echo/album/a", header: http.Header{"Authorization": {"Bearer a b"}}, status: 400, code: "invalid_request", challenge: "Bearer", fault: "invalid_request"},
				{name: "another scheme is no bearer token", path: "/echo/album/a", header: http.Header{"Authorization": {"Basic YTpi"}}, status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "the scheme has no case", path: "/echo/album/a", header: http.Header{"Authorization": {"bEARER nonsense-1"}}, status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1},
			},
		},
		{
			name: "token-rules",
			site: func(e *env, s *config.Site) {
				s.Token.Issuers = []string{e.as.issuer}
				s.Token.ClientIDs = []string{e.as.app.id}
			},
			more: func(e *env) []config.Site {
				wrong := e.standardSite()
				wrong.Name, wrong.Hosts = "token-rules-issuer", []string{"issuer.token-rules.test"}
				wrong.Token.Issuers = []string{"https://another.example"}
				audience := e.standardSite()
				audience.Name, audience.Hosts = "token-rules-audience", []string{"audience.token-rules.test"}
				audience.Token.Audiences = []string{"https://another.example"}
				client := e.standardSite()
				client.Name, client.Hosts = "token-rules-client", []string{"client.token-rules.test"}
				client.Token.ClientIDs = []string{"another"}
				return []config.Site{wrong, audience, client}
			},
			steps: []step{
				{name: "as the site wants", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1},
				{name: "another issuer", host: "issuer.token-rules.test", path: "/echo/album/a", token: "alice/album/view", status: 401, code: "wrong_issuer", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1},
				{name: "another audience", host: "audience.token-rules.test", path: "/echo/album/a", token: "alice/album/view", status: 401, code: "wrong_audience", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1},
				{name: "another client", host: "client.token-rules.test", path: "/echo/album/a", token: "alice/album/view", status: 401, code: "wrong_client", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1},
			},
		},
		{
			name: "not-registered",
			site: func(_ *env, s *config.Site) { s.Resources[0].ID = "" },
			steps: []step{
				{name: "no token", path: "/echo/album/a", status: 403, code: "resource_not_registered", answer: map[string]string{"Warning": `199 - "UMA Authorization Server Unreachable"`}},
				{name: "a token", path: "/echo/album/a", token: "alice/album/view", status: 403, code: "resource_not_registered", introspections: 1},
				{name: "what needs none", path: "/healthz", status: 200},
			},
		},
		{
			name: "unknown-resource-at-the-as",
			site: func(_ *env, s *config.Site) { s.Resources[0].ID = "was-deleted" },
			steps: []step{
				{name: "no ticket to be had", path: "/echo/album/a", status: 403, code: "no_ticket", tickets: 1},
			},
		},
		{
			name: "max-ttl-none",
			site: func(_ *env, s *config.Site) { s.Token.MaxTTLMS, s.Token.NegativeTTLMS = -1, -1 },
			steps: []step{
				{name: "once", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1},
				{name: "and again", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1},
				{name: "a bad one", path: "/echo/album/a", token: "=bad", status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1},
				{name: "a bad one again", path: "/echo/album/a", token: "=bad", status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1},
			},
		},
		{
			name: "negative-cache",
			steps: []step{
				{name: "once", path: "/echo/album/a", token: "=bad", status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1},
				{name: "and again", path: "/echo/album/a", token: "=bad", status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", tickets: 1},
				{name: "on another condition", path: "/echo/other/a", token: "=bad", status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", tickets: 1},
			},
		},
	}
}
