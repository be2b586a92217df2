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

const (
	accessTokenFormat = "urn:ietf:params:oauth:token-type:access_token"
	// bobs is what the AS says of a plain token, inspected of the RPT that bob gets.
	bobs      = `{"active":true,"sub":"bob","client_id":"app","iss":"https://as"}`
	inspected = `{"active":true,"sub":"bob","client_id":"photos-rs","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`
	issuedRPT = `{"access_token":"the-rpt","token_type":"Bearer","pct":"p"}`
	ticketed  = `{"ticket":"t1"}`
)

// byTicket is an AS that takes a token as a claim_token.
func byTicket(c *config.Config) {
	c.Sites[0].AuthorizationServer.Evaluation = &config.Evaluation{
		Endpoint: config.Endpoint{Cluster: "evaluate", Authority: "as.example.com", Path: "/token"}, ClaimTokenFormat: accessTokenFormat, ClientID: "photos-rs",
	}
}

// apart is one whose introspection endpoint knows RPTs only.
func apart(c *config.Config) {
	byTicket(c)
	c.Sites[0].AuthorizationServer.Evaluation.TokenIntrospection = &config.Endpoint{Cluster: "introspect", Authority: "as.example.com", Path: "/tokens"}
}

// asking is Keycloak, that is to ask owners.
func asking(c *config.Config) {
	evaluating(c)
	c.Sites[0].AuthorizationServer.Evaluation.AskOwner = true
}

// said is an answer in a conversation with the AS: to a call of this path, with these
// members of its form or in its body.
type said struct {
	path, sends string
	status      int
	body        string
}

// verifies, tickets, claims and inspects are the calls of an evaluation with a ticket.
var (
	knows    = said{"/introspect", "token=token", 200, bobs}
	tickets  = said{"/permission", `[{"resource_id":"r1","resource_scopes":["view","all"]}]`, 201, ticketed}
	claims   = said{"/token", "ticket=t1&claim_token=token&", 200, issuedRPT}
	inspects = said{"/introspect", "token=the-rpt", 200, inspected}
)

// converse answers the calls of one request in their order, and returns its last step.
func (h *harness) converse(r *decision.Request, answers ...said) (*decision.Exchange, decision.Step) {
	h.t.Helper()
	x, step := h.start(r)
	for _, a := range answers {
		require.Equal(h.t, decision.KindCall, step.Kind, "%s: %s", a.path, outcome(x, step))
		require.Equal(h.t, a.path, value(h.t, step.Call.Headers, ":path"))
		require.Contains(h.t, string(step.Call.Body), a.sends)
		step = h.reply(step, a.status, a.body)
	}
	return x, step
}

// TestClaimCalls: what is sent, with whose credential, and that the RPT is asked about and
// goes nowhere else.
func TestClaimCalls(t *testing.T) {
	h := newHarness(t, byTicket)
	_, step := h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, decision.PurposeIntrospect, step.Call.Purpose, "is the token active at all?")
	step = h.reply(step, 200, bobs)
	require.Equal(t, decision.PurposeEvaluate, step.Call.Purpose)
	require.Equal(t, "protect", step.Call.Cluster)
	require.Equal(t, "application/json", value(t, step.Call.Headers, "content-type"))
	require.JSONEq(t, `[{"resource_id":"r1","resource_scopes":["view","edit"]}]`, string(step.Call.Body))
	step = h.reply(step, 201, ticketed)
	require.Equal(t, "evaluate", step.Call.Cluster)
	require.Empty(t, value(t, step.Call.Headers, "authorization"), "Envoy adds the client's")
	require.Equal(t, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "ticket": {"t1"}, "claim_token": {"token"}, "claim_token_format": {accessTokenFormat}, "client_id": {"photos-rs"},
	}, form(t, step.Call))
	step = h.reply(step, 200, issuedRPT)
	require.Equal(t, "introspect", step.Call.Cluster)
	require.Equal(t, url.Values{"token": {"the-rpt"}}, form(t, step.Call))
	step = h.reply(step, 200, strings.Replace(inspected, `"view"`, `"view","edit"`, 1))
	require.Equal(t, decision.KindAllow, step.Kind)
	require.Equal(t, "bob", value(t, step.Allow.Set, "x-uma-subject"))
	require.Equal(t, "app", value(t, step.Allow.Set, "x-uma-client-id"), "the caller's, not the resource server's")
	require.Equal(t, "view edit", value(t, step.Allow.Set, "x-uma-scopes"))
	for _, header := range step.Allow.Set {
		require.NotContains(t, header.Value, "the-rpt")
	}
}

