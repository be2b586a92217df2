package suite_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// evaluationScenarios are about clients that know OAuth and not UMA: the AS is asked what
// their tokens may.
func evaluationScenarios() []scenario {
	plain := func(e *env, s *config.Site) {
		s.AuthorizationServer.Evaluation = e.as.evaluation()
		s.Limits.EvaluationsPerSecond = 10_000
		s.Resources[0].Conditions = append(s.Resources[0].Conditions, config.Condition{
			Paths:           []string{"/echo/shared/**"},
			ScopeExpression: &config.ScopeExpression{Rule: json.RawMessage(`{"and":[{"var":0},{"var":1}]}`), Data: []string{"view", "share"}},
		})
		s.Resources = append(s.Resources, config.Resource{Name: "gone", ID: "no-such-resource", Conditions: []config.Condition{{Paths: []string{"/echo/gone/**"}, Scopes: []string{"view"}}}})
	}
	challenge := func(c config.Challenge) func(e *env, s *config.Site) {
		return func(e *env, s *config.Site) {
			plain(e, s)
			s.Challenge = c
		}
	}
	forgetful := func(e *env, s *config.Site) {
		plain(e, s)
		s.Token.MaxTTLMS, s.Token.NegativeTTLMS = -1, -1
	}
	hasty := func(e *env) []config.Site {
		s := e.standardSite()
		forgetful(e, &s)
		s.Name, s.Hosts = s.Name+"-hasty", []string{"hasty." + e.host}
		s.AuthorizationServer.Evaluation.TimeoutMS = 250
		return []config.Site{s}
	}
	return []scenario{
		{name: "plain-token", site: plain, run: plainToken},
		{name: "plain-token-bearer", site: challenge(config.ChallengeBearer), run: plainTokenBearer},
		{name: "plain-token-both", site: challenge(config.ChallengeBoth), run: plainTokenBoth},
		{name: "plain-token-monitor", site: func(e *env, s *config.Site) {
			plain(e, s)
			s.Mode = config.ModeMonitor
		}, run: plainTokenMonitor},
		{name: "plain-token-beside-rpt", site: plain, run: plainTokenBesideRPT},
		{name: "plain-token-revoked", site: plain, run: plainTokenRevoked},
		{name: "plain-token-ended", site: forgetful, run: plainTokenEnded},
		{name: "plain-token-failures", site: forgetful, more: hasty, run: plainTokenFailures},
		{name: "plain-token-1000-requests", site: plain, run: plainTokenCrowd},
		{name: "step-up", site: func(e *env, s *config.Site) {
			plain(e, s)
			asks := func(path string, acr []string, seconds int) config.Condition {
				return config.Condition{Paths: []string{path}, Scopes: []string{"view"}, ACR: acr, MaxAuthAgeS: seconds}
			}
			s.Resources[0].Conditions = append(s.Resources[0].Conditions,
				asks("/echo/password/**", []string{"1"}, 0), asks("/echo/gold/**", []string{"gold", "1.5"}, 0), asks("/echo/recent/**", nil, 60))
		}, run: stepUp},
		{name: "plain-token-stale", site: func(e *env, s *config.Site) {
			forgetful(e, s)
			s.Token.StaleMS = 600_000
		}, run: plainTokenStale},
	}
}

// plain logs a person in, and returns an access token that no gateway has seen.
func (e *env) plain(t *testing.T, user string) string {
	t.Helper()
	return e.as.accessToken(t.Context(), t, user)
}

// evaluated does a step and checks how often the AS was asked what its token may: others in
// use are asked about again meanwhile.
func (e *env) evaluated(t *testing.T, n int, s step) {
	t.Helper()
	token := strings.TrimPrefix(s.token, "=")
	before, dials := e.front.evaluationsOf(token), e.client.dials.Load()
	e.step(t, &s)
	asked, slack := e.front.evaluationsOf(token)-before, int(e.client.dials.Load()-dials)
	require.True(t, asked == n || asked > n && asked <= n+slack, "%s: %d evaluations", s.name, asked)
}

// subjectOf is what the API is told of whose the token is: what the token says.
func (e *env) subjectOf(user, token string) string {
	if strings.Count(token, ".") == 2 {
		return e.as.subjects[user]
	}
	return ""
}

