package decision_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestCompileFaults has every fault of a configuration, by its path.
func TestCompileFaults(t *testing.T) {
	site := func(change func(*config.Site)) func(*config.Config) { return siteOf(change) }
	albums := func(change func(*config.Condition)) func(*config.Config) {
		return siteOf(func(s *config.Site) { change(&s.Resources[0].Conditions[0]) })
	}
	const condition = "sites[0].resources[0].conditions[0]"
	evaluation := func(change func(*config.Evaluation)) func(*config.Config) {
		return func(c *config.Config) {
			evaluating(c)
			change(c.Sites[0].AuthorizationServer.Evaluation)
		}
	}
	tests := []struct {
		name   string
		change func(*config.Config)
		path   string
		remedy string // part of what is said
	}{
		{"no sites", func(c *config.Config) { c.Sites = nil }, "sites", "at least one"},
		{"unknown_hosts", func(c *config.Config) { c.UnknownHosts = "maybe" }, "unknown_hosts", "deny, allow"},
		{"cache.entries", func(c *config.Config) { c.Cache.Entries = -1 }, "cache.entries", "too small"},
		{"cache.bytes", func(c *config.Config) { c.Cache.Bytes = 1 }, "cache.bytes", "too small"},
		{"cache.negative_entries", func(c *config.Config) { c.Cache.NegativeEntries = -1 }, "cache.negative_entries", "too small"},
		{"cache.negative_bytes", func(c *config.Config) { c.Cache.NegativeBytes = 1023 }, "cache.negative_bytes", "too small"},
		{"site name", site(func(s *config.Site) { s.Name = "Photos" }), "sites[0].name", "lower-case"},
		{"no site name", site(func(s *config.Site) { s.Name = "" }), "sites[0].name", "lower-case"},
		{"long site name", site(func(s *config.Site) { s.Name = strings.Repeat("a", 64) }), "sites[0].name", "63"},
		{"site name with a dot", site(func(s *config.Site) { s.Name = "a.b" }), "sites[0].name", "lower-case"},
		{"site twice", func(c *config.Config) {
			other := photos().Sites[0]
			other.Hosts = []string{"other"}
			c.Sites = append(c.Sites, other)
		}, "sites[1].name", "another site"},
		{"host twice", func(c *config.Config) {
			other := photos().Sites[0]
			other.Name, other.Hosts = "other", []string{"x", "PHOTOS.example.com"}
			c.Sites = append(c.Sites, other)
		}, "sites[1].hosts[1]", "another site"},
		{"no hosts", site(func(s *config.Site) { s.Hosts = nil }), "sites[0].hosts", "at least one"},
		{"host with a port", site(func(s *config.Site) { s.Hosts[0] = "h:80" }), "sites[0].hosts[0]", "without port"},
		{"mode", site(func(s *config.Site) { s.Mode = "on" }), "sites[0].mode", "enforce, monitor, off"},
		{"unmatched", site(func(s *config.Site) { s.Unmatched = "x" }), "sites[0].unmatched", "deny, allow"},
		{"cors_preflight", site(func(s *config.Site) { s.CORSPreflight = "x" }), "sites[0].cors_preflight", "deny, allow"},
		{"ambiguous_paths", site(func(s *config.Site) { s.AmbiguousPaths = "x" }), "sites[0].ambiguous_paths", "reject, normalize"},
		{"override_headers", site(func(s *config.Site) { s.OverrideHeaders = "x" }), "sites[0].override_headers", "strip, keep"},
		{"require", site(func(s *config.Site) { s.Require = "x" }), "sites[0].require", "uma, oauth_scopes"},
		{"case", site(func(s *config.Site) { s.Case = "x" }), "sites[0].case", "sensitive, insensitive"},
		{"leeway", site(func(s *config.Site) { s.Token.LeewayMS = -1 }), "sites[0].token.leeway_ms", "between"},
		{"long leeway", site(func(s *config.Site) { s.Token.LeewayMS = 300_001 }), "sites[0].token.leeway_ms", "five minutes"},
		{"max_ttl", site(func(s *config.Site) { s.Token.MaxTTLMS = -2 }), "sites[0].token.max_ttl_ms", "-1"},
		{"refresh", site(func(s *config.Site) { s.Token.Refresh = "never" }), "sites[0].token.refresh", "ahead, on_demand"},
		{"evaluation for nobody", evaluation(func(e *config.Evaluation) { e.Audience = "" }), "sites[0].authorization_server.evaluation.audience", "claim_token_format"},
		{"evaluation in two ways", evaluation(func(e *config.Evaluation) { e.ClaimTokenFormat = "urn:x" }), "sites[0].authorization_server.evaluation.audience", "not both"},
		{"owner asked with a ticket", evaluation(func(e *config.Evaluation) { e.Audience, e.ClaimTokenFormat, e.AskOwner = "", "urn:x", true }), "sites[0].authorization_server.evaluation.ask_owner", "policies of the AS"},
		{"token introspected in vain", evaluation(func(e *config.Evaluation) {
			e.TokenIntrospection = &config.Endpoint{Cluster: "c", Authority: "a", Path: "/"}
		}), "sites[0].authorization_server.evaluation.token_introspection", "not introspected"},
		{"token introspected nowhere", evaluation(func(e *config.Evaluation) {
			e.Audience, e.ClaimTokenFormat, e.TokenIntrospection = "", "urn:x", &config.Endpoint{Cluster: "c", Authority: "a"}
		}), "sites[0].authorization_server.evaluation.token_introspection.path", "begin"},
		{"refreshes", site(func(s *config.Site) { s.Limits.RefreshesPerSecond = -1 }), "sites[0].limits.refreshes_per_second", "too small"},
		{"stale", site(func(s *config.Site) { s.Token.StaleMS = -1 }), "sites[0].token.stale_ms", "a day"},
		{"long stale", site(func(s *config.Site) { s.Token.StaleMS = 86_400_001 }), "sites[0].token.stale_ms", "a day"},
		{"negative_ttl", site(func(s *config.Site) { s.Token.NegativeTTLMS = -2 }), "sites[0].token.negative_ttl_ms", "-1"},
		{"authorization_header", site(func(s *config.Site) { s.Token.AuthorizationHeader = "x" }), "sites[0].token.authorization_header", "keep, strip"},
		{"tickets_per_second", site(func(s *config.Site) { s.Limits.TicketsPerSecond = -1 }), "sites[0].limits.tickets_per_second", "too small"},
		{"ticket_burst", site(func(s *config.Site) { s.Limits.TicketBurst = -1 }), "sites[0].limits.ticket_burst", "too small"},
		{"calls_in_flight", site(func(s *config.Site) { s.Limits.CallsInFlight = -1 }), "sites[0].limits.calls_in_flight", "too small"},
		{"as_uri", site(func(s *config.Site) { s.AuthorizationServer.URI = "" }), "sites[0].authorization_server.uri", "needed"},
		{"no permission endpoint", site(func(s *config.Site) { s.AuthorizationServer.Permission = nil }), "sites[0].authorization_server.permission", "oauth_scopes"},
		{"cluster", site(func(s *config.Site) { s.AuthorizationServer.Introspection.Cluster = "" }), "sites[0].authorization_server.introspection.cluster", "needed"},
		{"authority", site(func(s *config.Site) { s.AuthorizationServer.Permission.Authority = "" }), "sites[0].authorization_server.permission.authority", "needed"},
		{"authority with a line end", site(func(s *config.Site) { s.AuthorizationServer.Permission.Authority = "a\r\nb" }), "sites[0].authorization_server.permission.authority", "needed"},
		{"path", site(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "x" }), "sites[0].authorization_server.introspection.path", "begin"},
		{"path with a space", site(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/x y" }), "sites[0].authorization_server.introspection.path", "space"},
		{"scheme", site(func(s *config.Site) { s.AuthorizationServer.Introspection.Scheme = "ftp" }), "sites[0].authorization_server.introspection.scheme", "https or http"},
		{"timeout", site(func(s *config.Site) { s.AuthorizationServer.Introspection.TimeoutMS = -1 }), "sites[0].authorization_server.introspection.timeout_ms", "too small"},
		{"claims", site(func(s *config.Site) { s.AuthorizationServer.Introspection.Claims = "x" }), "sites[0].authorization_server.introspection.claims", "response, token"},
		{"credentials of two lines", site(func(s *config.Site) {
			s.AuthorizationServer.Introspection.InsecureInlineCredentials = "Basic a\r\nx: y"
		}), "sites[0].authorization_server.introspection.insecure_inline_credentials", "one header"},
		{"no resource name", site(func(s *config.Site) { s.Resources[0].Name = "" }), "sites[0].resources[0].name", "must be there"},
		{"resource twice", site(func(s *config.Site) { s.Resources[1].Name = "albums" }), "sites[0].resources[1].name", "only one"},
		{"no conditions", site(func(s *config.Site) { s.Resources[1].Conditions = nil }), "sites[0].resources[1].conditions", "at least one"},
		{"no paths", albums(func(c *config.Condition) { c.Paths = nil }), condition + ".paths", "at least one"},
		{"bad path", albums(func(c *config.Condition) { c.Paths[1] = "/a{id" }), condition + ".paths[1]", "literal character"},
		{"path twice", albums(func(c *config.Condition) { c.Paths[1] = "/albums/{x}" }), condition + ".paths[1]", "GET"},
		{"path of another condition", site(func(s *config.Site) { s.Resources[1].Conditions[0].Paths[0] = "/healthz" }), "sites[0].resources[4].conditions[0].paths[0]", "every method"},
		{"method twice", albums(func(c *config.Condition) { c.Methods = []string{"GET", "PUT"} }), "sites[0].resources[0].conditions[1].paths[0]", "PUT"},
		{"method in lower case", albums(func(c *config.Condition) { c.Methods[0] = "get" }), condition + ".methods[0]", "upper case"},
		{"empty method", albums(func(c *config.Condition) { c.Methods[0] = "" }), condition + ".methods[0]", "upper case"},
		{"CONNECT", albums(func(c *config.Condition) { c.Methods[0] = "CONNECT" }), condition + ".methods[0]", "never forwarded"},
		{"condition mode", albums(func(c *config.Condition) { c.Mode = "x" }), condition + ".mode", "enforce, monitor, off"},
		{"nothing needed", albums(func(c *config.Condition) { c.Scopes = nil }), condition, "exactly one"},
		{"public with scopes", albums(func(c *config.Condition) { c.Public = true }), condition, "exactly one"},
		{"scopes and expression", albums(func(c *config.Condition) { c.ScopeExpression = &config.ScopeExpression{} }), condition, "exactly one"},
		{"empty scopes", albums(func(c *config.Condition) { c.Scopes = []string{} }), condition + ".scopes", "at least one"},
		{"empty acr", albums(func(c *config.Condition) { c.ACR = []string{} }), condition + ".acr", "at least one"},
		{"blank scope", albums(func(c *config.Condition) { c.Scopes[0] = "a b" }), condition + ".scopes", "space"},
		{"ticket scope", site(func(s *config.Site) { s.Resources[1].Conditions[0].Ticket[1].ResourceScopes[0] = "" }), "sites[0].resources[1].conditions[0].ticket[1].resource_scopes[0]", "empty"},
		{"operator", albums(func(c *config.Condition) {
			c.Scopes, c.ScopeExpression = nil, &config.ScopeExpression{Rule: json.RawMessage(`{"xor":[]}`), Data: []string{"a"}}
		}), condition + ".scope_expression", "operators"},
		{"index", albums(func(c *config.Condition) {
			c.Scopes, c.ScopeExpression = nil, &config.ScopeExpression{Rule: json.RawMessage(`{"var":1}`), Data: []string{"a"}}
		}), condition + ".scope_expression", "index"},
		{"no rule", albums(func(c *config.Condition) {
			c.Scopes, c.ScopeExpression = nil, &config.ScopeExpression{Data: []string{"a"}}
		}), condition + ".scope_expression", "JSON"},
		{"no data", albums(func(c *config.Condition) {
			c.Scopes, c.ScopeExpression = nil, &config.ScopeExpression{Rule: json.RawMessage(`true`)}
		}), condition + ".scope_expression", "at least one scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := photos()
			tt.change(c)
			policy, err := decision.Compile(c)
			require.Nil(t, policy)
			var faults config.Faults
			require.ErrorAs(t, err, &faults)
			paths := []string{}
			said := ""
			for _, f := range faults {
				paths = append(paths, f.Path)
				if f.Path == tt.path {
					said = f.Problem
				}
			}
			require.Contains(t, paths, tt.path)
			require.Contains(t, said, tt.remedy)
		})
	}
	t.Run("all at once", func(t *testing.T) {
		c := photos()
		for _, tt := range tests[1:10] {
			tt.change(c)
		}
		_, err := decision.Compile(c)
		var faults config.Faults
		require.ErrorAs(t, err, &faults)
		require.GreaterOrEqual(t, len(faults), 6)
	})
}

