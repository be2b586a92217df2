package decision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// staleFor lets tokens be used for so long after 60 s, while the AS cannot be asked.
func staleFor(d time.Duration) func(*config.Config) {
	return siteOf(func(s *config.Site) { s.Token.StaleMS = int(d / time.Millisecond) })
}

// known makes the worker know "token", and then lets its entry end.
func (h *harness) known(answer string) {
	h.t.Helper()
	require.Equal(h.t, decision.CacheMiss, h.use("token", answer))
	h.after(time.Minute)
}

// fail answers a call in a way that says nothing.
func (h *harness) fail(id uint64) []decision.Outcome {
	return h.worker.Reply(id, decision.Response{}, h.now)
}

// outage has the AS fail once, for a request with "token".
func (h *harness) outage() {
	h.t.Helper()
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(h.t, "call introspection", outcome(x, step))
	require.Len(h.t, h.fail(step.Call.ID), 1)
	require.Equal(h.t, decision.CacheStale, x.Decision().Cache)
}

// TestStale: which answer of the AS leaves in force what was known of a token, and which
// does not.
func TestStale(t *testing.T) {
	tests := []struct {
		name     string
		response decision.Response
		want     string
	}{
		{"no answer", decision.Response{}, "allow permitted"},
		{"500", answer(500, ""), "allow permitted"},
		{"501", answer(501, ""), "allow permitted"},
		{"502", answer(502, ""), "allow permitted"},
		{"503", answer(503, ""), "allow permitted"},
		{"504", answer(504, ""), "allow permitted"},
		{"429", busy(429, ""), "allow permitted"},
		{"429, later", busy(429, "30"), "allow permitted"},
		{"503, later", busy(503, "30"), "allow permitted"},
		{"a 500 that says inactive", answer(500, unknown), "allow permitted"},
		{"inactive", answer(200, unknown), "call permission"},
		{"another permission", answer(200, `{"active":true}`), "call permission"},
		{"expired", answer(200, `{"active":true,"exp":1}`), "call permission"},
		{"the credential is refused", answer(401, ""), "503 as_refused"},
		{"forbidden", answer(403, ""), "503 as_refused"},
		{"400", answer(400, ""), "503 as_error"},
		{"404", answer(404, ""), "503 as_error"},
		{"a redirect", answer(302, ""), "503 as_error"},
		{"a page", answer(200, "<html>"), "503 as_bad_answer"},
		{"half a document", answer(200, `{"active":tr`), "503 as_bad_answer"},
		{"too large", decision.Response{Status: 200, TooLarge: true}, "503 as_bad_answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, staleFor(10*time.Minute))
			h.known(viewR1)
			x, step := h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "call introspection", outcome(x, step))
			got := h.worker.Reply(step.Call.ID, tt.response, h.now)[0].Step
			require.Equal(t, tt.want, outcome(x, got))
			if tt.want == "allow permitted" {
				require.Equal(t, "bob", value(t, got.Allow.Set, "x-uma-subject"))
				require.Equal(t, "stale", report(t, x.Decision())["cache"])
			}
		})
	}
	t.Run("a call that could not be sent", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute))
		h.known(viewR1)
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "allow permitted", outcome(x, h.worker.Refused(step.Call.ID, h.now)[0].Step))
	})
	t.Run("an overdue call", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute))
		h.known(viewR1)
		x, _ := h.start(ask("GET", "/albums/1", "token"))
		h.after(time.Minute)
		require.Equal(t, "allow permitted", outcome(x, h.worker.Sweep(h.now)[0].Step))
	})
	t.Run("off unless written", func(t *testing.T) {
		h := newHarness(t)
		h.known(viewR1)
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "503 as_unreachable", outcome(x, h.fail(step.Call.ID)[0].Step))
	})
}

