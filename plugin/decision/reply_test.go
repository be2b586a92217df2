package decision_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestIntrospectionEnds has every way the answer to an introspection can be.
func TestIntrospectionEnds(t *testing.T) {
	tests := []struct {
		name     string
		response decision.Response
		want     string
		result   decision.CallOutcome
	}{
		{"permitted", answer(200, viewR1), "allow permitted", decision.CallOK},
		{"201 is no introspection answer", answer(201, viewR1), "503 as_error", decision.CallError},
		{"no headers", decision.Response{}, "503 as_unreachable", decision.CallUnreachable},
		{"time-out, told by Envoy", answer(504, "upstream request timeout"), "503 as_unreachable", decision.CallUnreachable},
		{"no connection, told by Envoy", answer(503, "upstream connect error"), "503 as_unreachable", decision.CallUnreachable},
		{"bad gateway", answer(502, viewR1), "503 as_unreachable", decision.CallUnreachable},
		{"100", answer(100, viewR1), "503 as_error", decision.CallError},
		{"204", answer(204, ""), "503 as_error", decision.CallError},
		{"206", answer(206, viewR1), "503 as_error", decision.CallError},
		{"302", answer(302, viewR1), "503 as_error", decision.CallError},
		{"304", answer(304, viewR1), "503 as_error", decision.CallError},
		{"400", answer(400, viewR1), "503 as_error", decision.CallError},
		{"401", answer(401, viewR1), "503 as_refused", decision.CallUnauthorized},
		{"403", answer(403, viewR1), "503 as_refused", decision.CallUnauthorized},
		{"404", answer(404, viewR1), "503 as_error", decision.CallError},
		{"429", answer(429, viewR1), "503 as_busy", decision.CallBusy},
		{"500", answer(500, viewR1), "503 as_error", decision.CallError},
		{"599", answer(599, viewR1), "503 as_error", decision.CallError},
		{"negative status", answer(-200, viewR1), "503 as_error", decision.CallError},
		{"oversized", decision.Response{Status: 200, TooLarge: true}, "503 as_bad_answer", decision.CallBadAnswer},
		{"oversized, with a body", decision.Response{Status: 200, TooLarge: true, Body: []byte(viewR1)}, "503 as_bad_answer", decision.CallBadAnswer},
		{"empty body", answer(200, ""), "503 as_bad_answer", decision.CallBadAnswer},
		{"empty object", answer(200, "{}"), "503 as_bad_answer", decision.CallBadAnswer},
		{"cut off", answer(200, viewR1[:len(viewR1)-1]), "503 as_bad_answer", decision.CallBadAnswer},
		{"more behind it", answer(200, viewR1+"x"), "503 as_bad_answer", decision.CallBadAnswer},
		{"byte order mark", answer(200, "\ufeff"+viewR1), "503 as_bad_answer", decision.CallBadAnswer},
		{"HTML", answer(200, "<html>active: true</html>"), "503 as_bad_answer", decision.CallBadAnswer},
		{"JWT", answer(200, "eyJhbGciOiJub25lIn0.eyJhY3RpdmUiOnRydWV9."), "503 as_bad_answer", decision.CallBadAnswer},
		{"nested without end", answer(200, `{"active":true,"x":`+strings.Repeat("[", 1<<19)), "503 as_bad_answer", decision.CallBadAnswer},
		{"active is text", answer(200, strings.Replace(viewR1, "true", `"true"`, 1)), "503 as_bad_answer", decision.CallBadAnswer},
		{"active is 1", answer(200, strings.Replace(viewR1, "true", `1`, 1)), "503 as_bad_answer", decision.CallBadAnswer},
		{"active twice", answer(200, strings.Replace(viewR1, `"active":true`, `"active":false,"active":true`, 1)), "503 as_bad_answer", decision.CallBadAnswer},
		{"permissions is an object", answer(200, `{"active":true,"permissions":{"resource_id":"r1","resource_scopes":["view"]}}`), "503 as_bad_answer", decision.CallBadAnswer},
		{"not active", answer(200, unknown), "401 inactive_token", decision.CallOK},
		{"not active, with permissions", answer(200, strings.Replace(viewR1, "true", "false", 1)), "401 inactive_token", decision.CallOK},
		{"active, nothing else", answer(200, `{"active":true}`), "401 insufficient_permission", decision.CallOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			var failed []decision.CallOutcome
			h.worker.OnFailure = func(site string, p decision.Purpose, o decision.CallOutcome, status int) {
				require.Equal(t, "photos", site)
				require.Equal(t, decision.PurposeIntrospect, p)
				require.Equal(t, tt.response.Status, status)
				failed = append(failed, o)
			}
			x, step := h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "call introspection", outcome(x, step))
			id := step.Call.ID
			outcomes := h.worker.Reply(id, tt.response, h.now)
			require.Len(t, outcomes, 1)
			require.Same(t, x, outcomes[0].Exchange)
			step = outcomes[0].Step
			if step.Kind == decision.KindCall {
				step = h.reply(step, 201, `{"ticket":"t1"}`)
			}
			require.Equal(t, tt.want, outcome(x, step))
			if tt.result == decision.CallOK {
				require.Empty(t, failed)
			} else {
				require.Equal(t, []decision.CallOutcome{tt.result}, failed)
				require.Equal(t, "5", value(t, step.Deny.Headers, "retry-after"))
				require.Empty(t, value(t, step.Deny.Headers, "www-authenticate"), "a token that could not be verified is not a bad one")
				entries, _ := h.worker.Cached()
				require.Zero(t, entries, "a failure is not remembered")
			}
			require.Empty(t, h.worker.Reply(id, answer(200, viewR1), h.now), "a second answer changes nothing")
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
}

// TestTicketEnds has every way the answer to a permission request can be.
func TestTicketEnds(t *testing.T) {
	tests := []struct {
		name     string
		response decision.Response
		want     string
	}{
		{"ticket", answer(201, `{"ticket":"t1"}`), "401 no_token"},
		{"ticket with 200", answer(200, `{"ticket":"t1"}`), "401 no_token"},
		{"no headers", decision.Response{}, "403 no_ticket"},
		{"204", answer(204, ""), "403 no_ticket"},
		{"302", answer(302, `{"ticket":"t1"}`), "403 no_ticket"},
		{"400", answer(400, `{"error":"invalid_resource_id"}`), "403 no_ticket"},
		{"401", answer(401, ""), "403 no_ticket"},
		{"403, Keycloak's bad PAT", answer(403, `{"error":"invalid_bearer_token"}`), "403 no_ticket"},
		{"429", answer(429, ""), "403 no_ticket"},
		{"500", answer(500, `{"ticket":"t1"}`), "403 no_ticket"},
		{"503", answer(503, ""), "403 no_ticket"},
		{"oversized", decision.Response{Status: 201, TooLarge: true}, "403 no_ticket"},
		{"empty body", answer(201, ""), "403 no_ticket"},
		{"HTML", answer(201, "<html>"), "403 no_ticket"},
		{"no ticket", answer(201, "{}"), "403 no_ticket"},
		{"ticket is a number", answer(201, `{"ticket":1}`), "403 no_ticket"},
		{"ticket splits the header", answer(201, `{"ticket":"a\r\nset-cookie: b"}`), "403 no_ticket"},
		{"ticket ends the quotes", answer(201, `{"ticket":"a\", as_uri=\"https://evil"}`), "403 no_ticket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			x, step := h.start(ask("GET", "/albums/1", ""))
			require.Equal(t, "call permission", outcome(x, step))
			outcomes := h.worker.Reply(step.Call.ID, tt.response, h.now)
			require.Len(t, outcomes, 1)
			step = outcomes[0].Step
			require.Equal(t, tt.want, outcome(x, step))
			if step.Deny.Status == 401 {
				require.Equal(t, `UMA realm="photos", as_uri="https://as.example.com", ticket="t1"`, value(t, step.Deny.Headers, "www-authenticate"))
				require.Empty(t, value(t, step.Deny.Headers, "warning"))
				return
			}
			require.Equal(t, `199 - "UMA Authorization Server Unreachable"`, value(t, step.Deny.Headers, "warning"))
			require.Empty(t, value(t, step.Deny.Headers, "www-authenticate"))
		})
	}
}