// TestClaimIsCached: what the RPT has is the caller's token's: cached, evaluated beside what
// else it has, and bounded by the introspection of the token.
func TestClaimIsCached(t *testing.T) {
	h := newHarness(t, byTicket)
	x, step := h.converse(ask("GET", "/albums/1", "token"), knows, tickets, claims, inspects)
	require.Equal(t, "allow permitted", outcome(x, step))
	h.after(30 * time.Second)
	x, step = h.start(ask("GET", "/albums/2", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
	require.Equal(t, decision.CacheHit, x.Decision().Cache)
	x, step = h.converse(ask("GET", "/reports/1", "token"), said{"/permission", `"r2"`, 201, ticketed}, claims,
		said{"/introspect", "the-rpt", 200, `{"active":true,"permissions":[{"resource_id":"r2","resource_scopes":["read"]},{"resource_id":"r1","resource_scopes":["view"]}]}`})
	require.Equal(t, "allow permitted", outcome(x, step))
	asked := h.asked
	for _, path := range []string{"/albums/1", "/reports/1"} {
		x, step = h.start(ask("GET", path, "token"))
		require.Equal(t, "allow permitted", outcome(x, step))
	}
	require.Equal(t, asked, h.asked)
	h.after(30 * time.Second)
	x, step = h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step), "none of it is older than max_ttl, nor is that the token is active")
}