// TestStaleBounds: to the nanosecond, by the setting, the token's own exp and the
// permission's; also for a site that asks every time.
func TestStaleBounds(t *testing.T) {
	const stale = 10 * time.Minute
	exp := func(d time.Duration) string {
		return fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, began.Add(d).Unix())
	}
	permission := fmt.Sprintf(`{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"],"exp":%d}]}`, began.Add(2*time.Minute).Unix())
	tests := []struct {
		name   string
		token  config.Token
		answer string
		want   time.Duration
	}{
		{"the setting", config.Token{}, viewR1, time.Minute + stale},
		{"after a shorter max_ttl", config.Token{MaxTTLMS: 5_000}, viewR1, 5*time.Second + stale},
		{"asked every time", config.Token{MaxTTLMS: -1}, viewR1, stale},
		{"exp", config.Token{}, exp(3 * time.Minute), 3 * time.Minute},
		{"exp before the entry ends", config.Token{}, exp(30 * time.Second), 30 * time.Second},
		{"exp and leeway", config.Token{LeewayMS: 5_000}, exp(3 * time.Minute), 3*time.Minute + 5*time.Second},
		{"exp of the permission", config.Token{}, permission, 2 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, siteOf(func(s *config.Site) {
				s.Token = tt.token
				s.Token.StaleMS = int(stale / time.Millisecond)
			}))
			h.use("token", tt.answer)
			at := func(moment time.Time) string {
				h.now = moment
				x, step := h.start(ask("GET", "/albums/1", "token"))
				if step.Kind == decision.KindCall && step.Call.Purpose == decision.PurposeIntrospect {
					step = h.fail(step.Call.ID)[0].Step
				}
				return outcome(x, step)
			}
			require.Equal(t, "allow permitted", at(began.Add(tt.want-time.Nanosecond)))
			require.NotContains(t, at(began.Add(tt.want)), "allow")
		})
	}
	t.Run("a clock that was set back", func(t *testing.T) {
		h := newHarness(t, staleFor(stale))
		h.use("token", viewR1)
		h.after(-time.Nanosecond)
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "503 as_unreachable", outcome(x, h.fail(step.Call.ID)[0].Step))
	})
	t.Run("a shorter setting counts at once", func(t *testing.T) {
		h := newHarness(t, staleFor(stale))
		h.known(viewR1)
		h.outage()
		h.after(30 * time.Second)
		h.configure(staleFor(20 * time.Second))
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "503 as_unreachable", outcome(x, h.fail(step.Call.ID)[0].Step))
	})
}

