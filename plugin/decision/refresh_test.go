package decision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// lateUse uses "token" when every token is asked about again at its next use, and
// returns the calls that are due.
func (h *harness) lateUse() []*decision.Call {
	h.t.Helper()
	h.after(55 * time.Second)
	require.Equal(h.t, decision.CacheHit, h.use("token", viewR1))
	return h.worker.Due(h.now)
}

// TestRefreshAhead: a token in use is asked about before its time is over, once, and by
// no request.
func TestRefreshAhead(t *testing.T) {
	h := newHarness(t)
	h.use("token", viewR1)
	h.after(48*time.Second - time.Nanosecond)
	require.Equal(t, decision.CacheHit, h.use("token", viewR1))
	require.Empty(t, h.worker.Due(h.now), "not before the last fifth")
	h.after(6 * time.Second)
	require.Empty(t, h.worker.Due(h.now), "it is not in use")
	require.Equal(t, decision.CacheHit, h.use("token", viewR1))
	calls := h.worker.Due(h.now)
	require.Len(t, calls, 1)
	require.Equal(t, decision.PurposeIntrospect, calls[0].Purpose)
	require.Equal(t, "token=token", string(calls[0].Body))
	require.Equal(t, decision.CacheHit, h.use("token", viewR1), "while it is under way")
	require.Empty(t, h.worker.Due(h.now.Add(5*time.Second)), "once")
	require.Empty(t, h.worker.Reply(calls[0].ID, answer(200, editR1), h.now))
	x, step := h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step), "what it says counts")
	h.after(59 * time.Second)
	require.Equal(t, decision.CacheHit, h.use("token", viewR1), "from then on")
}

// TestRefreshIsShared: what needs the AS meanwhile waits for the same call.
func TestRefreshIsShared(t *testing.T) {
	h := newHarness(t)
	h.use("token", viewR1)
	calls := h.lateUse()
	require.Len(t, calls, 1)
	x, step := h.start(ask("PUT", "/albums/1", "token"))
	require.True(t, step.Call.Shared)
	outcomes := h.worker.Reply(calls[0].ID, answer(200, editR1), h.now)
	require.Len(t, outcomes, 1)
	require.Equal(t, "allow permitted", outcome(x, outcomes[0].Step))
}

// TestRefreshSaysInactive: the entry ends at once.
func TestRefreshSaysInactive(t *testing.T) {
	h := newHarness(t)
	h.use("token", viewR1)
	h.worker.Reply(h.lateUse()[0].ID, answer(200, unknown), h.now)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call permission", outcome(x, step))
	require.Equal(t, "401 inactive_token", outcome(x, h.reply(step, 201, `{"ticket":"t"}`)))
}

// TestRefreshFails: what is known counts until it ends. An answer that cannot be used is
// not asked for again; none is, with growing distance, and for no longer than that.
func TestRefreshFails(t *testing.T) {
	t.Run("an answer", func(t *testing.T) {
		h := newHarness(t)
		h.use("token", viewR1)
		h.worker.Reply(h.lateUse()[0].ID, answer(401, ""), h.now)
		for range 4 {
			h.after(time.Second)
			require.Equal(t, decision.CacheHit, h.use("token", viewR1))
			require.Empty(t, h.worker.Due(h.now))
		}
		h.after(time.Second)
		require.Equal(t, decision.CacheMiss, h.use("token", viewR1))
	})
	t.Run("no answer", func(t *testing.T) {
		h := newHarness(t)
		h.use("token", viewR1)
		h.fail(h.lateUse()[0].ID)
		var at []int
		for i := range 30 {
			h.after(time.Second)
			for _, c := range h.worker.Due(h.now) {
				at = append(at, i+1)
				h.fail(c.ID)
			}
		}
		require.Equal(t, []int{1, 3}, at)
	})
	t.Run("and then one", func(t *testing.T) {
		h := newHarness(t)
		h.use("token", viewR1)
		h.fail(h.lateUse()[0].ID)
		h.after(time.Second)
		h.worker.Reply(h.worker.Due(h.now)[0].ID, answer(200, viewR1), h.now)
		h.after(50 * time.Second)
		require.Equal(t, decision.CacheHit, h.use("token", viewR1))
	})
}