// TestClaimIsBoundByBoth: neither the token's end nor the RPT's, nor that of a permission,
// is outlived.
func TestClaimIsBoundByBoth(t *testing.T) {
	for name, tt := range map[string]struct {
		token, rpt string
		want       string
	}{
		"token":      {`{"active":true,"sub":"bob","exp":%d}`, inspected, "call introspection"},
		"rpt":        {bobs, `{"active":true,"exp":%d,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, "call evaluation"},
		"permission": {bobs, `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"],"exp":%d}]}`, "call evaluation"},
	} {
		t.Run(name, func(t *testing.T) {
			end := func(s string) string {
				if strings.Contains(s, "%d") {
					return fmt.Sprintf(s, began.Unix()+10)
				}
				return s
			}
			h := newHarness(t, byTicket)
			x, step := h.converse(ask("GET", "/albums/1", "token"), said{"/introspect", "token", 200, end(tt.token)}, tickets, claims, said{"/introspect", "the-rpt", 200, end(tt.rpt)})
			require.Equal(t, "allow permitted", outcome(x, step))
			h.after(10 * time.Second)
			x, step = h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
}

// TestClaimOfABadToken: the AS is shown no token that it calls inactive, or that the site
// does not take.
func TestClaimOfABadToken(t *testing.T) {
	for setting, elsewhere := range map[string]bool{"one endpoint": false, "two": true} {
		for says, want := range map[string]string{
			unknown:                               "401 inactive_token",
			`{"active":true,"token_type":"DPoP"}`: "401 sender_constrained_token",
			`{"active":true,"aud":"other"}`:       "401 wrong_audience",
			`{"active":true,"aud":"api","exp":1}`: "401 expired_token",
		} {
			change, answers := byTicket, []said{{"/introspect", "token=token", 200, says}}
			if elsewhere {
				change, answers = apart, []said{{"/introspect", "token=token", 200, unknown}, {"/tokens", "token=token", 200, says}}
			}
			h := newHarness(t, change, bearerChallenge, siteOf(func(s *config.Site) { s.Token.Audiences = []string{"api"} }))
			x, step := h.converse(ask("GET", "/albums/1", "token"), answers...)
			require.Equal(t, want, outcome(x, step), setting)
			if x, step = h.start(ask("GET", "/albums/1", "token")); step.Kind != decision.KindCall { // what has expired is over
				require.Equal(t, want, outcome(x, step), "%s: cached", setting)
			}
		}
	}
}

// TestClaimWhereRPTsAreApart: a token that the introspection endpoint does not know is
// looked for where tokens are, and an RPT is not.
func TestClaimWhereRPTsAreApart(t *testing.T) {
	h := newHarness(t, apart)
	x, step := h.converse(ask("GET", "/albums/1", "token"), said{"/introspect", "token=token", 200, unknown}, said{"/tokens", "token=token", 200, bobs}, tickets, claims, inspects)
	require.Equal(t, "allow permitted", outcome(x, step))
	require.Equal(t, "bob", value(t, step.Allow.Set, "x-uma-subject"))
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.converse(ask("GET", "/albums/1", "an-rpt"), said{"/introspect", "token=an-rpt", 200, viewR1})
	require.Equal(t, "allow permitted", outcome(x, step))
}

// TestClaimRefused: what each call of an evaluation may answer, and what the client gets.
func TestClaimRefused(t *testing.T) {
	at := func(s said, status int, body string) said {
		s.status, s.body = status, body
		return s
	}
	other := strings.Replace(inspected, "bob", "photos-rs", 1)
	for _, tt := range []struct {
		name    string
		answers []said
		want    string
		again   string // the next request
	}{
		{"no ticket: the resource is not known", []said{knows, at(tickets, 400, `{"error":"invalid_resource_id"}`)}, "403 resource_not_registered", "403 resource_not_registered"},
		{"no ticket: nor is the scope", []said{knows, at(tickets, 400, `{"error":"invalid_scope"}`)}, "403 resource_not_registered", "403 resource_not_registered"},
		{"no ticket: a bad PAT", []said{knows, at(tickets, 401, `{"error":"invalid_token"}`)}, "503 as_refused", "call evaluation"},
		{"no ticket: away", []said{knows, at(tickets, 0, ``)}, "503 as_unreachable", "call evaluation"},
		{"no ticket: nonsense", []said{knows, at(tickets, 201, `{}`)}, "503 as_bad_answer", "call evaluation"},
		{"denied", []said{knows, tickets, at(claims, 403, `{"error":"request_denied"}`)}, "403 insufficient_permission", "403 insufficient_permission"},
		{"need_info", []said{knows, tickets, at(claims, 403, `{"error":"need_info","ticket":"t2","required_claims":[{"name":"email"}],"redirect_user":"https://as/claims"}`)}, "403 need_info", "403 need_info"},
		{"submitted", []said{knows, tickets, at(claims, 403, `{"error":"request_submitted","ticket":"t2","interval":5}`)}, "403 request_submitted", "403 request_submitted"},
		{"a bad ticket", []said{knows, tickets, at(claims, 400, `{"error":"invalid_grant"}`)}, "503 as_error", "call evaluation"},
		{"a bad client", []said{knows, tickets, at(claims, 401, `{"error":"invalid_client"}`)}, "503 as_refused", "call evaluation"},
		{"a format that it does not know", []said{knows, tickets, at(claims, 400, `{"error":"invalid_request"}`)}, "503 as_error", "call evaluation"},
		{"no RPT", []said{knows, tickets, at(claims, 200, `{"token_type":"Bearer"}`)}, "503 as_bad_answer", "call evaluation"},
		{"an RPT that is no token", []said{knows, tickets, at(claims, 200, `{"access_token":"a b"}`)}, "503 as_bad_answer", "call evaluation"},
		{"permissions instead", []said{knows, tickets, at(claims, 200, granted)}, "503 as_bad_answer", "call evaluation"},
		{"an inactive RPT", []said{knows, tickets, claims, at(inspects, 200, unknown)}, "503 as_bad_answer", "call evaluation"},
		{"a bound RPT", []said{knows, tickets, claims, at(inspects, 200, strings.Replace(inspected, `"sub"`, `"cnf":{},"sub"`, 1))}, "503 as_bad_answer", "call evaluation"},
		{"another's RPT", []said{knows, tickets, claims, at(inspects, 200, other)}, "503 as_bad_answer", "call evaluation"},
		{"an RPT that nobody tells of", []said{knows, tickets, claims, at(inspects, 500, "")}, "503 as_error", "call evaluation"},
		{"less than what was asked for", []said{knows, tickets, claims, at(inspects, 200, strings.Replace(inspected, "view", "edit", 1))}, "403 insufficient_permission", "403 insufficient_permission"},
		{"nothing", []said{knows, tickets, claims, at(inspects, 200, `{"active":true}`)}, "403 insufficient_permission", "403 insufficient_permission"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, byTicket, bearerChallenge)
			x, step := h.converse(ask("GET", "/albums/1", "token"), tt.answers...)
			require.Equal(t, tt.want, outcome(x, step))
			x, step = h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, tt.again, outcome(x, step))
		})
	}
}

// TestClaimAsksForAllAtOnce: one ticket is for all that the condition's tickets are for,
// and one before the time is over for all that the token has been used for.
func TestClaimAsksForAllAtOnce(t *testing.T) {
	h := newHarness(t, byTicket)
	both := `[{"resource_id":"r2","resource_scopes":["read"]},{"resource_id":"r1","resource_scopes":["view","all"]}]`
	x, step := h.converse(ask("GET", "/reports/1", "token"), knows, said{"/permission", both, 201, ticketed}, claims, said{
		"/introspect", "the-rpt", 200,
		`{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"]},{"resource_id":"r2","resource_scopes":["read"]}]}`,
	})
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))

	h.after(58 * time.Second)
	h.start(ask("GET", "/albums/1", "token"))
	ahead := h.worker.Due(h.now)
	for i, a := range []said{knows, {"/permission", both, 201, ticketed}, claims, inspects} {
		require.Len(t, ahead, 1, i)
		require.Equal(t, a.path, value(t, ahead[0].Headers, ":path"))
		require.Contains(t, string(ahead[0].Body), a.sends)
		require.Empty(t, h.worker.Reply(ahead[0].ID, answer(a.status, a.body), h.now))
		require.Equal(t, i < 3, h.worker.Pending())
		ahead = h.worker.Due(h.now)
	}
	h.after(30 * time.Second)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "call evaluation", outcome(x, step), "what it grants no more is gone")
}

