package decision_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// What Keycloak 26.7 says to an evaluation.
const (
	granted       = `[{"scopes":["view"],"rsid":"r1","rsname":"albums"}]`
	notAuthorized = `{"error":"access_denied","error_description":"not_authorized"}`
	submitted     = `{"error":"access_denied","error_description":"request_submitted"}`
	badToken      = `{"error":"invalid_grant","error_description":"Invalid bearer token"}`
	noResource    = `{"error":"invalid_resource","error_description":"Resource with id [r1] does not exist."}`
)

// evaluating is an AS that evaluates tokens.
func evaluating(c *config.Config) {
	c.Sites[0].AuthorizationServer.Evaluation = &config.Evaluation{
		Endpoint: config.Endpoint{Cluster: "evaluate", Authority: "as.example.com", Path: "/token"}, Audience: "photos-rs",
	}
}

func bearerChallenge(c *config.Config) { c.Sites[0].Challenge = config.ChallengeBearer }

func bothChallenges(c *config.Config) { c.Sites[0].Challenge = config.ChallengeBoth }

// evaluationWalks take the rows of the state table about evaluations.
func evaluationWalks() []walk {
	bearer, rpt := ask("GET", "/albums/1", "token"), ask("GET", "/albums/1", jwt(`{"authorization":{"permissions":[]}}`))
	plain := []func(*config.Config){evaluating}
	with := func(f ...func(*config.Config)) []func(*config.Config) {
		return append([]func(*config.Config){evaluating}, f...)
	}
	replies := func(r ...decision.Response) []decision.Response { return r }
	lacking, eve := answer(200, `{"active":true}`), revoke(config.Revocations{Subjects: digests("eve", hour, 0)})
	denied := func(r *decision.Request, body string) func(*harness) {
		return func(h *harness) {
			_, step := h.start(r)
			h.worker.Reply(step.Call.ID, answer(403, body), h.now)
		}
	}
	allowed := func(h *harness) {
		_, step := h.start(bearer)
		h.reply(step, 200, granted)
	}
	drained := func(h *harness) { // by a token that is known to be good
		allowed(h)
		h.start(ask("PUT", "/albums/1", "token"))
	}
	ended := func(h *harness) {
		allowed(h)
		h.after(2 * time.Minute)
	}
	roomier := func(r ...*decision.Request) func(*harness) {
		return func(h *harness) {
			h.configure(owned(), evaluating)
			for _, r := range r {
				h.start(r)
			}
		}
	}
	other := func(token string) *decision.Request { return ask("GET", "/albums/1", token) }
	waits := func(h *harness) {
		h.converse(bearer, knows, tickets, said{"/token", "", 403, `{"error":"request_submitted","ticket":"t2","interval":60}`})
	}
	list := []walk{
		{transition{"begin", "a token that is not cached, where the AS evaluates it", "evaluating"}, plain, nil, bearer, nil, nil},
		{transition{"begin", "a cached token that lacks a permission, where the AS evaluates it", "evaluating"}, plain, allowed, ask("PUT", "/albums/1", "token"), nil, nil},
		{transition{"begin", "too_many_evaluations", "Deny 429"}, with(siteOf(func(s *config.Site) { s.Limits.EvaluationsPerSecond, s.Limits.EvaluationBurst = 1, 1 })), drained, ask("GET", "/reports/1", "token"), nil, nil},
		{transition{"begin", "insufficient_permission", "Deny 403"}, with(bearerChallenge), denied(bearer, notAuthorized), bearer, nil, nil},
		{transition{"begin", "need_info", "Deny 403"}, with(bearerChallenge), denied(bearer, `{"error":"need_info"}`), bearer, nil, nil},
		{transition{"begin", "request_submitted", "Deny 403"}, with(bearerChallenge), denied(bearer, submitted), bearer, nil, nil},
		{transition{"introspecting", "request_submitted", "ticketing"}, []func(*config.Config){byTicket}, waits, other("other"), replies(answer(200, bobs)), nil},
		{transition{"introspecting", "request_submitted", "Deny 403"}, []func(*config.Config){byTicket, bearerChallenge}, waits, other("other"), replies(answer(200, bobs)), nil},
		{transition{"evaluating", "a ticket, an RPT, or another call to follow", "evaluating"}, []func(*config.Config){byTicket}, func(h *harness) { h.converse(ask("GET", "/reports/1", "token"), knows) }, bearer, replies(answer(201, ticketed)), nil},
		{transition{"introspecting", "too little, or another audience, where the AS evaluates the token", "evaluating"}, plain, nil, rpt, replies(lacking), nil},
		{transition{"introspecting", "too little, or another audience, where the AS evaluates the token", "evaluating"}, with(hinted, siteOf(authenticatedPaths)), func(h *harness) {
			_, step := h.start(ask("GET", "/nothing", "token"))
			h.reply(step, 200, anonymous)
			h.configure(evaluating, hinted, siteOf(authenticatedPaths), eve)
		}, bearer, replies(answer(200, unknown)), nil},
		{transition{"introspecting", "too_many_evaluations", "Deny 429"}, with(siteOf(func(s *config.Site) { s.Limits.EvaluationsPerSecond, s.Limits.EvaluationBurst = 1, 1 })), drained, rpt, replies(lacking), nil},
		{transition{"evaluating", "permitted", "Allow"}, plain, nil, bearer, replies(answer(200, granted)), nil},
		{transition{"evaluating", "no answer, and what was known of the token is enough", "Allow"}, with(staleFor(time.Hour)), ended, bearer, replies(answer(500, "")), nil},
		{transition{"evaluating", "answered, and its turn has not come", "evaluating"}, plain, func(h *harness) { h.start(bearer) }, bearer, replies(answer(200, granted)), nil},
		{transition{"evaluating", "granted, not said whose the token is, and somebody's are revoked", "introspecting"}, with(hinted, eve), nil, bearer, replies(answer(200, granted)), nil},
		{transition{"evaluating", "inactive_token", "ticketing"}, plain, nil, bearer, replies(answer(400, badToken)), nil},
		{transition{"evaluating", "revoked_token", "ticketing"}, with(revoke(config.Revocations{Subjects: digests("bob", hour, 0)})), nil, other(jwt(`{"sub":"bob"}`)), replies(answer(200, granted)), nil},
		{transition{"evaluating", "insufficient_permission", "ticketing"}, plain, nil, bearer, replies(answer(200, "[]")), nil},
		{transition{"evaluating", "too_many_streams", "Deny 429"}, with(streaming(1)), allowed, other("other"), replies(answer(200, granted)), nil},
		{transition{"evaluating", "need_info", "ticketing"}, plain, nil, bearer, replies(answer(403, `{"error":"need_info"}`)), nil},
		{transition{"evaluating", "request_submitted", "ticketing"}, plain, nil, bearer, replies(answer(403, submitted)), nil},
		{transition{"evaluating", "what leads to ticketing, with challenge bearer", "Deny 401"}, with(bearerChallenge), nil, bearer, replies(answer(400, badToken)), nil},
		{transition{"evaluating", "insufficient_permission", "Deny 403"}, with(bearerChallenge), nil, bearer, replies(answer(403, notAuthorized)), nil},
		{transition{"evaluating", "need_info", "Deny 403"}, with(bearerChallenge), nil, bearer, replies(answer(403, `{"error":"need_info"}`)), nil},
		{transition{"evaluating", "request_submitted", "Deny 403"}, with(bearerChallenge), nil, bearer, replies(answer(403, submitted)), nil},
		{transition{"begin", "insufficient_user_authentication", "Deny 401"}, []func(*config.Config){stepUp}, func(h *harness) { h.decide(bearer, viewR1) }, bearer, nil, nil},
		{transition{"introspecting", "insufficient_user_authentication", "Deny 401"}, []func(*config.Config){stepUp}, nil, bearer, replies(answer(200, viewR1)), nil},
		{transition{"evaluating", "insufficient_user_authentication", "Deny 401"}, with(stepUp), nil, bearer, replies(answer(200, granted)), nil},
		{transition{"begin", "insufficient_claims", "Deny 403"}, []func(*config.Config){sales}, func(h *harness) { h.decide(bearer, viewR1) }, bearer, nil, nil},
		{transition{"introspecting", "insufficient_claims", "Deny 403"}, []func(*config.Config){sales}, nil, bearer, replies(answer(200, viewR1)), nil},
		{transition{"evaluating", "insufficient_claims", "Deny 403"}, with(sales, fromToken), nil, bearer, replies(answer(200, granted)), nil},
		{transition{"begin", "a cached token, not all of whose claims are known", "introspecting"}, []func(*config.Config){sales, hinted}, func(h *harness) {
			_, step := h.start(ask("PUT", "/albums/1", "token"))
			h.reply(step, 200, editR1)
		}, bearer, nil, nil},
		{transition{"introspecting", "active, and not said what claims it has that count", "introspecting"}, []func(*config.Config){sales, hinted}, nil, bearer, replies(answer(200, viewR1)), nil},
		{transition{"evaluating", "granted, and not said what claims the token has that count", "introspecting"}, with(sales, hinted), nil, bearer, replies(answer(200, granted)), nil},
		{transition{"evaluating", "resource_not_registered", "Deny 403"}, plain, nil, bearer, replies(answer(400, noResource)), nil},
		{transition{"evaluating", "no_ticket", "Deny 403"}, plain, func(h *harness) {
			_, step := h.start(ask("GET", "/albums/1", ""))
			h.worker.Reply(step.Call.ID, busy(429, "60"), h.now)
		}, bearer, replies(answer(403, notAuthorized)), nil},
		{transition{"evaluating", "too_many_tickets", "Deny 429"}, with(owned(narrow)), func(h *harness) { h.decide(ask("GET", "/albums/1", ""), "") }, bearer, replies(answer(403, notAuthorized)), nil},
		{transition{"evaluating", "too_many_calls", "Deny 429"}, with(owned(narrow)), nil, bearer, replies(answer(403, notAuthorized)), roomier(other("a"), other("b"))},
		{transition{"evaluating", "too_many_waiting", "Deny 429"}, with(owned(narrow)), nil, bearer, replies(answer(403, notAuthorized)), roomier(other("a"), other("a"), other("a"))},
	}
	for code, payload := range map[string]string{
		"expired_token": `{"exp":1}`, "token_not_yet_valid": `{"nbf":4000000000}`, "not_an_access_token": `{"typ":"Refresh"}`, "sender_constrained_token": `{"cnf":{"jkt":"x"}}`,
	} {
		list = append(list, walk{transition{"evaluating", code, "ticketing"}, plain, nil, other(jwt(payload)), replies(answer(200, granted)), nil})
	}
	for code, rule := range map[string]func(*config.Site){
		"wrong_issuer":   func(s *config.Site) { s.Token.Issuers = []string{"https://other"} },
		"wrong_audience": func(s *config.Site) { s.Token.Audiences = []string{"other"} },
		"wrong_client":   func(s *config.Site) { s.Token.ClientIDs = []string{"other"} },
	} {
		list = append(list, walk{transition{"evaluating", code, "ticketing"}, with(siteOf(rule)), nil, bearer, replies(answer(200, granted)), nil})
	}
	for code, r := range map[string]decision.Response{
		"as_unreachable": {}, "as_refused": answer(401, ""), "as_error": answer(500, ""), "as_bad_answer": answer(200, "{}"), "as_busy": busy(429, "5"),
	} {
		list = append(list, walk{transition{"evaluating", code, "Deny 503"}, plain, nil, bearer, replies(r), nil})
	}
	return list
}

