package decision_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// streaming is a site whose streams end with their tokens; n is how many it may have.
func streaming(n int) func(*config.Config) {
	return siteOf(func(s *config.Site) { s.Token.Streams, s.Limits.Streams = config.StreamsEndWithToken, n })
}

// open begins a request that is let through, and keeps it as a host does.
func (h *harness) open(token, answer string) *decision.Exchange {
	h.t.Helper()
	x, step := h.decide(ask("GET", "/albums/1", token), answer)
	require.Equal(h.t, decision.KindAllow, step.Kind)
	require.True(h.t, x.Live())
	x.Keep()
	return x
}

// tick is a host's tick: what ends, in words, and the calls to be answered.
func (h *harness) tick() (ended []string, calls []*decision.Call) {
	h.t.Helper()
	h.worker.Sweep(h.now)
	for more := true; more; more = h.worker.Pending() {
		for _, o := range h.worker.Look(h.now) {
			if o.Step.Kind == decision.KindCall {
				calls = append(calls, o.Step.Call)
				continue
			}
			require.Equal(h.t, decision.EffectEnd, o.Exchange.Decision().Effect)
			ended = append(ended, outcome(o.Exchange, o.Step))
		}
	}
	return ended, calls
}

// streams is how many are looked at.
func (h *harness) streams() int {
	n, bytes := h.worker.Streams()
	require.Equal(h.t, n == 0, bytes == 0)
	return n
}

func until(d time.Duration) string {
	return strings.Replace(viewR1, `"active"`, fmt.Sprintf(`"exp":%d,"active"`, began.Add(d).Unix()), 1)
}

// TestStreamsEndWithTheirToken: what happens to a token ends its streams, and nothing else does.
func TestStreamsEndWithTheirToken(t *testing.T) {
	bob := revoke(config.Revocations{Subjects: digests("bob", hour, 0)})
	tests := []struct {
		name   string
		answer string
		change []func(*config.Config)
		// then is what happens to it.
		then func(h *harness)
		want []string
	}{
		{"nothing", until(time.Hour), nil, func(h *harness) { h.after(30 * time.Second) }, nil},
		{"just before its end", until(30 * time.Second), nil, func(h *harness) { h.after(30*time.Second - 1) }, nil},
		{"its end", until(30 * time.Second), nil, func(h *harness) { h.after(30 * time.Second) }, []string{"401 expired_token"}},
		{"its end, with leeway", until(30 * time.Second), []func(*config.Config){siteOf(func(s *config.Site) { s.Token.LeewayMS = 5000 })}, func(h *harness) { h.after(34 * time.Second) }, nil},
		{"its permission's end", strings.Replace(viewR1, `"resource_id"`, fmt.Sprintf(`"exp":%d,"resource_id"`, began.Unix()+30), 1), nil, func(h *harness) { h.after(30 * time.Second) }, []string{"401 insufficient_permission"}},
		{"a revocation", viewR1, nil, func(h *harness) { h.configure(streaming(9), bob) }, []string{"401 revoked_token"}},
		{"a revocation of somebody else's", viewR1, nil, func(h *harness) {
			h.configure(streaming(9), revoke(config.Revocations{Subjects: digests("eve", hour, 0)}))
		}, nil},
		{"a revocation, and the setting goes", viewR1, nil, func(h *harness) { h.configure(bob) }, []string{"401 revoked_token"}},
		{"its site goes", viewR1, nil, func(h *harness) { h.configure(siteOf(func(s *config.Site) { s.Name = "films" })) }, []string{"401 wrong_issuer"}},
		{"another AS", viewR1, nil, func(h *harness) {
			h.configure(streaming(9), siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Authority = "evil" }))
		}, []string{"401 wrong_issuer"}},
		{"a request that finds it inactive", viewR1, nil, func(h *harness) {
			h.after(time.Minute)
			h.use("token", unknown)
		}, []string{"401 inactive_token"}},
		{"a request that finds it without the permission", viewR1, nil, func(h *harness) {
			h.after(time.Minute)
			h.use("token", `{"active":true,"sub":"bob"}`)
		}, []string{"401 insufficient_permission"}},
		{"another condition", viewR1, nil, func(h *harness) {
			h.configure(streaming(9), siteOf(func(s *config.Site) { s.Resources = s.Resources[1:] }))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, append(tt.change, streaming(9))...)
			x := h.open("token", tt.answer)
			ended, calls := h.tick()
			require.Empty(t, ended)
			require.Empty(t, calls)
			tt.then(h)
			ended, calls = h.tick()
			require.Equal(t, tt.want, ended)
			require.Empty(t, calls)
			if tt.want != nil {
				require.Zero(t, h.streams())
			}
			h.worker.Abandon(x)
			require.Zero(t, h.streams())
		})
	}
}