// TestStaleIsNeverMore: an outage permits what the AS has permitted that token at that
// site, and nothing else.
func TestStaleIsNeverMore(t *testing.T) {
	const stale = 10 * time.Minute
	other := func(c *config.Config) {
		s := photos().Sites[0]
		s.Name, s.Hosts, s.Token.StaleMS = "other", []string{"other.example.com"}, int(stale/time.Millisecond)
		c.Sites = append(c.Sites, s)
	}
	deny := func(h *harness, r *decision.Request, want string) {
		h.t.Helper()
		x, step := h.start(r)
		if step.Kind == decision.KindCall && step.Call.Purpose == decision.PurposeIntrospect {
			step = h.fail(step.Call.ID)[0].Step
		}
		require.Equal(h.t, want, outcome(x, step))
		require.Empty(h.t, x.Decision().Subject, "of whom nothing follows")
	}
	t.Run("another permission", func(t *testing.T) {
		h := newHarness(t, staleFor(stale))
		h.known(viewR1)
		h.outage()
		deny(h, ask("PUT", "/albums/1", "token"), "503 as_unreachable")
		deny(h, ask("GET", "/reports/1", "token"), "503 as_unreachable")
	})
	t.Run("another site", func(t *testing.T) {
		h := newHarness(t, staleFor(stale), other)
		h.known(viewR1)
		h.outage()
		deny(h, with(ask("GET", "/albums/1", "token"), ":authority", "other.example.com"), "503 as_unreachable")
	})
	t.Run("another token", func(t *testing.T) {
		h := newHarness(t, staleFor(stale))
		h.known(viewR1)
		h.outage()
		deny(h, ask("GET", "/albums/1", "another"), "503 as_unreachable")
	})
	t.Run("an inactive one", func(t *testing.T) {
		h := newHarness(t, staleFor(stale))
		h.known(viewR1)
		h.use("token", unknown)
		h.after(time.Minute)
		deny(h, ask("GET", "/albums/1", "token"), "503 as_unreachable")
	})
	t.Run("another AS", func(t *testing.T) {
		h := newHarness(t, staleFor(stale))
		h.known(viewR1)
		h.outage()
		h.configure(staleFor(stale), siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/x" }))
		deny(h, ask("GET", "/albums/1", "token"), "503 as_unreachable")
	})
	t.Run("a rule of the site", func(t *testing.T) {
		h := newHarness(t, staleFor(stale))
		h.known(viewR1)
		h.configure(staleFor(stale), siteOf(func(s *config.Site) { s.Token.Issuers = []string{"https://as"} }))
		deny(h, ask("GET", "/albums/1", "token"), "503 as_unreachable")
	})
}

// TestStaleAndRevoked: what is revoked is refused, by every key, although the AS cannot
// be asked; also while the request waits.
func TestStaleAndRevoked(t *testing.T) {
	const full = `{"active":true,"sub":"bob","client_id":"app","sid":"s1","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`
	lists := map[string]config.Revocations{
		"token": {Tokens: digests("token", hour, 0)}, "subject": {Subjects: digests("bob", hour, 0)}, "client": {ClientIDs: digests("app", hour, 0)},
		"session": {Sessions: digests("s1", hour, 0)}, "issued before": {IssuedBefore: began.Unix(), IssuedBeforeEnds: began.Add(time.Hour).Unix()},
	}
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, staleFor(10*time.Minute))
			h.known(full)
			waits, call := h.start(ask("GET", "/albums/1", "token"))
			h.configure(staleFor(10*time.Minute), revoke(list))
			ticket := h.fail(call.Call.ID)[0].Step
			require.Equal(t, "call permission", outcome(waits, ticket))
			require.Equal(t, "401 revoked_token", outcome(waits, h.reply(ticket, 201, `{"ticket":"t"}`)))
			x, step := h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "call permission", outcome(x, step))
			require.Equal(t, "401 revoked_token", outcome(x, h.reply(step, 201, `{"ticket":"t"}`)))
		})
	}
	for name, list := range map[string]config.Revocations{
		"somebody, and it is not known whose it is":             {Subjects: digests("eve", hour, 0)},
		"a session, and it is not known of which session it is": {Sessions: digests("s9", hour, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			settings := []func(*config.Config){hinted, staleFor(10 * time.Minute)}
			h := newHarness(t, settings...)
			h.known(anonymous)
			h.outage()
			h.configure(append(settings, revoke(list))...)
			x, step := h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "503 as_unreachable", outcome(x, h.fail(step.Call.ID)[0].Step))
		})
	}
}

