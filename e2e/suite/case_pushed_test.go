package suite_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/plugin/config"
)

// pushedScenarios are about what the AS is told of each request, for its policies. Those of
// Keycloak decide by it; the dev AS permits alice everything on "gated" whatever it is told.
func pushedScenarios() []scenario {
	gated := func(e *env, s *config.Site) {
		s.AuthorizationServer.Evaluation = e.as.evaluation()
		s.Limits.EvaluationsPerSecond = 10_000
		asks := func(path, scope string, claims ...config.PushedClaim) config.Condition {
			return config.Condition{Paths: []string{path}, Scopes: []string{scope}, PushedClaims: claims}
		}
		s.Resources = append(s.Resources, config.Resource{Name: "gated", ID: e.as.resources["gated"], Conditions: []config.Condition{
			asks("/echo/gated-tenant/**", "view", config.PushedClaim{Name: "tenant", Source: config.ClaimOfHeader, Of: "x-tenant"}),
			asks("/echo/gated-method/**", "edit", config.PushedClaim{Name: "method", Source: config.ClaimOfMethod}),
			asks("/echo/gated-of/{album}/**", "share", config.PushedClaim{Name: "album", Source: config.ClaimOfVariable, Of: "album"}, config.PushedClaim{Name: "ip", Source: config.ClaimOfClientAddress}),
			{Paths: []string{"/echo/gated-plain/**"}, Scopes: []string{"view"}},
		}})
	}
	return []scenario{{name: "pushed-claims", site: gated, run: pushedClaims}}
}

// gate has Keycloak permit alice what she does on "gated" by what it is told of the request.
func gate(t *testing.T, server *keycloak.Server, clientID string) {
	t.Helper()
	policy := func(name, kind string, config map[string]string) map[string]any {
		return map[string]any{"name": name, "type": kind, "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": config}
	}
	told := func(name, pattern string) map[string]any {
		return policy("told "+name, "regex", map[string]string{"targetClaim": name, "pattern": pattern, "targetContextAttributes": "true"})
	}
	require.NoError(t, server.Admin(t.Context(), http.MethodPost, "/clients/"+clientUUID(t, server, clientID)+"/authz/resource-server/import", map[string]any{
		"policyEnforcementMode": "ENFORCING", "decisionStrategy": "UNANIMOUS", "allowRemoteResourceManagement": true,
		"resources": []any{}, "scopes": []any{},
		"policies": []any{
			told("tenant", "^acme$"), told("method", "^(GET|PUT)$"), told("album", "^open-[0-9]+$"), told("ip", `^127\.0\.0\.1$`),
			policy("gated view", "scope", map[string]string{"resources": `["gated"]`, "scopes": `["view"]`, "applyPolicies": `["alice","told tenant"]`}),
			policy("gated edit", "scope", map[string]string{"resources": `["gated"]`, "scopes": `["edit"]`, "applyPolicies": `["alice","told method"]`}),
			policy("gated share", "scope", map[string]string{"resources": `["gated"]`, "scopes": `["share"]`, "applyPolicies": `["alice","told album","told ip"]`}),
		},
	}, nil))
}

