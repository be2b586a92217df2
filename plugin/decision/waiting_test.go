package decision_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// queue begins n requests that wait for one introspection.
func (h *harness) queue(n int) (all []*decision.Exchange, call *decision.Call) {
	h.t.Helper()
	for i := range n {
		x, step := h.start(ask("GET", "/albums/"+strconv.Itoa(i), "token"))
		require.Equal(h.t, decision.KindCall, step.Kind)
		if call == nil {
			call = step.Call
		}
		require.Equal(h.t, call.ID, step.Call.ID)
		all = append(all, x)
	}
	return all, call
}

// One callback of Envoy does so much and no more; the rest comes in the order in
// which the requests came.
func TestBound(t *testing.T) {
	h := newHarness(t)
	all, call := h.queue(100)
	h.worker.Bound(32)
	require.False(t, h.worker.Pending())
	got := h.worker.Reply(call.ID, answer(200, viewR1), h.now)
	require.Len(t, got, 32)
	require.True(t, h.worker.Pending())
	require.Empty(t, h.worker.Next(h.now), "the budget is spent")
	_, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, decision.KindAllow, step.Kind, "a new request waits for none of them")
	for _, want := range []int{32, 32, 4} {
		h.worker.Bound(32)
		more := h.worker.Next(h.now)
		require.Len(t, more, want)
		got = append(got, more...)
	}
	require.False(t, h.worker.Pending())
	for i, o := range got {
		require.Same(t, all[i], o.Exchange, i)
		require.Equal(t, "allow permitted", outcome(o.Exchange, o.Step))
	}
}

// The budget is one for all: for answers, calls that could not be sent, overdue
// calls and reports.
func TestBoundIsForAllTogether(t *testing.T) {
	roomy := siteOf(func(s *config.Site) { s.Limits.TicketBurst = 1000 })
	t.Run("calls that cannot be sent", func(t *testing.T) {
		h := newHarness(t, roomy)
		_, call := h.queue(100)
		h.worker.Bound(32)
		first := h.worker.Reply(call.ID, answer(200, unknown), h.now)
		require.Len(t, first, 32)
		denied := 0
		for _, o := range first {
			require.Equal(t, decision.PurposeTicket, o.Step.Call.Purpose)
			require.Empty(t, h.worker.Refused(o.Step.Call.ID, h.now))
		}
		for h.worker.Pending() {
			h.worker.Bound(32)
			outcomes := h.worker.Next(h.now)
			require.LessOrEqual(t, len(outcomes), 32)
			for _, o := range outcomes {
				if o.Step.Kind == decision.KindDeny {
					denied++
				} else {
					require.Empty(t, h.worker.Refused(o.Step.Call.ID, h.now))
				}
			}
		}
		require.Equal(t, 100, denied)
	})
	t.Run("overdue calls", func(t *testing.T) {
		h := newHarness(t)
		for i := range 100 {
			h.start(ask("GET", "/albums/1", "token"+strconv.Itoa(i)))
		}
		h.after(time.Minute)
		h.worker.Bound(32)
		require.Len(t, h.worker.Sweep(h.now), 32)
		h.worker.Bound(100)
		require.Len(t, h.worker.Next(h.now), 68)
	})
	t.Run("reports", func(t *testing.T) {
		h := newHarness(t, owned())
		for i := range 100 {
			x := h.passed("POST", "/boxes")
			call := h.ended(x, 201, "/boxes/"+strconv.Itoa(i))
			require.Empty(t, h.worker.Reply(call.ID, answer(503, ""), h.now))
		}
		h.after(time.Minute)
		sent := 0
		for _, want := range []int{32, 32, 32, 4} {
			h.worker.Bound(32)
			calls := h.worker.Due(h.now)
			require.Len(t, calls, want)
			sent += len(calls)
		}
		require.Equal(t, 100, sent)
		require.False(t, h.worker.Pending())
	})
}