func plainToken(e *env) {
	t := e.t
	alice, bob := e.plain(t, "alice"), e.plain(t, "bob")
	identity := map[string]string{"X-Uma-Subject": e.subjectOf("alice", alice), "X-Uma-Scopes": "view", "X-Uma-Resource-Id": "{album}"}
	e.evaluated(t, 1, step{name: "permitted", path: "/echo/album/a", token: "=" + alice, status: 200, api: identity})
	call := e.front.lastCall(evaluation)
	require.Equal(t, []string{"Bearer " + alice}, call.header.Values("Authorization"), "the token is the credential")
	e.evaluated(t, 0, step{name: "cached", path: "/echo/album/b", token: "=" + alice, status: 200, api: identity})
	e.evaluated(t, 1, step{name: "another scope", method: http.MethodPut, path: "/echo/album/a", token: "=" + alice, status: 200})
	e.evaluated(t, 0, step{name: "as before", path: "/echo/album/a", token: "=" + alice, status: 200})
	e.evaluated(t, 1, step{name: "another person's", path: "/echo/other/a", token: "=" + alice, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1})
	e.evaluated(t, 1, step{name: "part of it", path: "/echo/shared/a", token: "=" + alice, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1})
	e.evaluated(t, 1, step{name: "not permitted", path: "/echo/album/a", token: "=" + bob, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1})
	e.evaluated(t, 0, step{name: "nor again", path: "/echo/album/a", token: "=" + bob, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1})
	e.evaluated(t, 1, step{name: "his own", path: "/echo/other/a", token: "=" + bob, status: 200})
	e.evaluated(t, 1, step{name: "a resource that the AS does not know", path: "/echo/gone/a", token: "=" + bob, status: 403, code: "resource_not_registered"})
	e.evaluated(t, 1, step{name: "garbage", path: "/echo/album/a", token: "=garbage-" + e.name, status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", tickets: 1})
	e.evaluated(t, 0, step{name: "garbage again", path: "/echo/album/a", token: "=garbage-" + e.name, status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", tickets: 1})
	e.evaluated(t, 0, step{name: "no token", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
}

func plainTokenBearer(e *env) {
	t := e.t
	bob := e.plain(t, "bob")
	e.evaluated(t, 1, step{name: "not permitted", path: "/echo/album/a", token: "=" + bob, status: 403, code: "insufficient_permission"})
	e.evaluated(t, 0, step{name: "no token", path: "/echo/album/a", status: 401, code: "no_token", challenge: "Bearer"})
	e.evaluated(t, 1, step{name: "garbage", path: "/echo/album/a", token: "=garbage-" + e.name, status: 401, code: "inactive_token", challenge: "Bearer", fault: "invalid_token"})
}

// plainTokenBoth: both challenges are there, and Bearer is the first.
func plainTokenBoth(e *env) {
	t := e.t
	r := e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, e.plain(t, "bob")))
	require.Equal(t, 401, r.status)
	require.Equal(t, "insufficient_permission", r.code)
	challenges := r.header.Values("Www-Authenticate")
	require.Len(t, challenges, 2)
	bearer, uma := parseChallenge(challenges[0]), parseChallenge(challenges[1])
	require.Equal(t, "Bearer", bearer.scheme)
	require.Equal(t, "insufficient_scope", bearer.params["error"])
	require.Equal(t, "UMA", uma.scheme)
	rpt, err := e.as.rpt(t.Context(), t, "alice", uma.params["ticket"], "")
	require.NoError(t, err, "who knows UMA uses the ticket")
	e.step(t, &step{name: "with the RPT", path: "/echo/album/a", token: "=" + rpt, status: 200, introspections: -1})
}

// plainTokenMonitor: what would have been denied is known to the access log.
func plainTokenMonitor(e *env) {
	t := e.t
	e.evaluated(t, 1, step{name: "not permitted", path: "/echo/album/monitored", token: "=" + e.plain(t, "bob"), status: 200})
	waitFor(t, "the decision", func() bool {
		d, ok := e.gw.logged("/echo/album/monitored")
		return ok && d["decision"] == "monitor" && d["reason"] == "insufficient_permission"
	})
}

// plainTokenBesideRPT: clients that know UMA have RPTs, at the same site.
func plainTokenBesideRPT(e *env) {
	t := e.t
	rpt := e.fresh(t, "view")
	before := e.front.count(evaluation)
	e.step(t, &step{name: "an RPT", path: "/echo/album/a", token: "=" + rpt, status: 200, introspections: -1, api: map[string]string{"X-Uma-Scopes": "view"}})
	if strings.Count(rpt, ".") == 2 { // of one that says nothing, nobody knows
		require.Equal(t, before, e.front.count(evaluation), "is introspected")
	}
	e.step(t, &step{name: "and may what its person may", method: http.MethodPut, path: "/echo/album/a", token: "=" + rpt, status: 200, introspections: -1})
}

// plainTokenRevoked: what is revoked is refused, and what cannot be told from it.
func plainTokenRevoked(e *env) {
	t := e.t
	for _, r := range revocationsOf(e, e.plain(t, "alice")) {
		t.Run(r.name, func(t *testing.T) {
			token := e.plain(t, "alice")
			for _, own := range revocationsOf(e, token) {
				if own.name == r.name {
					r = own
				}
			}
			e.evaluated(t, 1, step{name: "known", path: revokedPath, token: "=" + token, status: 200})
			e.revoke(t, r.list)
			code := "revoked_token"
			if strings.Count(token, ".") != 2 && (r.name == "subject" || r.name == "client") {
				code = "revocation_unknown"
			}
			e.step(t, &step{name: "refused", path: revokedPath, token: "=" + token, status: 401, code: code, challenge: "UMA", fault: "invalid_token", introspections: -1, tickets: 1})
			e.restore(t)
		})
	}
}

// plainTokenEnded: the AS knows when a token ends.
func plainTokenEnded(e *env) {
	t := e.t
	token := e.plain(t, "alice")
	e.evaluated(t, 1, step{name: "known", path: "/echo/album/a", token: "=" + token, status: 200})
	e.as.endToken(t, token)
	e.evaluated(t, 1, step{name: "ended", path: "/echo/album/a", token: "=" + token, status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", tickets: 1})
}

func plainTokenFailures(e *env) {
	t := e.t
	token := e.plain(t, "alice")
	otherwise := map[string]string{"401-credential": "inactive_token", "array": "insufficient_permission"}
	for _, bad := range append(brokenAnswers(), badAnswer{name: "away", code: "as_unreachable"}) {
		t.Run(bad.name, func(t *testing.T) {
			host := e.host
			if bad.slow {
				host = "hasty." + e.host
			}
			s := step{name: bad.name, host: host, path: "/echo/album/" + bad.name, token: "=" + token, status: 503, code: bad.code, tickets: -1}
			if code := otherwise[bad.name]; code != "" {
				s.status, s.code = 401, code
				s.challenge, s.fault = "UMA", map[string]string{"inactive_token": "invalid_token", "insufficient_permission": "insufficient_scope"}[code]
			}
			if bad.fault == nil {
				e.front.away(t)
			} else {
				e.front.spoil(t, evaluation, bad.fault)
			}
			e.step(t, &s)
		})
	}
	waitFor(t, "the AS is asked again", func() bool {
		return e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, token)).status == 200
	})
}

// plainTokenCrowd: many requests of one token are one call for each worker.
func plainTokenCrowd(e *env) {
	t := e.t
	token := e.plain(t, "alice")
	before := e.front.count(evaluation)
	transport := crowd(e.gw.address(), 100)
	transport.MaxConnsPerHost = 100
	defer transport.CloseIdleConnections()
	statuses := together(1000, transport, func(i int) *http.Request {
		return e.request(t, &step{path: fmt.Sprint("/echo/album/", i)}, token)
	})
	require.Equal(t, 1000, count(statuses, 200), "%v", statuses)
	asked := e.front.count(evaluation) - before
	require.True(t, asked >= 1 && asked <= e.gw.workers(), "one call for each worker: %d", asked)
}

// stepUp: Keycloak's token says how its owner was authenticated, and, of a password, not
// when. The development AS's says neither.
func stepUp(e *env) {
	t := e.t
	token := e.plain(t, "alice")
	denied := func(path, parameters string) {
		t.Helper()
		r := e.client.do(t, e.request(t, &step{path: path}, token))
		require.Equal(t, 401, r.status, "%s", r.body)
		require.Equal(t, "insufficient_user_authentication", r.code)
		require.Equal(t, []string{`Bearer realm="step-up", error="insufficient_user_authentication", ` + parameters}, r.header.Values("Www-Authenticate"))
	}
	e.step(t, &step{name: "not asked for", path: "/echo/album/a", token: "=" + token, status: 200})
	if e.as.kind == "keycloak" {
		e.step(t, &step{name: "as it says", path: "/echo/password/a", token: "=" + token, status: 200})
	} else {
		denied("/echo/password/a", `acr_values="1"`)
	}
	denied("/echo/gold/a", `acr_values="gold 1.5"`)
	denied("/echo/recent/a", `max_age="60"`)
}

// plainTokenStale: in an outage, what was permitted goes on, and nothing else.
func plainTokenStale(e *env) {
	t := e.t
	token := e.plain(t, "alice")
	e.evaluated(t, 1, step{name: "known", path: stalePath + "known", token: "=" + token, status: 200})
	e.front.away(t)
	path := stalePath + "evaluated-" + fmt.Sprint(time.Now().UnixNano())
	e.step(t, &step{name: "goes on", path: path, token: "=" + token, status: 200, introspections: -1})
	require.Equal(t, "stale", e.cacheUse(t, path))
	e.step(t, &step{name: "another scope", method: http.MethodPut, path: stalePath + "a", token: "=" + token, status: 503, code: "as_unreachable", introspections: -1})
}