// form reads what a call sends.
func form(t *testing.T, c *decision.Call) url.Values {
	t.Helper()
	f, err := url.ParseQuery(string(c.Body))
	require.NoError(t, err)
	return f
}

// evaluated starts a request, and answers its evaluation.
func (h *harness) evaluated(r *decision.Request, status int, body string) (*decision.Exchange, decision.Step) {
	h.t.Helper()
	x, step := h.start(r)
	require.Equal(h.t, "call evaluation", outcome(x, step))
	return x, h.reply(step, status, body)
}

// TestEvaluationCall: what is sent, and that the token is the credential.
func TestEvaluationCall(t *testing.T) {
	h := newHarness(t, evaluating)
	_, step := h.start(ask("PUT", "/albums/1", "to.k-e~n/+="))
	require.Equal(t, "evaluate", step.Call.Cluster)
	require.Equal(t, "Bearer to.k-e~n/+=", value(t, step.Call.Headers, "authorization"))
	require.Equal(t, "/token", value(t, step.Call.Headers, ":path"))
	require.Equal(t, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "audience": {"photos-rs"}, "response_mode": {"permissions"}, "permission": {"r1#view,edit"},
	}, form(t, step.Call))
	_, other := h.start(ask("PUT", "/albums/1", "another"))
	require.Equal(t, "Bearer another", value(t, other.Call.Headers, "authorization"), "one call's header is no other's")
	require.Equal(t, "Bearer to.k-e~n/+=", value(t, step.Call.Headers, "authorization"))
}

