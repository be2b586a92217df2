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

// hinted is an AS that is asked with a token_type_hint.
func hinted(c *config.Config) {
	in := &c.Sites[0].AuthorizationServer.Introspection
	in.TokenTypeHint, in.Claims = "requesting_party_token", config.ClaimsFromToken
}

// anonymous may view the resource r1, and does not say whose it is, as Keycloak's
// lightweight access tokens do under its hint. whose is what Keycloak says without.
var (
	anonymous = fmt.Sprintf(`{"active":true,"iat":%d,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, issued)
	whose     = fmt.Sprintf(`{"active":true,"sub":"bob","client_id":"app","sid":"s1","iat":%d}`, issued)
)

// TestTokenThatCannotBeTold: a token that may be somebody's whose tokens are revoked
// is asked about further, and refused where it cannot be told.
func TestTokenThatCannotBeTold(t *testing.T) {
	before := issued + 1
	tests := []struct {
		name    string
		revoked config.Revocations
		without string // the answer without the hint; whose when empty
		want    string
		further bool // it was asked for
	}{
		{"its subject", config.Revocations{Subjects: digests("bob", hour, before)}, "", "401 revoked_token", true},
		{"its client", config.Revocations{ClientIDs: digests("app", hour, before)}, "", "401 revoked_token", true},
		{"its session", config.Revocations{Sessions: digests("s1", hour, 0)}, "", "401 revoked_token", true},
		{"another subject", config.Revocations{Subjects: digests("eve", hour, before)}, "", "allow permitted", true},
		{"another client", config.Revocations{Site: "photos", ClientIDs: digests("app2", hour, before)}, "", "allow permitted", true},
		{"another session", config.Revocations{Sessions: digests("s2", hour, 0)}, "", "allow permitted", true},
		{"a subject, for ever", config.Revocations{Subjects: digests("eve", hour, 0)}, anonymous, "401 revocation_unknown", true},
		{"a subject, and the AS does not say", config.Revocations{Subjects: digests("eve", hour, before)}, anonymous, "401 revocation_unknown", true},
		{"a client, and the AS does not say", config.Revocations{ClientIDs: digests("app2", hour, before)}, anonymous, "401 revocation_unknown", true},
		{"a session, and the AS says that it has none", config.Revocations{Sessions: digests("s2", hour, 0)}, anonymous, "allow permitted", true},
		{"a session and a subject", config.Revocations{Sessions: digests("s2", hour, 0), Subjects: digests("eve", hour, before)}, anonymous, "401 revocation_unknown", true},
		{"the AS says that it is active no more", config.Revocations{Subjects: digests("eve", hour, before)}, unknown, "401 inactive_token", true},
		{"it is bound to a key", config.Revocations{Subjects: digests("eve", hour, before)}, strings.Replace(whose, `"sub"`, `"cnf":{"jkt":"x"},"sub"`, 1), "401 sender_constrained_token", true},
		{"the AS's answer is no use", config.Revocations{Subjects: digests("eve", hour, before)}, "{}", "503 as_bad_answer", true},
		{"issued after", config.Revocations{Subjects: digests("eve", hour, issued), ClientIDs: digests("app2", hour, issued)}, "", "allow permitted", false},
		{"over", config.Revocations{Subjects: digests("eve", began.Unix(), 0)}, "", "allow permitted", false},
		{"a token", config.Revocations{Tokens: digests("another", hour, 0)}, "", "allow permitted", false},
		{"of another site", config.Revocations{Site: "films", Subjects: digests("eve", hour, 0)}, "", "allow permitted", false},
		{"issued before", config.Revocations{IssuedBefore: issued, IssuedBeforeEnds: hour}, "", "allow permitted", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			without := tt.without
			if without == "" {
				without = whose
			}
			request := ask("GET", "/albums/1", "token")
			// drive answers what comes, and tells whether the AS was asked without hint.
			drive := func(h *harness) (got string, further bool) {
				x, step := h.start(request)
				for step.Kind == decision.KindCall {
					switch {
					case step.Call.Purpose == decision.PurposeTicket:
						step = h.reply(step, 201, `{"ticket":"t1"}`)
					case strings.Contains(string(step.Call.Body), "token_type_hint"):
						step = h.reply(step, 200, anonymous)
					default:
						require.Equal(t, "token=token", string(step.Call.Body))
						further = true
						step = h.reply(step, 200, without)
					}
				}
				return outcome(x, step), further
			}
			for _, cached := range []bool{false, true} {
				h := newHarness(t, hinted)
				if cached {
					got, further := drive(h)
					require.Equal(t, "allow permitted", got)
					require.False(t, further, "nothing is revoked")
				}
				h.configure(hinted, revoke(tt.revoked))
				got, further := drive(h)
				require.Equal(t, tt.want, got)
				require.Equal(t, tt.further, further)
				if got == "503 as_bad_answer" {
					continue
				}
				got, further = drive(h)
				require.Equal(t, tt.want, got)
				require.False(t, further, "it is remembered")
				h.configure(hinted)
				if without != unknown && !strings.Contains(without, "cnf") {
					got, _ = drive(h)
					require.Equal(t, "allow permitted", got, "taken back")
				}
			}
		})
	}
}

// TestWithoutHint: an AS that says no more than it said has said all.
func TestWithoutHint(t *testing.T) {
	revoked := revoke(config.Revocations{Subjects: digests("eve", hour, issued+1)})
	h := newHarness(t, revoked)
	request := ask("GET", "/albums/1", "token")
	require.Equal(t, "401 revocation_unknown", outcome(h.decide(request, anonymous)))
	x, step := h.decide(request, anonymous)
	require.Equal(t, "401 revocation_unknown", outcome(x, step))
	require.Contains(t, value(t, step.Deny.Headers, "www-authenticate"), `error="invalid_token"`, "the client gets another token, which is told apart by when it was issued")
	require.Equal(t, decision.CacheHit, x.Decision().Cache)
	h.after(time.Minute)
	later := strings.Replace(anonymous, fmt.Sprint(issued), fmt.Sprint(issued+1), 1)
	require.Equal(t, "allow permitted", outcome(h.decide(ask("GET", "/albums/1", "token2"), later)))
}

// TestAskedFurtherTogether: all that wait for one token ask once, and what is asked
// further is no longer believed than what it was asked about.
func TestAskedFurtherTogether(t *testing.T) {
	h := newHarness(t, hinted)
	request := ask("GET", "/albums/1", "token")
	h.decide(request, anonymous)
	h.after(50 * time.Second)
	h.configure(hinted, revoke(config.Revocations{Subjects: digests("eve", hour, 0)}))
	h.asked = 0
	x, first := h.start(request)
	require.Equal(t, "call introspection", outcome(x, first))
	y, second := h.start(request)
	require.True(t, second.Call.Shared)
	require.Equal(t, 1, h.asked)
	outcomes := h.worker.Reply(first.Call.ID, answer(200, whose), h.now)
	require.Len(t, outcomes, 2)
	require.Equal(t, "allow permitted", outcome(x, outcomes[0].Step))
	require.Equal(t, "allow permitted", outcome(y, outcomes[1].Step))
	require.Contains(t, outcomes[0].Step.Allow.Set, decision.Header{Name: "x-uma-subject", Value: "bob"})
	h.after(10 * time.Second)
	z, step := h.start(request)
	require.Equal(t, "call introspection", outcome(z, step), "a minute after the first answer")
	require.Contains(t, string(step.Call.Body), "token_type_hint")

	// Three that wait for the first answer wait for the second, which is one call.
	_, shared := h.start(request)
	require.True(t, shared.Call.Shared)
	outcomes = h.worker.Reply(step.Call.ID, answer(200, anonymous), h.now)
	require.Len(t, outcomes, 2)
	require.False(t, outcomes[0].Step.Call.Shared)
	require.True(t, outcomes[1].Step.Call.Shared)
	require.Equal(t, outcomes[0].Step.Call.ID, outcomes[1].Step.Call.ID)
	outcomes = h.worker.Reply(outcomes[0].Step.Call.ID, decision.Response{}, h.now)
	require.Len(t, outcomes, 2)
	require.Equal(t, "503 as_unreachable", outcome(z, outcomes[0].Step))
}

// TestAskedFurtherInTurns: the second answer is one for all who waited for the first,
// also for those whose turn comes when it is there already, and whether it is kept,
// is none, or changes nothing.
func TestAskedFurtherInTurns(t *testing.T) {
	uncached := func(c *config.Config) { c.Sites[0].Token.MaxTTLMS = -1 }
	tests := []struct {
		name   string
		change func(*config.Config)
		second decision.Response
		want   string
	}{
		{"kept", nil, answer(200, whose), "allow permitted"},
		{"not kept", uncached, answer(200, whose), "allow permitted"},
		{"no more", nil, answer(200, anonymous), "401 revocation_unknown"},
		{"none", nil, decision.Response{}, "503 as_unreachable"},
		{"not active any more", uncached, answer(200, unknown), "401 inactive_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changes := []func(*config.Config){hinted, revoke(config.Revocations{Subjects: digests("eve", hour, 0)})}
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			h := newHarness(t, changes...)
			const n = 5
			var first decision.Step
			for i := range n {
				_, step := h.start(ask("GET", "/albums/1", "token"))
				if i == 0 {
					first = step
				}
			}
			h.worker.Bound(2)
			outcomes := h.worker.Reply(first.Call.ID, answer(200, anonymous), h.now)
			require.Len(t, outcomes, 2)
			second := outcomes[0].Step.Call
			require.False(t, second.Shared)
			require.True(t, outcomes[1].Step.Call.Shared)
			require.Empty(t, h.worker.Reply(second.ID, tt.second, h.now))
			ended := 0
			for outcomes = nil; len(outcomes) > 0 || h.worker.Pending(); {
				h.worker.Bound(2)
				if len(outcomes) == 0 {
					outcomes = h.worker.Next(h.now)
					continue
				}
				o := outcomes[0]
				outcomes = outcomes[1:]
				if o.Step.Kind == decision.KindCall {
					require.Equal(t, decision.PurposeTicket, o.Step.Call.Purpose, "the AS is asked about the token again")
					outcomes = append(outcomes, h.worker.Reply(o.Step.Call.ID, answer(201, `{"ticket":"t1"}`), h.now)...)
					continue
				}
				require.Equal(t, tt.want, outcome(o.Exchange, o.Step))
				ended++
			}
			require.Equal(t, n, ended)
		})
	}
}
