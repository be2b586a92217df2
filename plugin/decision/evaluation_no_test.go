package decision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestEvaluationGrantsLess: only what came counts, and only what was asked for.
func TestEvaluationGrantsLess(t *testing.T) {
	for _, body := range []string{
		`[]`, granted, `[{"scopes":["edit"],"rsid":"r1"}]`, `[{"scopes":["view","edit"],"rsid":"r2"}]`, `[{"rsid":"r1"}]`, `[{"scopes":["view"],"rsid":"r1"},{"scopes":["edit"],"rsid":"r2"}]`,
		`[{"scopes":["view","edit"],"rsid":"r1","resource_id":"r2"}]`, `[{"scopes":["view",1,"edit"],"rsid":"r1"}]`, `[{"scopes":"view edit","rsid":"r1"}]`, `[[{"scopes":["view","edit"],"rsid":"r1"}]]`,
	} {
		t.Run(body, func(t *testing.T) {
			h := newHarness(t, evaluating, bearerChallenge)
			x, step := h.evaluated(ask("PUT", "/albums/1", "token"), 200, body)
			require.Equal(t, "403 insufficient_permission", outcome(x, step))
			x, step = h.start(ask("PUT", "/albums/1", "token"))
			require.Equal(t, "403 insufficient_permission", outcome(x, step), "cached")
			h.after(5 * time.Second)
			x, step = h.start(ask("PUT", "/albums/1", "token"))
			require.Equal(t, "call evaluation", outcome(x, step), "and asked for again")
		})
	}
	h := newHarness(t, evaluating)
	h.evaluated(ask("GET", "/albums/1", "token"), 200, `[{"scopes":["view","edit"],"rsid":"r1"},{"scopes":["read"],"rsid":"r2"}]`)
	for _, r := range []*decision.Request{ask("PUT", "/albums/1", "token"), ask("GET", "/reports/1", "token")} {
		x, step := h.start(r)
		require.Equal(t, "call evaluation", outcome(x, step), "what nobody has asked for does not count")
	}
}

// TestNoTakesBack: a no ends what was permitted before, and nothing else.
func TestNoTakesBack(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge)
	h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	h.evaluated(ask("GET", "/reports/1", "token"), 200, `[{"scopes":["read"],"rsid":"r2"}]`)
	h.evaluated(ask("PUT", "/albums/1", "token"), 403, notAuthorized) // asks for view, too
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call evaluation", outcome(x, step))
	x, step = h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
}

// TestNoIsApart: a no is one token's for one condition, and it pushes out no good token.
func TestNoIsApart(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge, func(c *config.Config) { c.Cache.NegativeEntries = 5 })
	h.evaluated(ask("GET", "/albums/1", "good"), 200, granted)
	for i := range 50 {
		x, step := h.evaluated(ask("GET", "/albums/1", fmt.Sprint("bad", i)), 403, notAuthorized)
		require.Equal(t, "403 insufficient_permission", outcome(x, step))
		h.after(10 * time.Millisecond)
	}
	entries, _ := h.worker.Cached()
	require.Equal(t, 6, entries)
	x, step := h.start(ask("GET", "/albums/1", "good"))
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.start(ask("GET", "/reports/1", "bad49"))
	require.Equal(t, "call evaluation", outcome(x, step))
	require.Equal(t, "403 insufficient_permission", outcome(h.start(ask("GET", "/albums/1", "bad49"))))
}

// lounge adds conditions on the resource of /guests, which asks not to be a member.
func lounge(c *config.Config) {
	r := &c.Sites[0].Resources[2]
	r.Conditions = append(r.Conditions,
		config.Condition{Paths: []string{"/lounge"}, Scopes: []string{"view"}}, config.Condition{Paths: []string{"/members"}, Scopes: []string{"member"}})
}

// TestGrantThatExcludes: a scope that the AS grants, and a rule excludes, is not forgotten.
func TestGrantThatExcludes(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge, lounge)
	for range 150 {
		x, step := h.start(ask("GET", "/guests", "token"))
		if step.Kind == decision.KindCall {
			step = h.reply(step, 200, memberR3)
		}
		require.Equal(t, "403 insufficient_permission", outcome(x, step))
		h.after(time.Second)
		x, step = h.start(ask("GET", "/lounge", "token"))
		if step.Kind == decision.KindCall {
			step = h.reply(step, 200, viewR3)
		}
		require.Equal(t, "allow permitted", outcome(x, step))
		for _, c := range h.worker.Due(h.now) {
			h.worker.Reply(c.ID, answer(200, `[{"scopes":["member","view"],"rsid":"r3"}]`), h.now)
		}
		h.after(time.Second)
	}
}