// A request is judged when its turn comes.
func TestJudgedInTurn(t *testing.T) {
	tests := []struct {
		name      string
		answer    string
		meanwhile func(h *harness)
		want      string
	}{
		{"nothing", viewR1, func(*harness) {}, "allow permitted"},
		{"revoked", viewR1, func(h *harness) { h.configure(revoke(config.Revocations{Tokens: digests("token", hour, 0)})) }, "401 revoked_token"},
		{"revoked, by a policy that asks another AS", viewR1, func(h *harness) {
			h.configure(revoke(config.Revocations{Tokens: digests("token", hour, 0)}), siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/other" }))
		}, "401 revoked_token"},
		{"expired", strings.Replace(viewR1, `"sub"`, fmt.Sprintf(`"exp":%d,"sub"`, began.Unix()+1), 1), func(h *harness) { h.after(time.Second) }, "401 expired_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			_, call := h.queue(2)
			h.worker.Bound(1)
			first := h.worker.Reply(call.ID, answer(200, tt.answer), h.now)
			require.Len(t, first, 1)
			require.Equal(t, "allow permitted", outcome(first[0].Exchange, first[0].Step))
			tt.meanwhile(h)
			h.worker.Bound(9)
			second := h.worker.Next(h.now)
			require.Len(t, second, 1)
			o := second[0]
			if o.Step.Kind == decision.KindCall {
				o.Step = h.reply(o.Step, 201, `{"ticket":"t1"}`)
			}
			require.Equal(t, tt.want, outcome(o.Exchange, o.Step))
		})
	}
}

// Who hangs up while its turn has not come is forgotten, wherever it stands.
func TestHangUpBeforeItsTurn(t *testing.T) {
	h := newHarness(t)
	all, call := h.queue(10)
	h.worker.Abandon(all[9])
	h.worker.Bound(1)
	require.Len(t, h.worker.Reply(call.ID, answer(200, viewR1), h.now), 1)
	for _, i := range []int{1, 4, 8, 4} {
		h.worker.Abandon(all[i])
	}
	h.worker.Bound(100)
	var left []*decision.Exchange
	for _, o := range h.worker.Next(h.now) {
		left = append(left, o.Exchange)
	}
	require.Equal(t, []*decision.Exchange{all[2], all[3], all[5], all[6], all[7]}, left)
	n, bytes := h.worker.Waiting()
	require.Zero(t, n)
	require.Zero(t, bytes)
	require.False(t, h.worker.Pending())
}

func TestWaitingIsBounded(t *testing.T) {
	big := strings.Repeat("h", 60<<10)
	tests := []struct {
		name   string
		change func(*config.Site)
		n      int // may wait
		next   *decision.Request
		want   string
	}{
		{"requests", func(s *config.Site) { s.Limits.WaitingRequests = 3 }, 3, ask("GET", "/albums/1", "other"), "429 too_many_waiting"},
		{"requests, for a ticket", func(s *config.Site) { s.Limits.WaitingRequests = 3 }, 3, ask("GET", "/albums/1", ""), "429 too_many_waiting"},
		{"requests, for a lookup", func(s *config.Site) { s.Limits.WaitingRequests = 3 }, 3, ask("GET", "/boxes/1", ""), "429 too_many_waiting"},
		{"requests of a call", func(s *config.Site) { s.Limits.WaitingRequestsPerCall = 3 }, 3, ask("GET", "/albums/1", "token"), "429 too_many_waiting"},
		{"another call has its own", func(s *config.Site) { s.Limits.WaitingRequestsPerCall = 3 }, 3, ask("GET", "/albums/1", "other"), "call introspection"},
		{"by default", func(*config.Site) {}, 2048, ask("GET", "/albums/1", "token"), "429 too_many_waiting"},
		{"bytes", func(s *config.Site) { s.Limits.WaitingBytes = 64 << 10 }, 100, ask("GET", "/albums/1", "token", "x-big", big), "429 too_many_waiting"},
		{"bytes that fit", func(s *config.Site) { s.Limits.WaitingBytes = 64 << 10 }, 2, ask("GET", "/albums/1", "token", "x-big", big), "call introspection"},
		{"what does not wait needs no room", func(s *config.Site) { s.Limits.WaitingRequests = 3 }, 3, ask("GET", "/healthz", ""), "allow public"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned(tt.change))
			var told []string
			h.worker.OnFull = func(site string) { told = append(told, site) }
			_, call := h.queue(tt.n)
			require.Empty(t, told)
			x, step := h.start(tt.next)
			require.Equal(t, tt.want, outcome(x, step))
			if !strings.HasPrefix(tt.want, "429") {
				require.Empty(t, told)
				return
			}
			require.Equal(t, "1", value(t, step.Deny.Headers, "retry-after"))
			require.Equal(t, []string{"photos"}, told)
			require.Equal(t, uint64(1), h.stats().Decisions[decision.EffectDeny][decision.ReasonTooManyWaiting])
			require.Len(t, h.worker.Reply(call.ID, answer(200, viewR1), h.now), tt.n)
			x, step = h.start(tt.next)
			require.NotEqual(t, tt.want, outcome(x, step), "there is room again")
		})
	}
}