func answer(status int, body string) decision.Response {
	return decision.Response{Status: status, Body: []byte(body)}
}

// TestCallOfNobody: an answer nobody waits for, or that was never asked for.
func TestCallOfNobody(t *testing.T) {
	h := newHarness(t)
	require.Empty(t, h.worker.Reply(0, answer(200, viewR1), h.now))
	require.Empty(t, h.worker.Reply(999, answer(200, viewR1), h.now))
	require.Empty(t, h.worker.Refused(999, h.now))
	h.worker.Abandon(&decision.Exchange{})

	x, step := h.start(ask("GET", "/albums/1", "token"))
	h.worker.Abandon(x)
	h.worker.Abandon(x)
	require.Empty(t, h.worker.Reply(step.Call.ID, answer(200, viewR1), h.now), "the stream has gone")
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step), "the answer was worth keeping")
	require.Equal(t, decision.CacheHit, x.Decision().Cache)
}

// TestDispatchRefused: the host could not send a call.
func TestDispatchRefused(t *testing.T) {
	h := newHarness(t)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	outcomes := h.worker.Refused(step.Call.ID, h.now)
	require.Len(t, outcomes, 1)
	require.Equal(t, "503 as_unreachable", outcome(x, outcomes[0].Step))

	x, step = h.start(ask("GET", "/albums/1", ""))
	outcomes = h.worker.Refused(step.Call.ID, h.now)
	require.Len(t, outcomes, 1)
	require.Equal(t, "403 no_ticket", outcome(x, outcomes[0].Step))

	// The ticket after a verified token.
	x, step = h.start(ask("GET", "/albums/1", "token"))
	step = h.reply(step, 200, unknown)
	outcomes = h.worker.Refused(step.Call.ID, h.now)
	require.Len(t, outcomes, 1)
	require.Equal(t, "403 no_ticket", outcome(x, outcomes[0].Step))
}