// TestClaimsCoalesce: those who wait for one evaluation wait for its end, also when the
// one that carried it has gone.
func TestClaimsCoalesce(t *testing.T) {
	h := newHarness(t, byTicket)
	_, step := h.start(ask("GET", "/albums/1", "token"))
	waiting := h.worker.Reply(step.Call.ID, answer(200, bobs), h.now)
	require.Len(t, waiting, 1)
	step = waiting[0].Step
	first := waiting[0].Exchange
	for i := range 99 {
		_, shared := h.start(ask("GET", fmt.Sprint("/albums/", i), "token"))
		require.True(t, shared.Call.Shared)
	}
	h.worker.Abandon(first)
	next := h.worker.Reply(step.Call.ID, answer(201, ticketed), h.now)
	require.Len(t, next, 1, "one carries the next call")
	require.NotEqual(t, first, next[0].Exchange)
	h.worker.Bound(0)
	require.Empty(t, h.worker.Reply(next[0].Step.Call.ID, answer(200, issuedRPT), h.now), "in turns")
	require.True(t, h.worker.Pending())
	h.worker.Bound(1)
	calls := h.worker.Due(h.now)
	require.Len(t, calls, 1)
	h.worker.Bound(1000)
	outcomes := h.worker.Reply(calls[0].ID, answer(200, inspected), h.now)
	require.Len(t, outcomes, 99)
	for _, o := range outcomes {
		require.Equal(t, decision.KindAllow, o.Step.Kind)
	}
	_, bytes := h.worker.Waiting()
	require.Zero(t, bytes)
}

