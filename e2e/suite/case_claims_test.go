package suite_test

import (
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// claimScenarios are about what the AS says of a token beside its permissions. alice is
// an editor and in the groups "staff" and "crew, and friends"; bob is nothing.
func claimScenarios() []scenario {
	asks := func(path string, mode config.Mode, claims ...config.Claim) config.Condition {
		return config.Condition{Paths: []string{path}, Scopes: []string{"view"}, Claims: claims, Mode: mode}
	}
	role := func(name string) config.Claim {
		return config.Claim{Path: []string{"realm_access", "roles"}, AnyOf: []string{name}}
	}
	level := func(values ...string) config.Claim { return config.Claim{Path: []string{"level"}, AnyOf: values} }
	own := config.Claim{Path: []string{"sub"}, Variables: []string{"user"}}
	group := config.Claim{Path: []string{"groups"}, AnyOf: []string{"crew", "staff"}}
	conditions := func(_ *env, s *config.Site) {
		s.ClaimHeaders = []config.ClaimHeader{{Name: "x-uma-groups", Path: []string{"groups"}}, {Name: "x-uma-none", Path: []string{"none"}}, {Name: "x-uma-level", Path: []string{"level"}}}
		for i := range s.Resources[:2] {
			root := "/echo/" + s.Resources[i].Name
			s.Resources[i].Conditions = append(s.Resources[i].Conditions,
				asks(root+"-editors/**", "", role("editor")), asks(root+"-auditors/**", "", role("auditor")),
				asks(root+"-watched/**", config.ModeMonitor, role("auditor")), asks(root+"-staff/**", "", role("editor"), group),
				asks(root+"-of/{user}/**", "", own), asks(root+"-three/**", "", level("3"), config.Claim{Path: []string{"employed"}, AnyOf: []string{"true"}}),
				asks(root+"-four/**", "", level("4", "3.0", "03", "33")))
		}
	}
	evaluated := func(e *env, s *config.Site) {
		conditions(e, s)
		s.AuthorizationServer.Evaluation = e.as.evaluation()
	}
	return []scenario{
		{name: "claims", site: conditions, run: claims},
		{name: "reported-claims", run: reportedClaims, site: func(e *env, s *config.Site) {
			conditions(e, s)
			s.ReportedClaims = []config.TokenClaim{{Name: "groups", Path: []string{"groups"}}, {Name: "roles", Path: []string{"realm_access", "roles"}}, {Name: "none", Path: []string{"none"}}}
		}},
		{name: "claims-plain-token", site: evaluated, run: claimsOfPlainToken},
		{name: "claims-oauth-scopes", needs: canOAuth, site: func(e *env, s *config.Site) {
			conditions(e, s)
			s.Require = config.RequireOAuthScopes
		}, steps: []step{
			{name: "fits", path: "/echo/album-editors/a", token: "@alice view", status: 200, introspections: -1},
			{name: "does not fit", path: "/echo/album-auditors/a", token: "@alice view", status: 403, code: "insufficient_claims", introspections: -1},
			{name: "without the scope", path: "/echo/album-editors/a", token: "@alice edit", status: 403, code: "insufficient_permission", challenge: "Bearer", fault: "insufficient_scope", introspections: -1},
		}},
	}
}

func claims(e *env) {
	t := e.t
	const alice, bob, none = "alice/album/view", "bob/other/view", "insufficient_claims"
	forged := http.Header{"X-Uma-Groups": {"root"}, "X_uma_groups": {"root"}, "X-Uma-None": {"root"}, "X-Uma-Level": {"4"}}
	told := map[string]string{"X-Uma-Groups": "crew%2C and friends,staff", "X_uma_groups": "", "X-Uma-None": "", "X-Uma-Level": "3"}
	e.step(t, &step{name: "a role", path: "/echo/album-editors/a", token: alice, status: 200, introspections: -1, header: forged, api: told})
	e.step(t, &step{name: "nothing asked for", path: "/echo/album/a", token: alice, status: 200, header: forged, api: told})
	e.step(t, &step{name: "another role", path: "/echo/album-auditors/a", token: alice, status: 403, code: none})
	e.step(t, &step{name: "another role, watched", path: "/echo/album-watched/a", token: alice, status: 200, header: forged, api: map[string]string{"X-Uma-Subject": "", "X-Uma-Groups": ""}})
	e.step(t, &step{name: "a role and a group", path: "/echo/album-staff/a", token: alice, status: 200})
	e.step(t, &step{name: "her own", path: "/echo/album-of/" + e.as.subjects["alice"] + "/a", token: alice, status: 200})
	e.step(t, &step{name: "his", path: "/echo/album-of/" + e.as.subjects["bob"] + "/a", token: alice, status: 403, code: none})
	e.step(t, &step{name: "a number and true", path: "/echo/album-three/a", token: alice, status: 200})
	e.step(t, &step{name: "another number", path: "/echo/album-four/a", token: alice, status: 403, code: none})
	e.step(t, &step{name: "no role", path: "/echo/other-editors/a", token: bob, status: 403, code: none, introspections: -1})
	e.step(t, &step{name: "no role and no group", path: "/echo/other-staff/a", token: bob, status: 403, code: none, introspections: -1})
	e.step(t, &step{name: "his own", path: "/echo/other-of/" + e.as.subjects["bob"] + "/a", token: bob, status: 200, introspections: -1})
	e.step(t, &step{name: "no token", path: "/echo/album-editors/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
	e.step(t, &step{name: "a ticket helps", path: "/echo/other-editors/a", token: alice, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: -1, tickets: -1})
	if e.as.kind == "keycloak" {
		// Such a token and the answer with the hint say nothing of roles; the answer without
		// may.
		light := e.as.lightweight(t.Context(), t)
		r := e.client.do(t, e.request(t, &step{method: http.MethodGet, path: "/echo/album-of/" + e.as.subjects["alice"] + "/a"}, light))
		require.Equal(t, 200, r.status, "%s", r.body)
	}
}

// claimsOfPlainToken: what the AS has evaluated, it has verified; of an opaque token it says
// the claims when it is asked.
func claimsOfPlainToken(e *env) {
	t := e.t
	token := "=" + e.plain(t, "alice")
	e.evaluated(t, 1, step{name: "a role", path: "/echo/album-editors/a", token: token, status: 200})
	e.evaluated(t, 0, step{name: "another role", path: "/echo/album-auditors/a", token: token, status: 403, code: "insufficient_claims"})
	e.evaluated(t, 0, step{name: "her own", path: "/echo/album-of/" + e.as.subjects["alice"] + "/a", token: token, status: 200})
	e.evaluated(t, 0, step{name: "his", path: "/echo/album-of/" + e.as.subjects["bob"] + "/a", token: token, status: 403, code: "insufficient_claims"})
	e.evaluated(t, 0, step{name: "another role, and no permission", path: "/echo/other-auditors/a", token: token, status: 403, code: "insufficient_claims"})
	fresh := step{name: "another role, of a token that the AS refuses", path: "/echo/other-auditors/b", token: "=" + e.plain(t, "alice"), status: 403, code: "insufficient_claims"}
	if !strings.Contains(fresh.token, ".") { // it says nothing, and nobody asks what claims it has
		fresh.status, fresh.code, fresh.challenge, fresh.fault, fresh.tickets = 401, "insufficient_permission", "UMA", "insufficient_scope", 1
	}
	e.evaluated(t, 1, fresh)
}

// reportedClaims: the access log has the claims of who was let through by a good token, and
// of nobody else.
func reportedClaims(e *env) {
	t := e.t
	alice := "alice/album/view"
	own := strings.ReplaceAll(t.Name(), "/", "-")
	said := func(path string) (any, bool) {
		claims, ok := e.reportOf(t, path)["claims"].(map[string]any)
		return claims["groups"], ok
	}
	e.step(t, &step{name: "permitted", path: "/echo/album-editors/" + own, token: alice, status: 200, introspections: -1})
	groups, _ := said("/echo/album-editors/" + own)
	require.ElementsMatch(t, []any{"staff", "crew, and friends"}, groups)
	e.step(t, &step{name: "refused", path: "/echo/album-auditors/" + own, token: alice, status: 403, code: "insufficient_claims"})
	_, ok := said("/echo/album-auditors/" + own)
	require.False(t, ok)
	e.step(t, &step{name: "watched", path: "/echo/album-watched/" + own, token: alice, status: 200})
	_, ok = said("/echo/album-watched/" + own)
	require.False(t, ok)
	e.step(t, &step{name: "public", path: "/echo/public/" + own, token: alice, status: 200})
	_, ok = said("/echo/public/" + own)
	require.False(t, ok)
}