func TestCompile(t *testing.T) {
	c := photos()
	c.Revision = "7"
	policy, err := decision.Compile(c)
	require.NoError(t, err)
	require.Equal(t, "7", policy.Revision)
	require.Equal(t, []string{"photos"}, policy.Sites())
	require.Same(t, policy, decision.NewWorker().Evaluator(policy).Policy())
}

// TestZeroValuesDeny: what was forgotten, denies.
func TestZeroValuesDeny(t *testing.T) {
	var step decision.Step
	require.Equal(t, decision.KindDeny, step.Kind)
	var reason decision.Reason
	require.False(t, reason.Allows())
	require.Equal(t, 503, reason.Status())
	require.False(t, decision.Reasons.Allows(), "a reason that does not exist")
	var d decision.Decision
	require.Equal(t, decision.EffectDeny, d.Effect)
	require.Equal(t, "deny", decision.Effects.String())
}

// TestReasons: each has a code of its own, and a denial has something to say.
func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := range decision.Reasons {
		code := r.String()
		require.Regexp(t, `^[a-z][a-z_]*$`, code)
		require.False(t, seen[code], code)
		seen[code] = true
		if !r.Allows() {
			require.NotEmpty(t, r.Detail(), code)
			require.GreaterOrEqual(t, r.Status(), 400, code)
		}
	}
}