// TestClaimOfWhoComesLate: a request whose turn comes when another has had the token
// evaluated already does not have it evaluated again.
func TestClaimOfWhoComesLate(t *testing.T) {
	h := newHarness(t, evaluating)
	rpt := jwt(`{"authorization":{"permissions":[]}}`)
	_, step := h.start(ask("GET", "/albums/1", rpt))
	late, _ := h.start(ask("GET", "/albums/2", rpt))
	h.worker.Bound(1)
	out := h.worker.Reply(step.Call.ID, answer(200, bobs), h.now)
	require.Len(t, out, 1)
	require.Equal(t, decision.PurposeEvaluate, out[0].Step.Call.Purpose)
	h.worker.Bound(0)
	require.Empty(t, h.worker.Reply(out[0].Step.Call.ID, answer(200, granted), h.now))
	h.worker.Bound(2)
	out = h.worker.Next(h.now)
	require.Len(t, out, 2)
	require.Equal(t, late, out[0].Exchange)
	for _, o := range out {
		require.Equal(t, "allow permitted", outcome(o.Exchange, o.Step))
	}
}

// TestClaimWithoutACache: with max_ttl 0 each request asks, and comes to an end.
func TestClaimWithoutACache(t *testing.T) {
	h := newHarness(t, byTicket, siteOf(func(s *config.Site) { s.Token.MaxTTLMS, s.Token.NegativeTTLMS = -1, -1 }))
	for range 3 {
		x, step := h.converse(ask("GET", "/albums/1", "token"), knows, tickets, claims, inspects)
		require.Equal(t, "allow permitted", outcome(x, step))
	}
}

// TestClaimRevoked: what is revoked is refused, whenever that comes.
func TestClaimRevoked(t *testing.T) {
	eve := revoke(config.Revocations{Subjects: digests("bob", hour, 0)})
	h := newHarness(t, byTicket)
	h.converse(ask("GET", "/albums/1", "token"), knows, tickets, claims, inspects)
	h.configure(byTicket, eve)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call permission", outcome(x, step))
	require.Equal(t, "401 revoked_token", outcome(x, h.reply(step, 201, ticketed)))

	h = newHarness(t, byTicket)
	x, step = h.converse(ask("GET", "/albums/1", "token"), knows, tickets, claims)
	h.configure(byTicket, eve)
	require.Equal(t, "call permission", outcome(x, h.reply(step, 200, inspected)), "while it is evaluated")
}