// TestEvaluationIsCached: a yes is a permission of the token, as long as what is
// introspected is; what it is not enough for is asked for beside it.
func TestEvaluationIsCached(t *testing.T) {
	h := newHarness(t, evaluating)
	token := jwt(`{"sub":"bob","azp":"app","iss":"https://as"}`)
	x, step := h.evaluated(ask("GET", "/albums/1", token), 200, granted)
	require.Equal(t, "allow permitted", outcome(x, step))
	require.Equal(t, "bob", value(t, step.Allow.Set, "x-uma-subject"))
	require.Equal(t, "app", value(t, step.Allow.Set, "x-uma-client-id"))
	require.Equal(t, "view", value(t, step.Allow.Set, "x-uma-scopes"))
	h.after(30 * time.Second)
	x, step = h.start(ask("GET", "/albums/2", token))
	require.Equal(t, "allow permitted", outcome(x, step))
	require.Equal(t, decision.CacheHit, x.Decision().Cache)

	_, step = h.evaluated(ask("GET", "/reports/1", token), 200, `[{"scopes":["read"],"rsid":"r2"}]`)
	require.Equal(t, decision.KindAllow, step.Kind)
	asked := h.asked
	for _, r := range []*decision.Request{ask("GET", "/albums/1", token), ask("GET", "/reports/1", token)} {
		x, step = h.start(r)
		require.Equal(t, "allow permitted", outcome(x, step))
	}
	require.Equal(t, asked, h.asked)
	h.after(30 * time.Second)
	x, step = h.start(ask("GET", "/reports/1", token))
	require.Equal(t, "call evaluation", outcome(x, step), "none of it is older than max_ttl")
}