// TestGoneAmongMany: that one of the resources which are asked for again is gone says
// nothing of the others.
func TestGoneAmongMany(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge, lounge)
	h.evaluated(ask("GET", "/members", "token"), 200, memberR3)
	h.evaluated(ask("GET", "/reports/1", "token"), 200, `[{"scopes":["read"],"rsid":"r2"}]`)
	h.after(58 * time.Second)
	h.start(ask("GET", "/members", "token"))
	ahead := h.worker.Due(h.now)
	require.Equal(t, []string{"r3#member", "r2#read"}, form(t, ahead[0])["permission"])
	h.worker.Reply(ahead[0].ID, answer(400, noResource), h.now)
	h.evaluated(ask("GET", "/lounge", "token"), 200, viewR3)
	x, step := h.evaluated(ask("GET", "/guests", "token"), 200, memberR3)
	require.Equal(t, "403 insufficient_permission", outcome(x, step))
}

// TestNoLeavesTheTicketsRights: what an RPT was given with a ticket is not taken by a no to
// something else.
func TestNoLeavesTheTicketsRights(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge)
	rpt := jwt(`{"authorization":{"permissions":[]}}`)
	h.decide(ask("GET", "/albums/1", rpt), viewR1)
	h.evaluated(ask("PUT", "/albums/1", rpt), 403, notAuthorized)
	x, step := h.start(ask("GET", "/albums/1", rpt))
	require.Equal(t, "allow permitted", outcome(x, step))
}

// TestRefusedTokenStaysRefused: what the AS was asked before it called a token bad does not
// bring the token back.
func TestRefusedTokenStaysRefused(t *testing.T) {
	token := jwt(`{"sub":"bob","azp":"app","iat":1}`)
	t.Run("a grant", func(t *testing.T) {
		h := newHarness(t, evaluating, bearerChallenge)
		_, early := h.start(ask("GET", "/albums/1", token))
		_, late := h.start(ask("GET", "/reports/1", token))
		h.after(time.Second)
		require.Equal(t, "401 inactive_token", resumed(h, late, 400, badToken))
		h.after(time.Second)
		require.Equal(t, "401 inactive_token", resumed(h, early, 200, granted))
		x, step := h.start(ask("GET", "/albums/1", token))
		require.Equal(t, "401 inactive_token", outcome(x, step))
	})
	t.Run("an introspection of another audience", func(t *testing.T) {
		h := newHarness(t, evaluating, hinted, bearerChallenge)
		h.evaluated(ask("GET", "/albums/1", token), 200, granted)
		_, put := h.start(ask("PUT", "/albums/1", token))
		h.configure(evaluating, hinted, bearerChallenge, revoke(config.Revocations{Sessions: digests("other", hour, 0)}))
		_, about := h.start(ask("GET", "/albums/1", token))
		require.Equal(t, decision.PurposeIntrospect, about.Call.Purpose)
		h.after(time.Second)
		require.Equal(t, "401 inactive_token", resumed(h, put, 400, badToken))
		require.Equal(t, "401 inactive_token", resumed(h, about, 200, unknown))
	})
	t.Run("an RPT that was introspected", func(t *testing.T) {
		h := newHarness(t, evaluating, hinted, bearerChallenge)
		rpt := jwt(`{"authorization":{"permissions":[]},"sub":"bob","azp":"app","iat":1}`)
		h.decide(ask("GET", "/reports/1", rpt), `{"active":true,"permissions":[{"rsid":"r2","scopes":["read"]}]}`)
		h.evaluated(ask("GET", "/albums/1", rpt), 200, granted)
		h.configure(evaluating, hinted, bearerChallenge, revoke(config.Revocations{Sessions: digests("other", hour, 0)}))
		x, step := h.start(ask("GET", "/reports/1", rpt))
		require.Equal(t, "401 inactive_token", outcome(x, h.reply(step, 200, unknown)))
	})
}

// resumed answers a call, and returns how its first request goes on.
func resumed(h *harness, step decision.Step, status int, body string) string {
	out := h.worker.Reply(step.Call.ID, answer(status, body), h.now)
	return outcome(out[0].Exchange, out[0].Step)
}

// TestBadTokensTakeNothing: they do not use up the evaluations of good ones, and where those
// are used up, the AS could be asked, so that nothing is stale.
func TestBadTokensTakeNothing(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge, staleFor(time.Hour), siteOf(func(s *config.Site) { s.Limits.EvaluationsPerSecond, s.Limits.EvaluationBurst = 1, 1 }))
	for i := range 500 {
		h.evaluated(ask("GET", "/albums/1", fmt.Sprint("bad", i)), 400, badToken)
	}
	h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	h.evaluated(ask("PUT", "/albums/1", "token"), 200, `[{"scopes":["view","edit"],"rsid":"r1"}]`)
	h.after(61 * time.Second)
	h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	x, step := h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "429 too_many_evaluations", outcome(x, step))
}

// TestKeyOfANoIsNoToken: who sends the key under which a no is kept is sent away.
func TestKeyOfANoIsNoToken(t *testing.T) {
	h := newHarness(t, evaluating, bearerChallenge)
	h.evaluated(ask("GET", "/albums/1", "token"), 403, notAuthorized)
	x, step := h.start(ask("GET", "/albums/1", "token\x00r1\x00view all"))
	require.Equal(t, "400 invalid_request", outcome(x, step))
}