// TestWhatIsNotRefreshed.
func TestWhatIsNotRefreshed(t *testing.T) {
	expiring := fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, began.Add(59*time.Second).Unix())
	tests := []struct {
		name   string
		change func(*config.Config)
		use    func(h *harness)
	}{
		{"on demand", siteOf(func(s *config.Site) { s.Token.Refresh = config.RefreshOnDemand }), func(h *harness) { h.use("token", viewR1) }},
		{"asked every time", siteOf(func(s *config.Site) { s.Token.MaxTTLMS, s.Token.StaleMS = -1, 600_000 }), func(h *harness) { h.use("token", viewR1) }},
		{"one that ends by itself", func(*config.Config) {}, func(h *harness) { h.use("token", expiring) }},
		{"an inactive one", siteOf(func(s *config.Site) { s.Token.NegativeTTLMS = 60_000 }), func(h *harness) { h.use("token", unknown) }},
		{"one that permits nothing here", func(*config.Config) {}, func(h *harness) { h.use("token", `{"active":true}`) }},
		{"one of another configuration", func(*config.Config) {}, func(h *harness) {
			h.use("token", viewR1)
			h.after(55 * time.Second)
			h.use("token", viewR1)
			h.configure(siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/x" }))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, tt.change)
			tt.use(h)
			h.now = began.Add(55 * time.Second)
			h.start(ask("GET", "/albums/1", "token"))
			require.Empty(t, h.worker.Due(h.now))
		})
	}
	t.Run("one that the AS was asked about further", func(t *testing.T) {
		settings := []func(*config.Config){hinted, revoke(config.Revocations{Subjects: digests("eve", hour, 0)})}
		h := newHarness(t, settings...)
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "call introspection", outcome(x, h.reply(step, 200, anonymous)))
		for _, o := range h.worker.Reply(step.Call.ID+1, answer(200, whose), h.now) {
			require.Equal(t, "allow permitted", outcome(o.Exchange, o.Step))
		}
		h.after(55 * time.Second)
		require.Equal(t, decision.CacheHit, h.use("token", viewR1))
		require.Empty(t, h.worker.Due(h.now))
	})
}

// TestRefreshesAreSpread: tokens that came together are asked about at different moments.
func TestRefreshesAreSpread(t *testing.T) {
	const tokens = 600
	h := newHarness(t, siteOf(func(s *config.Site) { s.Limits.CallsInFlight, s.Limits.RefreshesPerSecond = 2*tokens, tokens }))
	for i := range tokens {
		h.use(fmt.Sprint("token", i), viewR1)
	}
	total := 0
	for second := 47; second <= 54; second++ {
		h.now = began.Add(time.Duration(second) * time.Second)
		for i := range tokens {
			h.use(fmt.Sprint("token", i), viewR1)
		}
		n := len(h.worker.Due(h.now))
		total += n
		switch {
		case second < 48:
			require.Zero(t, n)
		case second > 48:
			require.InDelta(t, tokens/6, n, tokens/12, "second %d", second)
		}
	}
	require.Equal(t, tokens, total)
}

// TestRefreshLimits: so many in a second, with half of the calls left for requests; and
// what finds no room is asked about by a request.
func TestRefreshLimits(t *testing.T) {
	late := func(t *testing.T, change func(*config.Site)) *harness {
		t.Helper()
		h := newHarness(t, siteOf(change))
		for i := range 20 {
			h.use(fmt.Sprint("token", i), viewR1)
		}
		h.after(55 * time.Second)
		for i := range 20 {
			h.use(fmt.Sprint("token", i), viewR1)
		}
		return h
	}
	t.Run("in a second", func(t *testing.T) {
		h := late(t, func(s *config.Site) { s.Limits.RefreshesPerSecond = 6 })
		for _, want := range []int{6, 6, 6, 2, 0} {
			require.Len(t, h.worker.Due(h.now), want)
			require.Empty(t, h.worker.Due(h.now))
			h.after(time.Second)
		}
	})
	t.Run("under way", func(t *testing.T) {
		h := late(t, func(s *config.Site) { s.Limits.CallsInFlight = 10 })
		calls := h.worker.Due(h.now)
		require.Len(t, calls, 5)
		require.Empty(t, h.worker.Due(h.now))
		h.worker.Reply(calls[0].ID, answer(200, viewR1), h.now)
		require.Len(t, h.worker.Due(h.now), 1)
	})
	t.Run("at a time", func(t *testing.T) {
		h := late(t, func(*config.Site) {})
		for _, want := range []int{8, 8, 4, 0} {
			h.worker.Bound(8)
			require.Len(t, h.worker.Due(h.now), want)
		}
	})
	t.Run("too late", func(t *testing.T) {
		h := late(t, func(s *config.Site) { s.Limits.RefreshesPerSecond = 1 })
		h.after(5 * time.Second)
		require.Empty(t, h.worker.Due(h.now))
		require.Equal(t, decision.CacheMiss, h.use("token0", viewR1))
	})
}

// TestSteadyState: no request waits, and the AS is asked at most five times in four
// max_ttl about a token.
func TestSteadyState(t *testing.T) {
	h := newHarness(t)
	const long = 20 * time.Minute
	h.use("token", viewR1)
	asked := 1
	for h.now.Before(began.Add(long)) {
		h.after(100 * time.Millisecond)
		require.Equal(t, decision.CacheHit, h.use("token", viewR1), "%s", h.now.Sub(began))
		if h.now.Nanosecond() == 0 {
			for _, c := range h.worker.Due(h.now) {
				asked++
				h.worker.Reply(c.ID, answer(200, viewR1), h.now)
			}
		}
	}
	require.LessOrEqual(t, asked, int(long/time.Minute)*5/4+1)
	require.Greater(t, asked, int(long/time.Minute))
}