// TestOutage: one request finds out, those that wait with it go on as it does, and while
// it lasts nobody waits.
func TestOutage(t *testing.T) {
	h := newHarness(t, staleFor(10*time.Minute))
	type told struct {
		site   string
		served uint64
	}
	var log []told
	h.worker.OnStale = func(site string, served uint64) { log = append(log, told{site, served}) }
	h.use("other", viewR1)
	h.known(viewR1)

	all, call := h.queue(20)
	require.Len(t, h.fail(call.ID), 20)
	for _, x := range all {
		require.Equal(t, decision.CacheStale, x.Decision().Cache)
	}
	for _, token := range []string{"token", "other"} {
		x, step := h.start(ask("GET", "/albums/1", token))
		require.Equal(t, "allow permitted", outcome(x, step), "at once")
	}
	require.Equal(t, []told{{"photos", 0}}, log)

	// One probe goes on, with growing distances.
	var gaps []time.Duration
	last := h.now
	for len(gaps) < 8 {
		h.after(time.Second)
		calls := h.worker.Due(h.now)
		require.LessOrEqual(t, len(calls), 1)
		if len(calls) == 0 {
			continue
		}
		require.Equal(t, decision.PurposeIntrospect, calls[0].Purpose)
		gaps = append(gaps, h.now.Sub(last))
		last = h.now
		require.Empty(t, h.worker.Due(h.now.Add(4*time.Second)), "not another while it is under way")
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "allow permitted", outcome(x, step), "also while the AS is being asked")
		require.Empty(t, h.fail(calls[0].ID))
	}
	require.Equal(t, []time.Duration{1, 2, 4, 8, 16, 16, 16, 16}, seconds(gaps))

	// The AS is back: what it says counts, for the token that it was asked about and for
	// the others.
	var answered *decision.Call
	for answered == nil {
		h.after(time.Second)
		if calls := h.worker.Due(h.now); len(calls) > 0 {
			answered = calls[0]
		}
	}
	require.Empty(t, h.worker.Reply(answered.ID, answer(200, viewR1), h.now))
	require.Len(t, log, 2)
	require.Equal(t, told{"photos", 30}, log[1])
	rest := h.worker.Due(h.now)
	require.Len(t, rest, 1, "the other token that is in use")
	require.Empty(t, h.worker.Reply(rest[0].ID, answer(200, viewR1), h.now))
	for _, token := range []string{"token", "other"} {
		require.Equal(t, decision.CacheHit, h.use(token, viewR1), token)
	}
	require.Empty(t, h.worker.Due(h.now.Add(time.Second)))
}

func seconds(list []time.Duration) []time.Duration {
	for i := range list {
		list[i] /= time.Second
	}
	return list
}

// TestOutageEnds: also by another request's answer, and "inactive" ends the entry.
func TestOutageEnds(t *testing.T) {
	h := newHarness(t, staleFor(10*time.Minute))
	h.use("other", viewR1)
	h.known(viewR1)
	h.outage()
	h.use("new", viewR1)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step), "the AS can be asked")
	require.Equal(t, "call permission", outcome(x, h.reply(step, 200, unknown)))
	x, step = h.start(ask("GET", "/albums/1", "other"))
	require.Equal(t, "allow permitted", outcome(x, h.fail(step.Call.ID)[0].Step))
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call permission", outcome(x, step), "it is known to be inactive")
}

// TestOutageProbesInTime: requests that need the AS and fail do not put off the time at
// which it is asked.
func TestOutageProbesInTime(t *testing.T) {
	h := newHarness(t, staleFor(10*time.Minute))
	h.known(viewR1)
	h.outage()
	for range 5 {
		h.after(200 * time.Millisecond)
		require.Equal(t, h.now.Sub(began) == 61*time.Second, len(h.worker.Due(h.now)) == 1)
		x, step := h.start(ask("PUT", "/albums/1", "token"))
		if step.Kind == decision.KindCall {
			require.Equal(t, "503 as_unreachable", outcome(x, h.fail(step.Call.ID)[0].Step))
		}
	}
}

// TestOutageForgotten: where nothing has asked for a while, a request asks again.
func TestOutageForgotten(t *testing.T) {
	h := newHarness(t, staleFor(10*time.Minute))
	h.known(viewR1)
	h.outage()
	h.after(5*time.Second + 999*time.Millisecond)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
	h.after(time.Millisecond)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step))
}

// TestOutageByAnUnknownToken: an answer that somebody can provoke with a token of his own
// making says nothing of the others.
func TestOutageByAnUnknownToken(t *testing.T) {
	h := newHarness(t, staleFor(10*time.Minute))
	h.known(viewR1)
	_, step := h.start(ask("GET", "/albums/1", "evil"))
	require.Equal(t, "503 as_error", outcome(h.first(h.worker.Reply(step.Call.ID, answer(500, ""), h.now))))
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step))
}

