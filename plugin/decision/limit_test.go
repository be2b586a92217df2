package decision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestTicketLimit: beyond the limit the client is told to come back.
func TestTicketLimit(t *testing.T) {
	h := newHarness(t, siteOf(func(s *config.Site) { s.Limits.TicketsPerSecond, s.Limits.TicketBurst = 2, 3 }))
	try := func() string {
		x, step := h.decide(ask("GET", "/albums/1", ""), "")
		if step.Deny.Status == 429 {
			require.Equal(t, "1", value(t, step.Deny.Headers, "retry-after"))
			require.Empty(t, value(t, step.Deny.Headers, "www-authenticate"))
			requireProblem(t, x, step)
		}
		return outcome(x, step)
	}
	for range 3 {
		require.Equal(t, "401 no_token", try())
	}
	require.Equal(t, "429 too_many_tickets", try())
	h.after(499 * time.Millisecond)
	require.Equal(t, "429 too_many_tickets", try())
	h.after(time.Millisecond)
	require.Equal(t, "401 no_token", try(), "two a second is one in half a second")
	require.Equal(t, "429 too_many_tickets", try())
	h.after(time.Hour)
	for range 3 {
		require.Equal(t, "401 no_token", try())
	}
	require.Equal(t, "429 too_many_tickets", try(), "never more than the burst")
	h.after(-time.Hour)
	require.Equal(t, "429 too_many_tickets", try(), "a clock that goes back gives nothing")

	x, step := h.decide(ask("GET", "/albums/1", "token"), viewR1)
	require.Equal(t, "allow permitted", outcome(x, step), "who has a right needs no ticket")
	h.configure(siteOf(func(s *config.Site) { s.Limits.TicketsPerSecond, s.Limits.TicketBurst = 2, 3 }))
	require.Equal(t, "429 too_many_tickets", try(), "a push does not fill the bucket")
}

// TestCallLimit: calls that have no answer yet are bounded.
func TestCallLimit(t *testing.T) {
	h := newHarness(t, siteOf(func(s *config.Site) { s.Limits.CallsInFlight = 3 }))
	var calls []decision.Step
	for i := range 3 {
		_, step := h.start(ask("GET", "/albums/1", fmt.Sprint("token", i)))
		require.Equal(t, decision.KindCall, step.Kind)
		calls = append(calls, step)
	}
	for _, r := range []*decision.Request{ask("GET", "/albums/1", "another"), ask("GET", "/albums/1", "")} {
		x, step := h.start(r)
		require.Equal(t, "429 too_many_calls", outcome(x, step))
		require.Equal(t, "1", value(t, step.Deny.Headers, "retry-after"))
	}
	_, step := h.start(ask("GET", "/albums/1", "token0"))
	require.True(t, step.Call.Shared, "who shares a call makes none")
	x, step := h.start(ask("GET", "/healthz", ""))
	require.Equal(t, "allow public", outcome(x, step))

	// The call of a token that is good makes room.
	require.Len(t, h.worker.Reply(calls[0].Call.ID, answer(200, viewR1), h.now), 2)
	_, step = h.start(ask("GET", "/albums/1", "next"))
	require.Equal(t, decision.KindCall, step.Kind)

	// The ticket that follows an answer counts as well; its own call has just ended.
	require.Equal(t, "call permission", outcome(&decision.Exchange{}, h.reply(calls[1], 200, unknown)))
	x, step = h.start(ask("GET", "/albums/1", ""))
	require.Equal(t, "429 too_many_calls", outcome(x, step))
	for range 100 { // Nothing is lost or counted twice by hang-ups.
		y, _ := h.start(ask("GET", "/albums/1", "token2"))
		h.worker.Abandon(y)
	}
	require.Len(t, h.worker.Refused(calls[2].Call.ID, h.now), 1)
	_, step = h.start(ask("GET", "/albums/1", ""))
	require.Equal(t, decision.KindCall, step.Kind)
}

// TestLimitsAreOfASite: one site's clients take nothing from another's.
func TestLimitsAreOfASite(t *testing.T) {
	h := newHarness(t, func(c *config.Config) {
		c.Sites[0].Limits = config.Limits{TicketsPerSecond: 1, TicketBurst: 1, CallsInFlight: 1}
		other := photos().Sites[0]
		other.Name, other.Hosts = "videos", []string{"videos.example.com"}
		c.Sites = append(c.Sites, other)
	})
	h.start(ask("GET", "/albums/1", ""))
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "429 too_many_calls", outcome(x, step))
	_, step = h.start(with(ask("GET", "/albums/1", ""), ":authority", "videos.example.com"))
	require.Equal(t, decision.KindCall, step.Kind)
}

// TestStats: what is counted, and that a drain empties it.
func TestStats(t *testing.T) {
	h := newHarness(t)
	h.use("token", viewR1)
	h.use("token", viewR1)
	h.start(ask("GET", "/albums/1", "slow"))
	h.start(ask("GET", "/albums/1", "slow"))
	h.decide(with(ask("GET", "/", ""), ":authority", "other"), "")
	h.decide(ask("GET", "/watched/1", ""), "")
	_, step := h.start(ask("GET", "/albums/1", ""))
	h.after(20 * time.Millisecond)
	h.reply(step, 500, "")

	seen := map[string]decision.SiteStats{}
	h.worker.Drain(func(site string, s *decision.SiteStats) { seen[site] = *s })
	require.Len(t, seen, 2)
	require.Equal(t, uint64(1), seen["-"].Decisions[decision.EffectDeny][decision.ReasonUnknownHost])
	s := seen["photos"]
	require.Equal(t, uint64(2), s.Decisions[decision.EffectAllow][decision.ReasonPermitted])
	require.Equal(t, uint64(1), s.Decisions[decision.EffectMonitor][decision.ReasonNoToken])
	require.Equal(t, uint64(1), s.Decisions[decision.EffectDeny][decision.ReasonNoTicket])
	require.Equal(t, uint64(1), s.CacheHits)
	require.Equal(t, uint64(3), s.CacheMisses)
	require.Equal(t, uint64(1), s.CallsShared)
	require.Equal(t, uint64(1), s.Calls[decision.PurposeIntrospect][decision.CallOK])
	require.Equal(t, uint64(1), s.Calls[decision.PurposeTicket][decision.CallError])
	require.Equal(t, []time.Duration{20 * time.Millisecond}, s.Latencies[decision.PurposeTicket])
	h.worker.Drain(func(_ string, s *decision.SiteStats) {
		require.Zero(t, s.CacheHits)
		require.Zero(t, s.Decisions)
		require.Empty(t, s.Latencies[decision.PurposeTicket])
	})
}