// TestEvaluationsCoalesce: those of one token for the same thing are one call.
func TestEvaluationsCoalesce(t *testing.T) {
	h := newHarness(t, evaluating)
	_, first := h.start(ask("GET", "/albums/1", "token"))
	for i := range 999 {
		_, step := h.start(ask("GET", fmt.Sprint("/albums/", i), "token"))
		require.True(t, step.Call.Shared)
		require.Equal(t, first.Call.ID, step.Call.ID)
	}
	require.Equal(t, 1, h.asked)
	outcomes := h.worker.Reply(first.Call.ID, answer(200, granted), h.now)
	require.Len(t, outcomes, 1000)
	for _, o := range outcomes {
		require.Equal(t, decision.KindAllow, o.Step.Kind)
	}
}

// TestEvaluationOfRPT: a token that carries permissions is introspected, and evaluated for
// what it lacks.
func TestEvaluationOfRPT(t *testing.T) {
	h := newHarness(t, evaluating)
	rpt := jwt(`{"authorization":{"permissions":[]}}`)
	x, step := h.start(ask("GET", "/albums/1", rpt))
	require.Equal(t, "call introspection", outcome(x, step))
	require.Equal(t, "allow permitted", outcome(x, h.reply(step, 200, viewR1)))
	x, step = h.evaluated(ask("PUT", "/albums/1", rpt), 200, `[{"scopes":["view","edit"],"rsid":"r1"}]`)
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.start(ask("GET", "/albums/1", rpt))
	require.Equal(t, "allow permitted", outcome(x, step))

	forged := jwt(`{"authorization":{},"sub":"eve"}`)
	x, step = h.start(ask("GET", "/albums/1", forged))
	step = h.reply(step, 200, unknown)
	require.Equal(t, "call permission", outcome(x, step), "nor is it asked for twice")
	require.Equal(t, "401 inactive_token", outcome(x, h.reply(step, 201, `{"ticket":"t"}`)))
}

