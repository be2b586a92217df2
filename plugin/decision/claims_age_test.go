package decision_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

const ofSales = `"department":"sales","realm_access":{"roles":["admin"]}`

// TestAnswerStandsOverThePayload: what the AS has said of a claim is not undone by the
// payload, whichever call comes next.
func TestAnswerStandsOverThePayload(t *testing.T) {
	const album = "/albums/1"
	rpt := jwt(`{"sub":"bob",` + ofSales + `,"authorization":{"permissions":[]}}`)
	t.Run("an evaluation", func(t *testing.T) {
		h := newHarness(t, sales, fromToken, evaluating)
		x, step := h.decide(ask("GET", album, rpt), withMembers(`"department":"gone"`))
		require.Equal(t, "403 insufficient_claims", outcome(x, step))
		x, step = h.evaluated(ask("PUT", album, rpt), 200, `[{"rsid":"r1","scopes":["view","edit"]}]`)
		require.Equal(t, "allow permitted", outcome(x, step))
		require.Equal(t, "403 insufficient_claims", outcome(h.start(ask("GET", album, rpt))))
	})
	t.Run("another answer", func(t *testing.T) {
		h := newHarness(t, sales, hinted)
		token := jwt(`{"sub":"bob","department":"sales","authorization":{"permissions":[]}}`)
		x, step := h.start(ask("GET", album, token))
		step = h.reply(step, 200, viewR1)
		require.Equal(t, "call introspection", outcome(x, step), "nobody has said what roles there are")
		step = h.reply(step, 200, `{"active":true,"department":"gone","realm_access":{"roles":["admin"]}}`)
		require.Equal(t, "403 insufficient_claims", outcome(x, step))
	})
	t.Run("where only answers say claims", func(t *testing.T) {
		response := siteOf(func(s *config.Site) {
			s.AuthorizationServer.Introspection.Claims = config.ClaimsFromResponse
		})
		token := jwt(`{"sub":"bob",` + ofSales + `}`)
		for _, hint := range []func(*config.Config){hinted, func(*config.Config) {}} {
			for said, want := range map[string]string{
				`{"active":true,"department":"gone"}`: "403 insufficient_claims",
				`{"active":true,` + ofSales + `}`:     "allow permitted",
			} {
				h := newHarness(t, hint, sales, response, evaluating)
				x, step := h.evaluated(ask("GET", album, token), 200, granted)
				require.Equal(t, "call introspection", outcome(x, step))
				step = h.reply(step, 200, said)
				require.Equal(t, want, outcome(x, step))
				require.Equal(t, want, outcome(h.start(ask("GET", album, token))), "cached")
			}
		}
	})
}

// TestClaimsGetNoYounger: evaluations, also those that no request waits for, do not have
// what an introspection told of claims believed for longer.
func TestClaimsGetNoYounger(t *testing.T) {
	h := newHarness(t, sales, hinted, evaluating, everywhere(claim([]string{"sales"}, "department")), siteOf(func(s *config.Site) {
		s.Unmatched = config.UnmatchedAuthenticated
	}))
	x, step := h.start(ask("GET", "/nothing", "token"))
	step = h.reply(step, 200, `{"active":true,"permissions":[]}`)
	step = h.reply(step, 200, `{"active":true,"sub":"bob",`+ofSales+`}`)
	require.Equal(t, "allow unmatched_authenticated", outcome(x, step))
	h.after(40 * time.Second)
	x, step = h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	require.Equal(t, "allow permitted", outcome(x, step))
	h.after(15 * time.Second)
	require.Equal(t, "allow permitted", outcome(h.start(ask("GET", "/albums/1", "token"))))
	require.Empty(t, h.worker.Due(h.now), "asked ahead in one way, it would be believed no longer")
	h.after(5 * time.Second)
	x, step = h.evaluated(ask("GET", "/albums/1", "token"), 200, granted)
	require.Equal(t, "call introspection", outcome(x, step), "they are a minute old")
	step = h.reply(step, 200, `{"active":true,"sub":"bob","department":"gone"}`)
	require.Equal(t, "403 insufficient_claims", outcome(x, step))
}

// TestClaimsThatAreGone: what the AS does not say any more of a token, where it says all, is
// not there.
func TestClaimsThatAreGone(t *testing.T) {
	h := newHarness(t, sales, byTicket)
	verified := knows
	verified.body = bobs[:len(bobs)-1] + "," + ofSales + "}"
	x, step := h.converse(ask("GET", "/albums/1", "token"), verified, tickets, claims, inspects)
	require.Equal(t, "allow permitted", outcome(x, step))
	h.after(55 * time.Second)
	require.Equal(t, "allow permitted", outcome(h.start(ask("GET", "/albums/1", "token"))))
	for _, a := range []said{knows, tickets, claims, inspects} { // nothing of what it said before
		due := h.worker.Due(h.now)
		require.Len(t, due, 1, a.path)
		h.worker.Reply(due[0].ID, answer(a.status, a.body), h.now)
	}
	require.Equal(t, "403 insufficient_claims", outcome(h.start(ask("GET", "/albums/1", "token"))))
}
