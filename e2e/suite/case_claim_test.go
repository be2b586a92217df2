package suite_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// claimTokenScenarios are about plain access tokens that the AS is asked about with a permission
// ticket, and about owners who are asked. Keycloak takes tokens of the resource server's own
// client in that way.
func claimTokenScenarios() []scenario {
	claims := func(e *env, s *config.Site) {
		s.AuthorizationServer.Evaluation = e.as.claimEvaluation()
		s.Challenge = config.ChallengeBearer
		s.Limits.EvaluationsPerSecond = 10_000
		s.Resources[0].Conditions = append(s.Resources[0].Conditions, config.Condition{
			Paths: []string{"/echo/both/**"}, Scopes: []string{"view"},
			Ticket: []config.Permission{{ResourceID: e.as.resources["album"], ResourceScopes: []string{"view", "edit"}}, {ResourceID: e.as.resources["other"], ResourceScopes: []string{"edit"}}},
		})
		s.Resources = append(s.Resources,
			config.Resource{Name: "gone", ID: "no-such-resource", Conditions: []config.Condition{{Paths: []string{"/echo/gone/**"}, Scopes: []string{"view"}}}},
			config.Resource{Name: "owned", ID: e.as.resources["owned"], Conditions: []config.Condition{{Paths: []string{"/echo/owned/**"}, Scopes: []string{"view"}}}})
	}
	forgetful := func(e *env, s *config.Site) {
		claims(e, s)
		s.Token.MaxTTLMS, s.Token.NegativeTTLMS = -1, -1
	}
	return []scenario{
		{name: "claimed-token", site: claims, run: claimedToken},
		{name: "claimed-token-uma", site: func(e *env, s *config.Site) {
			claims(e, s)
			s.Challenge = config.ChallengeUMA
		}, run: claimedTokenUMA},
		{name: "claimed-token-failures", site: forgetful, run: claimedTokenFailures},
		{name: "claimed-token-ended", site: forgetful, run: claimedTokenEnded},
		{name: "claimed-token-1000-requests", site: claims, run: claimedTokenCrowd},
		{name: "claimed-token-need-info", needs: canOAuth, site: claims, run: claimedTokenNeedInfo},
		{name: "claimed-token-submitted", needs: canOAuth, site: forgetful, run: claimedTokenSubmitted},
		{name: "owner-asked", site: func(e *env, s *config.Site) {
			forgetful(e, s)
			s.AuthorizationServer.Evaluation = e.as.evaluation()
			s.AuthorizationServer.Evaluation.AskOwner = true
		}, run: ownerAsked},
	}
}

// claimable logs a person in at the client whose tokens the AS takes as claim_token.
func (e *env) claimable(t *testing.T, user string) string {
	t.Helper()
	status, answer := e.as.token(t.Context(), t, e.as.claimant, "", url.Values{"grant_type": {"password"}, "username": {user}, "password": {user}})
	require.Equal(t, 200, status, "%v", answer)
	token, _ := answer["access_token"].(string)
	require.NotEmpty(t, token)
	return token
}

// claimed does a step and checks how often the AS was asked for an RPT.
func (e *env) claimed(t *testing.T, n int, s step) {
	t.Helper()
	s.introspections, s.tickets = -1, -1
	e.evaluated(t, n, s)
}