// TestSubmittedIsPolled: while the AS asks the owner, it is not asked before its interval
// is over, and then with the ticket that it gave, whichever token the party has by then.
func TestSubmittedIsPolled(t *testing.T) {
	h := newHarness(t, byTicket, bearerChallenge)
	submits := said{"/token", "ticket=t1&", 403, `{"error":"request_submitted","ticket":"t2","interval":30}`}
	x, step := h.converse(ask("GET", "/albums/1", "token"), knows, tickets, submits)
	require.Equal(t, "403 request_submitted", outcome(x, step))
	require.Equal(t, "30", value(t, step.Deny.Headers, "retry-after"))
	h.after(20 * time.Second)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "403 request_submitted", outcome(x, step))
	require.Equal(t, "10", value(t, step.Deny.Headers, "retry-after"))
	other := said{"/introspect", "token=other", 200, bobs}
	x, step = h.converse(ask("GET", "/albums/1", "other"), other)
	require.Equal(t, "403 request_submitted", outcome(x, step), "nor for another token of the same person")
	require.Equal(t, "10", value(t, step.Deny.Headers, "retry-after"))

	h.after(10 * time.Second)
	polls := said{"/token", "ticket=t2&claim_token=other&", 200, issuedRPT}
	x, step = h.converse(ask("GET", "/albums/1", "other"), polls, inspects)
	require.Equal(t, "allow permitted", outcome(x, step))

	t.Run("the owner says no", func(t *testing.T) {
		h := newHarness(t, byTicket, bearerChallenge)
		h.converse(ask("GET", "/albums/1", "token"), knows, tickets, submits)
		h.after(30 * time.Second)
		x, step := h.converse(ask("GET", "/albums/1", "token"), said{"/token", "ticket=t2&", 403, `{"error":"request_denied"}`})
		require.Equal(t, "403 insufficient_permission", outcome(x, step))
		h.after(29 * time.Second)
		x, step = h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "403 insufficient_permission", outcome(x, step), "another ticket would ask the owner again")
		h.after(time.Minute)
		x, step = h.converse(ask("GET", "/albums/1", "token"), knows, tickets, submits)
		require.Equal(t, "403 request_submitted", outcome(x, step))
	})
	t.Run("the ticket has ended", func(t *testing.T) {
		h := newHarness(t, byTicket, bearerChallenge)
		h.converse(ask("GET", "/albums/1", "token"), knows, tickets, submits)
		h.after(30 * time.Second)
		x, step := h.converse(ask("GET", "/albums/1", "token"), said{"/token", "ticket=t2&", 400, `{"error":"invalid_grant"}`}, tickets, claims, inspects)
		require.Equal(t, "allow permitted", outcome(x, step))
	})
}