// TestOtherAudience: what introspection calls inactive may be another audience's token.
func TestOtherAudience(t *testing.T) {
	h := newHarness(t, evaluating, siteOf(authenticatedPaths))
	x, step := h.start(ask("GET", "/nothing", "token"))
	require.Equal(t, "call introspection", outcome(x, step))
	require.Equal(t, "401 inactive_token", outcome(x, h.reply(step, 200, unknown)))
	x, step = h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	require.Equal(t, "allow permitted", outcome(x, step))
	h.evaluated(ask("GET", "/albums/1", "gone"), 400, badToken)
	for _, path := range []string{"/albums/1", "/reports/1", "/nothing"} {
		x, _ := h.decide(ask("GET", path, "gone"), viewR1)
		require.Equal(t, "inactive_token", x.Decision().Reason.String(), "the AS has refused it")
	}
}

// TestNegationIsAskedFor: what a scope more could fail is permitted only where the AS has
// been asked for all of it.
func TestNegationIsAskedFor(t *testing.T) {
	h := newHarness(t, evaluating, func(c *config.Config) {
		r := &c.Sites[0].Resources[0]
		r.Conditions = append(r.Conditions, config.Condition{Paths: []string{"/visitors"}, ScopeExpression: &config.ScopeExpression{
			Rule: []byte(`{"and":[{"var":0},{"!":{"var":1}}]}`), Data: []string{"view", "edit"},
		}})
	})
	h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	x, step := h.evaluated(ask("GET", "/visitors", "token"), 200, `[{"scopes":["view","edit"],"rsid":"r1"}]`)
	require.Equal(t, "call permission", outcome(x, step))
	x, step = h.evaluated(ask("GET", "/visitors", "other"), 200, granted)
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.start(ask("GET", "/visitors", "other"))
	require.Equal(t, "allow permitted", outcome(x, step))
}

// TestEvaluationRevoked: tokens are revoked whoever has said what they may, and one that
// does not say whose it is is asked about, and refused where it cannot be told.
func TestEvaluationRevoked(t *testing.T) {
	eve := revoke(config.Revocations{Subjects: digests("eve", hour, 0)})
	for name, tt := range map[string]struct{ payload, whose, want string }{
		"of another":                  {`{"sub":"bob","azp":"app","sid":"s1"}`, "", "allow permitted"},
		"of one":                      {`{"sub":"eve","azp":"app","sid":"s1"}`, "", "401 revoked_token"},
		"not said, and asked for":     {`{}`, `{"active":true,"sub":"bob","client_id":"app"}`, "allow permitted"},
		"not said, asked for, is it":  {`{}`, `{"active":true,"sub":"eve","client_id":"app"}`, "401 revoked_token"},
		"not said by anybody":         {`{}`, `{"active":true}`, "401 revocation_unknown"},
		"not said, another's to tell": {`{}`, unknown, "401 revocation_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ttl := range []int{0, -1} {
				h := newHarness(t, evaluating, hinted, eve, siteOf(func(s *config.Site) { s.Token.MaxTTLMS = ttl }))
				x, step := h.evaluated(ask("GET", "/albums/1", jwt(tt.payload)), 200, granted)
				if tt.whose != "" {
					require.Equal(t, "call introspection", outcome(x, step))
					require.NotContains(t, string(step.Call.Body), "hint")
					step = h.reply(step, 200, tt.whose)
				}
				if strings.HasPrefix(tt.want, "401") {
					step = h.reply(step, 201, `{"ticket":"t"}`)
				}
				require.Equal(t, tt.want, outcome(x, step))
			}
		})
	}
	t.Run("and too little, without a cache", func(t *testing.T) {
		h := newHarness(t, evaluating, hinted, eve, siteOf(func(s *config.Site) { s.Token.MaxTTLMS, s.Token.NegativeTTLMS = -1, -1 }))
		x, step := h.evaluated(ask("PUT", "/albums/1", "token"), 200, granted)
		require.Equal(t, "call introspection", outcome(x, step))
		require.Equal(t, "call permission", outcome(x, h.reply(step, 200, whose)), "it comes to an end")
	})
	t.Run("later", func(t *testing.T) {
		h := newHarness(t, evaluating)
		token := jwt(`{"sub":"eve","azp":"app","sid":"s1"}`)
		h.evaluated(ask("GET", "/albums/1", token), 200, granted)
		for _, r := range []config.Revocations{{Subjects: digests("eve", hour, 0)}, {Sessions: digests("s1", hour, 0)}, {ClientIDs: digests("app", hour, 0)}} {
			h.configure(evaluating, revoke(r))
			x, step := h.start(ask("GET", "/albums/1", token))
			require.Equal(t, "call permission", outcome(x, step))
			require.Equal(t, "401 revoked_token", outcome(x, h.reply(step, 201, `{"ticket":"t"}`)))
		}
	})
}