func claimedToken(e *env) {
	t := e.t
	alice, bob := e.claimable(t, "alice"), e.claimable(t, "bob")
	identity := map[string]string{"X-Uma-Subject": e.as.subjects["alice"], "X-Uma-Client-Id": e.as.claimant.id, "X-Uma-Scopes": "view", "X-Uma-Resource-Id": "{album}"}
	before := e.front.count(permission)
	e.claimed(t, 1, step{name: "permitted", path: "/echo/album/a", token: "=" + alice, status: 200, api: identity})
	require.Equal(t, 1, e.front.count(permission)-before, "one ticket")
	call := e.front.lastCall(evaluation)
	form, err := url.ParseQuery(call.body)
	require.NoError(t, err)
	require.Equal(t, []string{alice, e.as.claimFormat}, []string{form.Get("claim_token"), form.Get("claim_token_format")})
	require.True(t, strings.HasPrefix(call.header.Get("Authorization"), "Basic "), "the resource server's client asks")
	e.claimed(t, 0, step{name: "cached", path: "/echo/album/b", token: "=" + alice, status: 200, api: identity})
	e.claimed(t, 1, step{name: "another scope", method: http.MethodPut, path: "/echo/album/a", token: "=" + alice, status: 200})
	e.claimed(t, 0, step{name: "as before", path: "/echo/album/a", token: "=" + alice, status: 200})
	e.claimed(t, 1, step{name: "all that the ticket is for", path: "/echo/both/a", token: "=" + e.claimable(t, "alice"), status: 200, api: map[string]string{"X-Uma-Resource-Id": "{album}"}})
	require.Contains(t, e.front.lastCall(permission).body, e.as.resources["other"])
	e.claimed(t, 1, step{name: "not permitted", path: "/echo/album/a", token: "=" + bob, status: 403, code: e.saysNo()})
	e.claimed(t, 0, step{name: "nor again", path: "/echo/album/a", token: "=" + bob, status: 403, code: e.saysNo()})
	e.claimed(t, 1, step{name: "his own", path: "/echo/other/a", token: "=" + bob, status: 200})
	e.claimed(t, 0, step{name: "a resource that the AS does not know", path: "/echo/gone/a", token: "=" + bob, status: 403, code: "resource_not_registered"})
	e.claimed(t, 0, step{name: "garbage", path: "/echo/album/a", token: "=garbage-" + e.name, status: 401, code: "inactive_token", challenge: "Bearer", fault: "invalid_token"})
}

// saysNo is how a no is told: Keycloak says of each that the owner is asked.
func (e *env) saysNo() string {
	if e.as.kind == "keycloak" {
		return "request_submitted"
	}
	return "insufficient_permission"
}

// claimedTokenUMA: who knows UMA gets a ticket of its own, and uses it.
func claimedTokenUMA(e *env) {
	t := e.t
	r := e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, e.claimable(t, "bob")))
	require.Equal(t, 401, r.status)
	challenge := parseChallenge(r.header.Get("Www-Authenticate"))
	require.Equal(t, "UMA", challenge.scheme)
	rpt, err := e.as.rpt(t.Context(), t, "alice", challenge.params["ticket"], "")
	require.NoError(t, err)
	e.claimed(t, 0, step{name: "with the RPT", path: "/echo/album/a", token: "=" + rpt, status: 200})
}

// claimedTokenFailures: each of the calls may fail, and nothing passes.
func claimedTokenFailures(e *env) {
	t := e.t
	token := e.claimable(t, "alice")
	for _, endpoint := range []string{introspection, permission, evaluation} {
		for _, bad := range brokenAnswers() {
			if bad.slow {
				continue // that takes the site's own time-out
			}
			t.Run(endpoint[1:]+"/"+bad.name, func(t *testing.T) {
				e.front.spoil(t, endpoint, bad.fault)
				r := e.client.do(t, e.request(t, &step{path: "/echo/album/" + bad.name}, token))
				require.Equal(t, 503, r.status, "%s", r.body)
				require.Contains(t, []string{bad.code, "as_error", "as_refused", "as_bad_answer"}, r.code)
			})
		}
	}
	waitFor(t, "the AS is asked again", func() bool {
		return e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, token)).status == 200
	})
}

// claimedTokenEnded: an RPT does not outlive the token that it was got for.
func claimedTokenEnded(e *env) {
	t := e.t
	token := e.claimable(t, "alice")
	e.claimed(t, 1, step{name: "known", path: "/echo/album/a", token: "=" + token, status: 200})
	e.as.endTokenOf(t, e.as.claimant, token)
	e.claimed(t, 0, step{name: "ended", path: "/echo/album/a", token: "=" + token, status: 401, code: "inactive_token", challenge: "Bearer", fault: "invalid_token"})
}