// TestOwnerIsAsked: Keycloak has the owner asked with a ticket, once for a person and a
// condition in a while, and the AS's own policies are asked each time.
func TestOwnerIsAsked(t *testing.T) {
	token, later := jwt(`{"sub":"bob","azp":"app","jti":"1"}`), jwt(`{"sub":"bob","azp":"app","jti":"2"}`)
	no := said{"/token", "permission=r1%23view%2Call", 403, notAuthorized}
	submits := said{"/token", "ticket=t1&submit_request=true&response_mode=permissions", 403, submitted}
	h := newHarness(t, asking, bearerChallenge)
	x, step := h.start(ask("GET", "/albums/1", token))
	step = h.reply(step, 403, notAuthorized)
	require.Equal(t, "protect", step.Call.Cluster)
	require.JSONEq(t, `[{"resource_id":"r1","resource_scopes":["view","all"]}]`, string(step.Call.Body))
	step = h.reply(step, 201, ticketed)
	require.Equal(t, "Bearer "+token, value(t, step.Call.Headers, "authorization"), "the party asks")
	require.Equal(t, "403 request_submitted", outcome(x, h.reply(step, 403, submitted)))

	for range 100 {
		h.after(5 * time.Second)
		x, step = h.converse(ask("GET", "/albums/1", later), no)
		require.Equal(t, "403 request_submitted", outcome(x, step), "whoever asks again floods nobody")
	}
	h.after(5 * time.Second)
	x, step = h.converse(ask("GET", "/albums/1", later), said{"/token", "permission", 200, granted})
	require.Equal(t, "allow permitted", outcome(x, step), "once the owner permits it")
	h.after(time.Minute)
	x, step = h.converse(ask("GET", "/albums/1", later), no)
	require.Equal(t, "403 insufficient_permission", outcome(x, step), "the owner has taken it back, and is not asked at once")
	h.after(time.Minute)
	x, step = h.converse(ask("GET", "/albums/1", later), no, tickets, submits)
	require.Equal(t, "403 request_submitted", outcome(x, step), "ten minutes later, once more")

	t.Run("for what is lacking", func(t *testing.T) {
		h := newHarness(t, asking, bearerChallenge)
		x, step := h.converse(ask("PUT", "/albums/1", token), said{"/token", "permission", 200, granted}, said{"/permission", `[{"resource_id":"r1","resource_scopes":["edit"]}]`, 201, ticketed}, submits)
		require.Equal(t, "403 request_submitted", outcome(x, step))
		x, step = h.start(ask("GET", "/albums/1", token))
		require.Equal(t, "allow permitted", outcome(x, step), "what is permitted is")
	})
	for name, tt := range map[string]struct {
		change func(*config.Config)
		r      *decision.Request
		says   said
		want   string
	}{
		"not of what is enough":    {asking, ask("GET", "/albums/1", token), said{"/token", "", 200, granted}, "allow permitted"},
		"not for a bad token":      {asking, ask("GET", "/albums/1", token), said{"/token", "", 400, badToken}, "401 inactive_token"},
		"not for a wrong one":      {siteOf(func(s *config.Site) { s.Token.Audiences = []string{"a"} }), ask("GET", "/albums/1", token), no, "403 insufficient_permission"},
		"not for one revoked":      {revoke(config.Revocations{Subjects: digests("bob", hour, 0)}), ask("GET", "/albums/1", token), no, "403 insufficient_permission"},
		"not by a rule against":    {asking, ask("GET", "/guests", token), said{"/token", "", 403, notAuthorized}, "403 insufficient_permission"},
		"not where it is watched":  {asking, ask("GET", "/watched/1", token), said{"/token", "", 403, notAuthorized}, "monitor insufficient_permission"},
		"not where nobody says so": {evaluating, ask("GET", "/albums/1", token), no, "403 insufficient_permission"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, asking, tt.change, bearerChallenge)
			x, step := h.converse(tt.r, tt.says)
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
	t.Run("and where that fails, no is no", func(t *testing.T) {
		for _, answers := range [][]said{
			{no, {"/permission", "", 0, ""}}, {no, {"/permission", "", 401, ""}}, {no, tickets, {"/token", "", 500, ""}}, {no, tickets, {"/token", "", 403, notAuthorized}}, {no, tickets, {"/token", "", 200, granted}},
		} {
			h := newHarness(t, asking, bearerChallenge)
			x, step := h.converse(ask("GET", "/albums/1", token), answers...)
			require.Equal(t, "403 insufficient_permission", outcome(x, step))
		}
	})
	t.Run("with a bound", func(t *testing.T) {
		h := newHarness(t, asking, bearerChallenge, siteOf(func(s *config.Site) { s.Limits.TicketsPerSecond, s.Limits.TicketBurst = 1, 1 }))
		x, step := h.converse(ask("GET", "/albums/1", token), no, tickets, submits)
		require.Equal(t, "403 request_submitted", outcome(x, step))
		x, step = h.converse(ask("GET", "/albums/1", jwt(`{"sub":"eve"}`)), no)
		require.Equal(t, "403 insufficient_permission", outcome(x, step))
	})
}

// TestOneTokensShare: one token that is good cannot use up the evaluations of the others.
func TestOneTokensShare(t *testing.T) {
	h := newHarness(t, bearerChallenge, func(c *config.Config) {
		*c = *manyResources(100)
		evaluating(c)
		c.Sites[0].Limits.EvaluationsPerSecond, c.Sites[0].Limits.EvaluationBurst = 20, 20
	})
	evaluated := func(token string) (n int) {
		for i := range 100 {
			x, step := h.start(ask("GET", fmt.Sprint("/resources/", i), token))
			if step.Kind != decision.KindCall {
				require.Equal(t, "429 too_many_evaluations", outcome(x, step))
				return n
			}
			h.reply(step, 200, fmt.Sprintf(`[{"scopes":["view"],"rsid":"5f0c7a52-3f6c-4d3e-9b53-%012d"}]`, i))
			n++
		}
		return n
	}
	require.Equal(t, 6, evaluated("greedy"), "the first, which makes it known, and a quarter")
	require.Equal(t, 6, evaluated("modest"))
}