// A known instance is used where there is no room to ask whether it still is one.
func TestNoRoomToLookUp(t *testing.T) {
	h := newHarness(t, owned(func(s *config.Site) { s.Limits.WaitingRequests = 1 }))
	h.decideBox()
	h.after(2 * time.Minute)
	h.queue(1)
	x, step := h.start(ask("GET", "/boxes/7", ""))
	require.Equal(t, "429 too_many_waiting", outcome(x, step), "for its ticket: the box is known")
	require.Equal(t, uint64(1), h.stats().InstanceStale)
}

// decideBox makes box 7 known.
func (h *harness) decideBox() {
	h.t.Helper()
	_, step := h.start(ask("GET", "/boxes/7", ""))
	step = h.reply(step, 200, `{"resource_id":"id-7"}`)
	h.reply(step, 201, `{"ticket":"t1"}`)
}

// The host hands over the headers of a request as parts of one text. What waits, or
// is allowed and watched until its end, must not keep all of it.
func TestWaitingKeepsWhatItNeeds(t *testing.T) {
	const n, most = 200, 8 << 10
	hosted := func(method, path, token string) *decision.Request {
		r := ask(method, path, token, "x-big", strings.Repeat("h", 50<<10), "x_uma_subject", "eve", "x-original-url", "/admin")
		var whole strings.Builder
		for _, f := range r.Headers {
			whole.WriteString(f.Name + f.Value)
		}
		text, at := whole.String(), 0
		cut := func(s *string) {
			*s = text[at : at+len(*s)]
			at += len(*s)
		}
		for i := range r.Headers {
			cut(&r.Headers[i].Name)
			cut(&r.Headers[i].Value)
		}
		return r
	}
	tests := []struct {
		name string
		keep func(h *harness) *decision.Exchange
	}{
		{"for introspection", func(h *harness) *decision.Exchange {
			x, step := h.start(hosted("GET", "/albums/1", "token"))
			require.Equal(t, "call introspection", outcome(x, step))
			return x
		}},
		{"for a ticket", func(h *harness) *decision.Exchange {
			x, step := h.start(hosted("GET", "/albums/1", ""))
			require.Equal(t, "call permission", outcome(x, step))
			return x
		}},
		{"for a lookup", func(h *harness) *decision.Exchange {
			x, step := h.start(hosted("GET", "/boxes/1", "token"))
			require.Equal(t, "call instance_lookup", outcome(x, step))
			return x
		}},
		{"until the end of the stream", func(h *harness) *decision.Exchange {
			x, step := h.start(hosted("POST", "/boxes", "alices"))
			if step.Kind == decision.KindCall {
				step = h.reply(step, 200, alicesRights)
			}
			require.Equal(t, decision.KindAllow, step.Kind)
			require.True(t, x.Watched())
			x.Keep()
			return x
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned(func(s *config.Site) { s.Limits.TicketBurst = 1000 }))
			kept := make([]*decision.Exchange, 0, n)
			before := heap()
			for range n {
				kept = append(kept, tt.keep(h))
			}
			each := (heap() - before) / n
			require.Less(t, each, most, "bytes kept for a request")
			runtime.KeepAlive(kept)
			runtime.KeepAlive(h)
		})
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