// TestWhatIsNoStream: a request that no token opened goes on, and so does one that is only
// watched.
func TestWhatIsNoStream(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		path   string
	}{
		"the site does not say so": {func(*config.Config) {}, "/albums/1"},
		"public":                   {streaming(9), "/healthz"},
		"off":                      {streaming(9), "/loose/1"},
		"monitor":                  {streaming(9), "/watched/1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, c.change)
			x, step := h.decide(ask("GET", c.path, "token"), `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"]},{"resource_id":"r5","resource_scopes":["view"]}]}`)
			require.Equal(t, decision.KindAllow, step.Kind)
			require.False(t, x.Live())
			require.Zero(t, h.streams())
		})
	}
}

// TestStreamsHaveTheirTokenAskedAbout: when what is known of it is over, once for all of them.
func TestStreamsHaveTheirTokenAskedAbout(t *testing.T) {
	const open = 20
	for name, c := range map[string]struct {
		status int
		answer string
		want   []string
	}{
		"active":                 {200, viewR1, nil},
		"inactive":               {200, unknown, []string{"401 inactive_token"}},
		"without the permission": {200, `{"active":true}`, []string{"401 insufficient_permission"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, streaming(open))
			for range open {
				h.open("token", viewR1)
			}
			h.after(59 * time.Second)
			_, calls := h.tick()
			require.Empty(t, calls)
			h.after(time.Second)
			ended, calls := h.tick()
			require.Empty(t, ended, "before there is an answer")
			require.Len(t, calls, 1)
			require.Equal(t, "token=token", string(calls[0].Body))
			h.after(time.Second)
			_, more := h.tick()
			require.Empty(t, more, "while it is under way")
			for _, o := range h.worker.Reply(calls[0].ID, answer(c.status, c.answer), h.now) {
				if o.Step.Kind == decision.KindDeny {
					ended = append(ended, outcome(o.Exchange, o.Step))
				}
			}
			require.Equal(t, c.want, ended)
			h.after(time.Second)
			others, more := h.tick()
			require.Empty(t, more)
			if c.want == nil {
				require.Empty(t, others)
				require.Equal(t, open, h.streams())
				return
			}
			require.Len(t, others, open-1)
			require.Zero(t, h.streams())
		})
	}
}

// TestStreamsWithoutAnAnswer: the AS is asked with growing distance, and then the stream ends.
func TestStreamsWithoutAnAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		want   time.Duration
	}{
		{"by default", func(*config.Config) {}, 90 * time.Second},
		{"asked every time", siteOf(func(s *config.Site) { s.Token.MaxTTLMS = -1 }), 35 * time.Second},
		{"stale", staleFor(2 * time.Minute), 3 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, streaming(9), tt.change)
			h.open("token", viewR1)
			asked := 0
			for {
				h.after(time.Second)
				ended, calls := h.tick()
				for _, c := range calls {
					asked++
					h.fail(c.ID)
				}
				for _, c := range h.worker.Due(h.now) {
					h.fail(c.ID)
				}
				if ended != nil {
					require.Equal(t, []string{"503 as_unreachable"}, ended)
					break
				}
				require.Less(t, h.now.Sub(began), tt.want)
			}
			require.Equal(t, tt.want, h.now.Sub(began))
			require.Less(t, asked, 10)
		})
	}
}

// TestStreamsOfTokensThatAreNotKept: where every request asks, a stream does so every five seconds.
func TestStreamsOfTokensThatAreNotKept(t *testing.T) {
	h := newHarness(t, streaming(9), siteOf(func(s *config.Site) { s.Token.MaxTTLMS = -1 }))
	h.open("token", viewR1)
	var at []int
	for i := range 20 {
		h.after(time.Second)
		_, calls := h.tick()
		for _, c := range calls {
			at = append(at, i+1)
			h.worker.Reply(c.ID, answer(200, viewR1), h.now)
		}
	}
	require.Equal(t, []int{5, 10, 15, 20}, at)
	require.Equal(t, 1, h.streams())
	h.configure(streaming(9), siteOf(func(s *config.Site) { s.Token.MaxTTLMS = -1 }), revoke(config.Revocations{Tokens: digests("token", hour, 0)}))
	ended, _ := h.tick()
	require.Equal(t, []string{"401 revoked_token"}, ended)
}