// TestSweep: a host that never answers.
func TestSweep(t *testing.T) {
	h := newHarness(t, siteOf(func(s *config.Site) { s.Limits.CallsInFlight = 2 }))
	x, first := h.start(ask("GET", "/albums/1", "token"))
	y, _ := h.start(ask("GET", "/albums/1", ""))
	h.after(9 * time.Second)
	require.Empty(t, h.worker.Sweep(h.now), "the time-out of 5 s and 5 s more have not passed")
	h.after(2 * time.Second)

	// A new request does not wait for the overdue call, but the limit still counts it.
	z, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "429 too_many_calls", outcome(z, step))

	got := map[*decision.Exchange]string{}
	for _, o := range h.worker.Sweep(h.now) {
		got[o.Exchange] = outcome(o.Exchange, o.Step)
	}
	require.Equal(t, map[*decision.Exchange]string{x: "503 as_unreachable", y: "403 no_ticket"}, got)
	require.Empty(t, h.worker.Sweep(h.now))
	require.Empty(t, h.worker.Reply(first.Call.ID, answer(200, viewR1), h.now), "too late")
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step), "the limit is free again")
}

// TestCoalescing: requests with one token share one call, also when the one that
// began it has gone.
func TestCoalescing(t *testing.T) {
	h := newHarness(t)
	leader, step := h.start(ask("GET", "/albums/1", "token"))
	require.False(t, step.Call.Shared)
	follower, shared := h.start(ask("GET", "/albums/2", "token"))
	require.True(t, shared.Call.Shared)
	require.Equal(t, step.Call.ID, shared.Call.ID)
	writer, shared := h.start(ask("PUT", "/albums/2", "token"))
	require.True(t, shared.Call.Shared)
	other, apart := h.start(ask("GET", "/albums/1", "another"))
	require.False(t, apart.Call.Shared)

	h.worker.Abandon(leader)
	got := map[*decision.Exchange]string{}
	for _, o := range h.worker.Reply(step.Call.ID, answer(200, viewR1), h.now) {
		got[o.Exchange] = outcome(o.Exchange, o.Step)
	}
	require.Equal(t, map[*decision.Exchange]string{follower: "allow permitted", writer: "call permission"}, got, "each is judged by its own condition")
	require.Equal(t, decision.CacheShared, follower.Decision().Cache)
	require.Equal(t, "503 as_error", outcome(other, h.reply(apart, 500, "")), "a token's failure is its own")

	// An overdue call is waited for by nobody new.
	_, step = h.start(ask("GET", "/albums/1", "slow"))
	h.after(11 * time.Second)
	_, again := h.start(ask("GET", "/albums/1", "slow"))
	require.False(t, again.Call.Shared)
	require.NotEqual(t, step.Call.ID, again.Call.ID)
	_, third := h.start(ask("GET", "/albums/1", "slow"))
	require.True(t, third.Call.Shared)
	require.Equal(t, again.Call.ID, third.Call.ID)
	require.Len(t, h.worker.Reply(step.Call.ID, answer(500, ""), h.now), 1)
	_, fourth := h.start(ask("GET", "/albums/1", "slow"))
	require.True(t, fourth.Call.Shared, "the late answer ends the overdue call only")
	require.Len(t, h.worker.Reply(again.Call.ID, answer(200, viewR1), h.now), 3)
}

// TestFailureIsShared: when the AS fails, all that wait are denied.
func TestFailureIsShared(t *testing.T) {
	h := newHarness(t)
	_, step := h.start(ask("GET", "/albums/1", "token"))
	for range 9 {
		h.start(ask("GET", "/albums/1", "token"))
	}
	outcomes := h.worker.Reply(step.Call.ID, decision.Response{}, h.now)
	require.Len(t, outcomes, 10)
	for _, o := range outcomes {
		require.Equal(t, "503 as_unreachable", outcome(o.Exchange, o.Step))
	}
}