// claimedTokenCrowd: many requests of one token are one evaluation for each worker.
func claimedTokenCrowd(e *env) {
	t := e.t
	token := e.claimable(t, "alice")
	transport := crowd(e.gw.address(), 100)
	transport.MaxConnsPerHost = 100
	defer transport.CloseIdleConnections()
	statuses := together(1000, transport, func(i int) *http.Request {
		return e.request(t, &step{path: fmt.Sprint("/echo/album/", i)}, token)
	})
	require.Equal(t, 1000, count(statuses, 200), "%v", statuses)
	asked := e.front.evaluationsOf(token)
	require.True(t, asked >= 1 && asked <= e.gw.workers(), "one evaluation for each worker: %d", asked)
}

// claimedTokenNeedInfo: a token that does not say who the requesting party is.
func claimedTokenNeedInfo(e *env) {
	t := e.t
	status, answer := e.as.token(t.Context(), t, e.as.app, "", url.Values{"grant_type": {"client_credentials"}})
	require.Equal(t, 200, status, "%v", answer)
	token, _ := answer["access_token"].(string)
	e.claimed(t, 1, step{name: "need_info", path: "/echo/album/a", token: "=" + token, status: 403, code: "need_info"})
	e.claimed(t, 0, step{name: "again", path: "/echo/album/a", token: "=" + token, status: 403, code: "need_info"})
}

// claimedTokenSubmitted: while the AS asks the owner, it is not asked before its interval is
// over, and the owner is asked once.
func claimedTokenSubmitted(e *env) {
	t := e.t
	token := e.claimable(t, "bob")
	defer func() { // the next gateway begins where this one did
		e.as.owned.approve(t)
		e.as.owned.takeBack(t)
	}()
	waiting := e.as.owned.requests(t)
	submitted := step{name: "submitted", path: "/echo/owned/a", token: "=" + token, status: 403, code: "request_submitted"}
	r := e.client.do(t, e.request(t, &submitted, token))
	require.Equal(t, "request_submitted", r.code, "%s", r.body)
	require.Equal(t, "5", r.header.Get("Retry-After"), "the AS's interval")
	for range 5 {
		e.claimed(t, 0, submitted)
	}
	require.Equal(t, 1, e.as.owned.requests(t)-waiting)
	require.Eventually(t, func() bool { // the interval is over
		e.as.owned.approve(t)
		return e.client.do(t, e.request(t, &submitted, token)).status == 200
	}, patience, 200*time.Millisecond)
	e.as.owned.takeBack(t)
	waitFor(t, "it is taken back", func() bool { return e.client.do(t, e.request(t, &submitted, token)).status == 403 })
}

// ownerAsked: the owner is asked once, her word counts at once, and so does that she takes
// it back.
func ownerAsked(e *env) {
	t := e.t
	token := e.plain(t, "bob")
	defer func() { // the next gateway begins where this one did
		e.as.owned.approve(t)
		e.as.owned.takeBack(t)
	}()
	waiting := e.as.owned.requests(t)
	submitted := step{name: "submitted", path: "/echo/owned/a", token: "=" + token, status: 403, code: "request_submitted"}
	e.claimed(t, 2, submitted)
	for range 5 {
		e.claimed(t, 1, submitted)
	}
	require.Equal(t, 1, e.as.owned.requests(t)-waiting)
	e.as.owned.approve(t)
	e.claimed(t, 1, step{name: "approved", path: "/echo/owned/a", token: "=" + token, status: 200, api: map[string]string{"X-Uma-Scopes": "view"}})
	e.as.owned.takeBack(t)
	submitted.name, submitted.code = "taken back", "insufficient_permission" // and nobody is asked at once
	e.claimed(t, 1, submitted)
	require.Equal(t, waiting, e.as.owned.requests(t))
}