// TestStreamsOfNobodyKnown: whose a stream's token is the AS is asked while somebody's are revoked.
func TestStreamsOfNobodyKnown(t *testing.T) {
	eve := revoke(config.Revocations{Subjects: digests("eve", hour, 0)})
	for name, c := range map[string]struct {
		response decision.Response
		want     string
	}{
		"somebody else's": {answer(200, whose), "allow permitted"},
		"not said":        {answer(200, anonymous), "401 revocation_unknown"},
		"no answer":       {decision.Response{}, "503 as_unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, streaming(9), hinted)
			h.open("token", anonymous)
			h.configure(streaming(9), hinted, eve)
			ended, calls := h.tick()
			require.Empty(t, ended)
			require.Len(t, calls, 1)
			outcomes := h.worker.Reply(calls[0].ID, c.response, h.now)
			require.Len(t, outcomes, 1)
			require.Equal(t, c.want, outcome(outcomes[0].Exchange, outcomes[0].Step))
		})
	}
}

// TestEvaluatedStreams: what the AS has evaluated it evaluates again.
func TestEvaluatedStreams(t *testing.T) {
	for name, c := range map[string]struct {
		response decision.Response
		want     string
	}{
		"granted":  {answer(200, granted), "allow permitted"},
		"denied":   {answer(403, notAuthorized), "401 insufficient_permission"},
		"inactive": {answer(400, badToken), "401 inactive_token"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, evaluating, streaming(9))
			_, step := h.start(ask("GET", "/albums/1", "token"))
			step = h.reply(step, 200, granted)
			require.Equal(t, decision.KindAllow, step.Kind)
			h.after(time.Minute)
			ended, calls := h.tick()
			require.Empty(t, ended)
			require.Len(t, calls, 1)
			require.Equal(t, decision.PurposeEvaluate, calls[0].Purpose)
			outcomes := h.worker.Reply(calls[0].ID, c.response, h.now)
			require.Len(t, outcomes, 1)
			require.Equal(t, c.want, outcome(outcomes[0].Exchange, outcomes[0].Step))
		})
	}
}

// TestRoomForStreams: what is over leaves room, by whatever way.
func TestRoomForStreams(t *testing.T) {
	h := newHarness(t, streaming(2))
	h.open("token", viewR1)
	x := h.open("token", viewR1)
	refused, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "429 too_many_streams", outcome(refused, step))
	require.Equal(t, "1", value(t, step.Deny.Headers, "retry-after"))
	h.worker.Abandon(refused)
	h.worker.Abandon(x)
	h.worker.Abandon(x)
	require.Equal(t, 1, h.streams())
	h.open("token", viewR1)
	require.Equal(t, 2, h.streams())

	h = newHarness(t, streaming(1000), siteOf(func(s *config.Site) { s.Limits.StreamBytes = 64 << 10 }))
	for h.streams() < 1000 {
		if x, step := h.decide(ask("GET", "/albums/1", strings.Repeat("t", 2000)), viewR1); step.Kind != decision.KindAllow {
			require.Equal(t, "429 too_many_streams", outcome(x, step))
			break
		}
	}
	require.Equal(t, 16, h.streams())
}

// TestManyStreamsEnd: as many at once as the host can end, and the others after.
func TestManyStreamsEnd(t *testing.T) {
	const all = 1500
	h := newHarness(t, streaming(all))
	for i := range all {
		h.open(fmt.Sprint("token", i), viewR1)
	}
	h.configure(streaming(all), revoke(config.Revocations{Subjects: digests("bob", hour, 0)}))
	turns := 0
	for h.streams() > 0 {
		h.worker.Bound(32)
		require.True(t, h.worker.Pending())
		require.LessOrEqual(t, len(h.worker.Look(h.now)), 32)
		turns++
	}
	require.LessOrEqual(t, turns, all/32+3)
	h.worker.Bound(32)
	require.False(t, h.worker.Pending())
}

// TestAnAnswerToAStreamThatEnds: who has no answer yet is told why, and by which scheme to come again.
func TestAnAnswerToAStreamThatEnds(t *testing.T) {
	h := newHarness(t, streaming(9))
	h.open("token", viewR1)
	h.configure(streaming(9), revoke(config.Revocations{Tokens: digests("token", hour, 0)}))
	outcomes := h.worker.Look(h.now)
	require.Len(t, outcomes, 1)
	require.Equal(t, `Bearer realm="photos", error="invalid_token"`, value(t, outcomes[0].Step.Deny.Headers, "www-authenticate"))
	require.Contains(t, outcomes[0].Step.Deny.Body, `"code":"revoked_token"`)
	var counted uint64
	h.worker.Drain(func(site string, s *decision.SiteStats) {
		if site == "photos" {
			counted = s.StreamsEnded[decision.ReasonRevoked]
		}
	})
	require.EqualValues(t, 1, counted)
}