// pushedClaims: the AS is asked about each request of which it is told something new, and a
// permission that it granted for one counts for no other.
func pushedClaims(e *env) {
	t := e.t
	alice, bob := "="+e.plain(t, "alice"), "="+e.plain(t, "bob")
	decides := e.as.kind == "keycloak"
	tenant := func(values ...string) http.Header { return http.Header{"X-Tenant": values} }
	// With each evaluation a ticket is asked for, and another one for the client that is refused.
	permitted := func(n int, s step) {
		t.Helper()
		s.status, s.tickets = 200, n
		e.evaluated(t, n, s)
	}
	refused := func(s step) {
		t.Helper()
		if !decides {
			permitted(1, s)
			return
		}
		s.status, s.code, s.challenge, s.fault, s.tickets = 401, "insufficient_permission", "UMA", "insufficient_scope", 2
		e.evaluated(t, 1, s)
	}
	told := func() map[string]any {
		t.Helper()
		var asked []struct {
			Claims map[string]any `json:"claims"`
		}
		require.NoError(t, json.Unmarshal([]byte(e.front.lastCall(permission).body), &asked))
		return asked[0].Claims
	}
	identity := map[string]string{"X-Uma-Resource-Id": "{gated}", "X-Uma-Scopes": "view"}
	permitted(1, step{name: "her tenant", path: "/echo/gated-tenant/a", token: alice, header: tenant("acme"), api: identity})
	require.Equal(t, map[string]any{"tenant": []any{"acme"}}, told())
	permitted(0, step{name: "once more", path: "/echo/gated-tenant/b", token: alice, header: tenant("acme"), api: identity})
	refused(step{name: "another tenant", path: "/echo/gated-tenant/a", token: alice, header: tenant("other")})
	require.Equal(t, map[string]any{"tenant": []any{"other"}}, told(), "the client's ticket has the claims, too")
	refused(step{name: "no tenant", path: "/echo/gated-tenant/a", token: alice})
	require.Empty(t, told())
	permitted(0, step{name: "hers is still known", path: "/echo/gated-tenant/a", token: alice, header: tenant("acme")})
	for name, header := range map[string]http.Header{
		"two tenants": tenant("acme", "other"), "one in another spelling": {"X-Tenant": {"acme"}, "X_tenant": {"other"}}, "too much": tenant(strings.Repeat("a", 1100)),
	} {
		e.step(t, &step{name: name, path: "/echo/gated-tenant/a", token: alice, header: header, status: 400, code: "claims_not_pushed"})
	}
	// What was granted for a tenant does not count where none is told, nor the other way round.
	if decides {
		e.evaluated(t, 1, step{name: "without being told", path: "/echo/gated-plain/a", token: alice, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1})
	}

	permitted(1, step{name: "a method", path: "/echo/gated-method/a", token: alice})
	refused(step{name: "another method", method: http.MethodDelete, path: "/echo/gated-method/a", token: alice})
	permitted(1, step{name: "one more", method: http.MethodPut, path: "/echo/gated-method/a", token: alice})

	permitted(1, step{name: "an album", path: "/echo/gated-of/open-1/a", token: alice})
	require.Equal(t, map[string]any{"album": []any{"open-1"}, "ip": []any{"127.0.0.1"}}, told())
	refused(step{name: "another album", path: "/echo/gated-of/shut-1/a", token: alice})
	e.evaluated(t, 1, step{name: "another person", path: "/echo/gated-of/open-1/a", token: bob, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 2})

	if decides { // why claims go by the ticket
		status, said := e.as.token(t.Context(), t, client{}, strings.TrimPrefix(alice, "="), url.Values{
			"grant_type": {grantUMA}, "audience": {e.as.rs.id}, "permission": {e.as.resources["gated"] + "#view"}, "response_mode": {"permissions"},
			"claim_token_format": {"urn:ietf:params:oauth:token-type:jwt"}, "claim_token": {base64.StdEncoding.EncodeToString([]byte(`{"tenant":["acme"]}`))},
		})
		require.Equal(t, 403, status)
		require.Equal(t, "Public clients are not allowed to send claims", said["error_description"])
	}

	// A token with permissions says nothing of what they were granted for.
	a := e.client.do(t, e.request(t, &step{path: "/echo/gated-tenant/a", header: tenant("acme")}, ""))
	require.Equal(t, 401, a.status)
	ticket := parseChallenge(a.header.Get("Www-Authenticate")).params["ticket"]
	rpt, err := e.as.rpt(t.Context(), t, "alice", ticket, "")
	require.NoError(t, err)
	before := e.front.evaluationsOf(rpt)
	for header, want := range map[string]int{"acme": 200, "other": 401} {
		if !decides {
			want = 200
		}
		a = e.client.do(t, e.request(t, &step{path: "/echo/gated-tenant/a", header: tenant(header)}, rpt))
		require.Equal(t, want, a.status, "%s: %s", header, a.body)
	}
	require.GreaterOrEqual(t, e.front.evaluationsOf(rpt)-before, 2)
}