// TestEvaluationAhead: all that a token in use may is asked for again in one call, before
// its time is over.
func TestEvaluationAhead(t *testing.T) {
	h := newHarness(t, evaluating)
	h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	h.evaluated(ask("GET", "/reports/1", "token"), 200, `[{"scopes":["read"],"rsid":"r2"}]`)
	h.after(58 * time.Second)
	_, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, decision.KindAllow, step.Kind)
	calls := h.worker.Due(h.now)
	require.Len(t, calls, 1)
	require.Equal(t, []string{"r1#view,all", "r2#read"}, form(t, calls[0])["permission"])
	require.Empty(t, h.worker.Reply(calls[0].ID, answer(200, granted), h.now))
	h.after(30 * time.Second)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "call evaluation", outcome(x, step), "what it grants no more is gone")

	h.after(28 * time.Second)
	h.start(ask("GET", "/albums/1", "token"))
	calls = h.worker.Due(h.now)
	require.Len(t, calls, 1)
	h.worker.Reply(calls[0].ID, answer(403, notAuthorized), h.now)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call evaluation", outcome(x, step))
}

// TestEvaluatedIsBounded: a token that asks for many things is not remembered to have
// them all.
func TestEvaluatedIsBounded(t *testing.T) {
	h := newHarness(t, evaluating, func(c *config.Config) {
		*c = *manyResources(2000)
		evaluating(c)
		c.Sites[0].Limits.EvaluationBurst = 20_000
	})
	for i := range 2000 {
		id := fmt.Sprintf("5f0c7a52-3f6c-4d3e-9b53-%012d", i)
		_, step := h.evaluated(ask("GET", fmt.Sprint("/resources/", i), "token"), 200, `[{"scopes":["view"],"rsid":"`+id+`"}]`)
		require.Equal(t, decision.KindAllow, step.Kind)
	}
	entries, bytes := h.worker.Cached()
	require.Equal(t, 1, entries)
	require.Less(t, bytes, 200_000)
}

// TestChallenges: what the client is told, for each kind of denial and setting.
func TestChallenges(t *testing.T) {
	challenges := func(step decision.Step) string {
		var all []string
		for _, h := range step.Deny.Headers {
			if h.Name == "www-authenticate" {
				all = append(all, h.Value)
			}
		}
		return strings.Join(all, " | ")
	}
	const bearer, uma = `Bearer realm="photos"`, `UMA realm="photos", as_uri="https://as.example.com"`
	for _, tt := range []struct {
		name    string
		setting func(*config.Config)
		token   string
		status  int
		body    string
		want    string
		header  string
	}{
		{"uma", evaluating, "", 0, "", "401 no_token", uma + `, ticket="t1"`},
		{"uma", evaluating, "t", 400, badToken, "401 inactive_token", uma + `, error="invalid_token", ticket="t1"`},
		{"uma", evaluating, "t", 403, submitted, "401 request_submitted", uma + `, error="insufficient_scope", ticket="t1"`},
		{"bearer", bearerChallenge, "", 0, "", "401 no_token", bearer},
		{"bearer", bearerChallenge, "t", 400, badToken, "401 inactive_token", bearer + `, error="invalid_token"`},
		{"bearer", bearerChallenge, "t", 403, notAuthorized, "403 insufficient_permission", ""},
		{"bearer", bearerChallenge, "t", 403, submitted, "403 request_submitted", ""},
		{"both", bothChallenges, "", 0, "", "401 no_token", bearer + " | " + uma + `, ticket="t1"`},
		{"both", bothChallenges, "t", 403, notAuthorized, "401 insufficient_permission", bearer + `, error="insufficient_scope" | ` + uma + `, error="insufficient_scope", ticket="t1"`},
	} {
		t.Run(tt.name+" "+tt.want, func(t *testing.T) {
			h := newHarness(t, evaluating, tt.setting)
			x, step := h.start(ask("GET", "/albums/1", tt.token))
			if tt.token != "" {
				step = h.reply(step, tt.status, tt.body)
			}
			if step.Kind == decision.KindCall {
				step = h.reply(step, 201, `{"ticket":"t1"}`)
			}
			require.Equal(t, tt.want, outcome(x, step))
			require.Equal(t, tt.header, challenges(step))
		})
	}
}