func (h *harness) first(outcomes []decision.Outcome) (*decision.Exchange, decision.Step) {
	h.t.Helper()
	require.NotEmpty(h.t, outcomes)
	return outcomes[0].Exchange, outcomes[0].Step
}

// TestStaleWhereNothingCanBeAsked: the AS wants to be left alone, too many calls are
// under way, or too many requests wait.
func TestStaleWhereNothingCanBeAsked(t *testing.T) {
	t.Run("Retry-After", func(t *testing.T) {
		h := newHarness(t, staleFor(20*time.Minute))
		h.known(viewR1)
		_, step := h.start(ask("GET", "/albums/1", "token"))
		h.worker.Reply(step.Call.ID, busy(429, "300"), h.now)
		h.after(299 * time.Second)
		require.Empty(t, h.worker.Due(h.now), "no probe either")
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "allow permitted", outcome(x, step))
		h.after(time.Second)
		require.Len(t, h.worker.Due(h.now), 1)
	})
	t.Run("calls", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute), siteOf(func(s *config.Site) { s.Limits.CallsInFlight = 1 }))
		h.known(viewR1)
		h.start(ask("GET", "/albums/1", "another"))
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "allow permitted", outcome(x, step))
		x, step = h.start(ask("GET", "/albums/1", "third"))
		require.Equal(t, "429 too_many_calls", outcome(x, step))
	})
	t.Run("requests that wait", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute), siteOf(func(s *config.Site) { s.Limits.WaitingRequests = 1 }))
		h.known(viewR1)
		h.start(ask("GET", "/albums/1", "another"))
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "allow permitted", outcome(x, step))
	})
	t.Run("requests that wait for the same call", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute), siteOf(func(s *config.Site) { s.Limits.WaitingRequestsPerCall = 1 }))
		h.known(viewR1)
		h.start(ask("GET", "/albums/1", "token"))
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "allow permitted", outcome(x, step))
	})
}

// TestStaleAndOtherRequirements: a path that any active token may ask for, plain scopes,
// and mode monitor.
func TestStaleAndOtherRequirements(t *testing.T) {
	t.Run("any token", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute), siteOf(authenticatedPaths))
		h.known(viewR1)
		h.outage()
		x, step := h.start(ask("GET", "/nothing", "token"))
		require.Equal(t, "allow unmatched_authenticated", outcome(x, step))
	})
	t.Run("scopes", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute), scopesOnly)
		h.known(`{"active":true,"scope":"view"}`)
		h.outage()
		x, step := h.start(ask("GET", "/reports/1", "token"))
		require.Equal(t, "503 as_unreachable", outcome(x, h.fail(step.Call.ID)[0].Step))
	})
	t.Run("monitor", func(t *testing.T) {
		h := newHarness(t, staleFor(10*time.Minute))
		h.known(viewR1)
		h.outage()
		x, step := h.start(ask("GET", "/watched/1", "token"))
		require.Equal(t, "monitor as_unreachable", outcome(x, h.fail(step.Call.ID)[0].Step))
	})
}

// TestStaleIsCounted.
func TestStaleIsCounted(t *testing.T) {
	h := newHarness(t, staleFor(10*time.Minute))
	h.known(viewR1)
	h.outage()
	h.use("token", viewR1)
	h.use("token", viewR1)
	h.worker.Drain(func(site string, s *decision.SiteStats) {
		if site == "photos" {
			require.Equal(t, uint64(3), s.CacheStale)
			require.Equal(t, uint64(2), s.CacheMisses, "the first of all, and the one that found out")
			require.Equal(t, uint64(4), s.Decisions[decision.EffectAllow][decision.ReasonPermitted])
		}
	})
}