const memberR3, viewR3 = `[{"scopes":["member"],"rsid":"r3"}]`, `[{"scopes":["view"],"rsid":"r3"}]`

// TestEvaluationBeginsNoOutage: who asks for what the AS stumbles over keeps nobody's stale
// token alive.
func TestEvaluationBeginsNoOutage(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge, staleFor(time.Hour))
	eve, bob := jwt(`{"sub":"eve"}`), jwt(`{"sub":"bob"}`)
	h.evaluated(ask("GET", "/albums/1", eve), 200, granted)
	h.after(70 * time.Second)
	h.evaluated(ask("GET", "/albums/1", bob), 200, granted)
	for range 100 {
		x, step := h.evaluated(ask("GET", "/reports/1", bob), 500, "")
		require.Equal(t, "503 as_error", outcome(x, step))
		_, step = h.start(ask("GET", "/albums/1", eve))
		if step.Kind == decision.KindCall {
			step = h.reply(step, 400, badToken)
		}
		require.Equal(t, decision.KindDeny, step.Kind)
		h.after(50 * time.Millisecond)
	}
}

// TestEvaluationOfOtherSettings: what was granted under others is not believed.
func TestEvaluationOfOtherSettings(t *testing.T) {
	h := newHarness(t, evaluating)
	h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	h.configure(evaluating, siteOf(func(s *config.Site) { s.AuthorizationServer.Evaluation.Audience = "other-rs" }))
	h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	h.configure()
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step))
}

// anyPermission asks for any permission on the resource where it asked for scopes.
func anyPermission(c *config.Config) {
	for i := range c.Sites[0].Resources[0].Conditions {
		if one := &c.Sites[0].Resources[0].Conditions[i]; !one.Public && !one.Deny {
			one.Scopes, one.ScopeExpression, one.Ticket, one.AnyPermission = nil, nil, nil, true
		}
	}
}

// TestAnyPermission: one on the resource is enough, whatever its scopes, and none on
// another; an AS is asked without a scope.
func TestAnyPermission(t *testing.T) {
	for _, tt := range []struct {
		body string
		want decision.Kind
	}{
		{`{"active":true,"permissions":[{"rsid":"r1"}]}`, decision.KindAllow},
		{`{"active":true,"permissions":[{"rsid":"r1","scopes":["other"]}]}`, decision.KindAllow},
		{`{"active":true,"permissions":[{"rsid":"r2","scopes":["view"]}]}`, decision.KindCall},
		{`{"active":true,"permissions":[{"rsid":"r1","scopes":["view"],"exp":1}]}`, decision.KindCall},
		{`{"active":true}`, decision.KindCall},
	} {
		h := newHarness(t, anyPermission)
		_, step := h.start(ask("PUT", "/albums/1", "token"))
		require.Equal(t, tt.want, h.reply(step, 200, tt.body).Kind, tt.body)
	}
	h := newHarness(t, evaluating, anyPermission)
	_, step := h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, []string{"r1"}, form(t, step.Call)["permission"])
	require.Equal(t, decision.KindAllow, h.reply(step, 200, `[{"rsid":"r1","rsname":"albums"}]`).Kind)
	_, step = h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, decision.KindAllow, step.Kind, "it is remembered")
	h = newHarness(t, evaluating, anyPermission)
	_, step = h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, decision.KindCall, h.reply(step, 200, `[]`).Kind)
}
