package decision_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// pushing has the AS asked what tokens may, and told of requests.
func pushing(claims ...config.PushedClaim) func(*config.Config) {
	return func(c *config.Config) {
		evaluating(c)
		c.Sites[0].Resources[0].Conditions[0].PushedClaims = claims
	}
}

func pushed(name string, source config.ClaimSource, of string) config.PushedClaim {
	return config.PushedClaim{Name: name, Source: source, Of: of}
}

// granted answers both calls of an evaluation, and returns what each was sent.
func (h *harness) granted(x *decision.Exchange, step decision.Step, body string) (decision.Step, [2]string) {
	h.t.Helper()
	var sent [2]string
	require.Equal(h.t, decision.PurposeEvaluate, step.Call.Purpose)
	sent[0] = string(step.Call.Body)
	step = h.reply(step, 201, `{"ticket":"t1"}`)
	require.Equal(h.t, decision.KindCall, step.Kind, outcome(x, step))
	sent[1] = string(step.Call.Body)
	return h.reply(step, 200, body), sent
}

const grantR1 = `[{"rsid":"r1","scopes":["view"]}]`

// TestPushedClaims: the AS is told what the file names, in a ticket that the token is shown
// with, and what it grants counts for the same claims only.
func TestPushedClaims(t *testing.T) {
	h := newHarness(t, pushing(pushed("tenant", config.ClaimOfHeader, "x-tenant"), pushed("http.method", config.ClaimOfMethod, ""),
		pushed("album", config.ClaimOfVariable, "id"), pushed("ip", config.ClaimOfClientAddress, "")))
	client := "192.0.2.1:4711"
	h.evaluator.Client = func() string { return client }
	x, step := h.start(ask("GET", "/albums/%22one", "token", "x-tenant", "acme"))
	step, sent := h.granted(x, step, grantR1)
	require.Equal(t, "allow permitted", outcome(x, step))
	require.JSONEq(t, `[{"resource_id":"r1","resource_scopes":["view","all"],"claims":{"tenant":["acme"],"http.method":["GET"],"album":["\"one"],"ip":["192.0.2.1"]}}]`, sent[0])
	form, err := url.ParseQuery(sent[1])
	require.NoError(t, err)
	require.Equal(t, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "ticket": {"t1"}, "submit_request": {"false"}, "response_mode": {"permissions"}}, form)
	require.Equal(t, "r1", value(t, step.Allow.Set, "x-uma-resource-id"))
	client = "192.0.2.1:4712"
	x, step = h.start(ask("GET", "/albums/%22one", "token", "x-tenant", "acme"))
	require.Equal(t, "allow permitted", outcome(x, step), "from another port")
	for name, again := range map[string]func() *decision.Request{
		"another tenant": func() *decision.Request { return ask("GET", "/albums/%22one", "token", "x-tenant", "other") },
		"no tenant":      func() *decision.Request { return ask("GET", "/albums/%22one", "token") },
		"another method": func() *decision.Request { return ask("HEAD", "/albums/%22one", "token", "x-tenant", "acme") },
		"another album":  func() *decision.Request { return ask("GET", "/albums/two", "token", "x-tenant", "acme") },
		"another client": func() *decision.Request {
			client = "[2001:db8::1]:80"
			return ask("GET", "/albums/%22one", "token", "x-tenant", "acme")
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, step := h.start(again())
			require.Equal(t, decision.KindCall, step.Kind, outcome(x, step))
			h.worker.Abandon(x)
		})
	}
}

// TestPushedClaimsNeverMeet: what was granted for claims, without, or by a token's own
// permissions counts for nothing else.
func TestPushedClaimsNeverMeet(t *testing.T) {
	tenant := pushing(pushed("tenant", config.ClaimOfHeader, "x-tenant"))
	t.Run("a token with permissions", func(t *testing.T) {
		h := newHarness(t, tenant)
		rpt := jwt(`{"authorization":{"permissions":[]}}`)
		_, step := h.start(ask("GET", "/albums/1", rpt, "x-tenant", "acme"))
		require.Equal(t, decision.PurposeIntrospect, step.Call.Purpose)
		step = h.reply(step, 200, viewR1)
		require.Equal(t, decision.KindCall, step.Kind)
		require.Equal(t, decision.PurposeEvaluate, step.Call.Purpose, "the AS is asked for this request")
	})
	t.Run("an id with a NUL", func(t *testing.T) {
		h := newHarness(t, tenant)
		_, step := h.start(ask("GET", "/albums/1", jwt(`{"authorization":{"permissions":[]}}`), "x-tenant", "acme"))
		step = h.reply(step, 200, `{"active":true,"permissions":[{"resource_id":"r1\u0000{\"tenant\":[\"acme\"]}","resource_scopes":["view"]}]}`)
		require.Equal(t, decision.KindCall, step.Kind)
	})
	t.Run("a no", func(t *testing.T) {
		h := newHarness(t, tenant)
		x, step := h.start(ask("GET", "/albums/1", "token", "x-tenant", "other"))
		step = h.reply(step, 201, `{"ticket":"t1"}`)
		step = h.reply(step, 403, `{"error":"access_denied","error_description":"not_authorized"}`)
		require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
		require.Contains(t, string(step.Call.Body), `"claims":{"tenant":["other"]}`)
		h.reply(step, 201, `{"ticket":"t2"}`)
		require.Equal(t, decision.ReasonNotPermitted, x.Decision().Reason)
		x, step = h.start(ask("GET", "/albums/1", "token", "x-tenant", "acme"))
		step, _ = h.granted(x, step, grantR1)
		require.Equal(t, "allow permitted", outcome(x, step), "a no to others is none to these")
		_, step = h.start(ask("GET", "/albums/1", "token", "x-tenant", "other"))
		require.Equal(t, decision.PurposeTicket, step.Call.Purpose, "and is still known")
	})
	t.Run("a bad ticket", func(t *testing.T) {
		h := newHarness(t, tenant)
		x, step := h.start(ask("GET", "/albums/1", "token", "x-tenant", "acme"))
		step = h.reply(step, 201, `{"ticket":"t1"}`)
		step = h.reply(step, 403, `{"error":"invalid_ticket"}`)
		require.Equal(t, "503 as_refused", outcome(x, step), "the token may be good")
	})
	t.Run("a bad token", func(t *testing.T) {
		h := newHarness(t, tenant, func(c *config.Config) { c.Sites[0].Challenge = config.ChallengeBearer })
		x, step := h.start(ask("GET", "/albums/1", "token", "x-tenant", "acme"))
		step = h.reply(step, 201, `{"ticket":"t1"}`)
		step = h.reply(step, 401, `{"error":"invalid_grant"}`)
		require.Equal(t, "401 inactive_token", outcome(x, step))
	})
	t.Run("ahead of their end", func(t *testing.T) {
		h := newHarness(t, tenant)
		x, step := h.start(ask("GET", "/albums/1", "token", "x-tenant", "acme"))
		step, _ = h.granted(x, step, grantR1)
		require.Equal(t, "allow permitted", outcome(x, step))
		h.after(55 * time.Second)
		x, step = h.start(ask("GET", "/albums/1", "token", "x-tenant", "acme"))
		require.Equal(t, "allow permitted", outcome(x, step))
		require.Empty(t, h.worker.Due(h.now), "a request that nobody makes is not asked about")
		h.after(6 * time.Second)
		_, step = h.start(ask("GET", "/albums/1", "token", "x-tenant", "acme"))
		require.Equal(t, decision.KindCall, step.Kind)
	})
}

// TestClaimsThatCannotBeTold: what the API could read in another way than the AS is told is
// refused.
func TestClaimsThatCannotBeTold(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers []string
		client  string
	}{
		{"twice", []string{"x-tenant", "acme", "x-tenant", "acme"}, "192.0.2.1:1"},
		{"in two spellings", []string{"x-tenant", "acme", "x_tenant", "other"}, "192.0.2.1:1"},
		{"in another spelling", []string{"x_tenant", "other"}, "192.0.2.1:1"},
		{"too long", []string{"x-tenant", strings.Repeat("a", 1024)}, "192.0.2.1:1"},
		{"no address", []string{"x-tenant", "acme"}, ""},
		{"a path of a socket", []string{"x-tenant", "acme"}, "/run/a.sock"},
		{"half an address", []string{"x-tenant", "acme"}, "[2001:db8::1"},
		{"no port", []string{"x-tenant", "acme"}, "2001:db8::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, pushing(pushed("tenant", config.ClaimOfHeader, "x-tenant"), pushed("ip", config.ClaimOfClientAddress, "")))
			h.evaluator.Client = func() string { return tt.client }
			x, step := h.start(ask("GET", "/albums/1", "token", tt.headers...))
			require.Equal(t, "400 claims_not_pushed", outcome(x, step))
		})
	}
}

func TestPushedClaimFaults(t *testing.T) {
	method := pushed("m", config.ClaimOfMethod, "")
	for _, tt := range []struct {
		name, want string
		change     func(*config.Config)
	}{
		{"none", "1 to 16", pushing([]config.PushedClaim{}...)},
		{"twice", "another claim has this name", pushing(method, method)},
		{"no name", "a name is needed", pushing(pushed("", config.ClaimOfMethod, ""))},
		{"no source", "source must be method", pushing(pushed("a", "", ""))},
		{"no header", "must be of a header", pushing(pushed("a", config.ClaimOfHeader, ""))},
		{"a credential", "must be of a header", pushing(pushed("a", config.ClaimOfHeader, "authorization"))},
		{"a cookie", "must be of a header", pushing(pushed("a", config.ClaimOfHeader, "cookie"))},
		{"our own", "must be of a header", pushing(pushed("a", config.ClaimOfHeader, "x-uma-subject"))},
		{"an override", "must be of a header", pushing(pushed("a", config.ClaimOfHeader, "x-forwarded-host"))},
		{"no variable of the path", "must have {other}", pushing(pushed("a", config.ClaimOfVariable, "other"))},
		{"nobody is asked", "token.evaluate: at_as", func(c *config.Config) {
			c.Sites[0].Resources[0].Conditions[0].PushedClaims = []config.PushedClaim{method}
		}},
		{"asked with the token as a claim", "token.evaluate: at_as", func(c *config.Config) {
			pushing(method)(c)
			c.Sites[0].AuthorizationServer.Evaluation.Audience, c.Sites[0].AuthorizationServer.Evaluation.ClaimTokenFormat = "", "urn:a"
		}},
		{"the owner is asked", "ask_owner", func(c *config.Config) {
			pushing(method)(c)
			c.Sites[0].AuthorizationServer.Evaluation.AskOwner = true
		}},
		{"of messages", "a list shows", func(c *config.Config) {
			pushing(method)(c)
			c.Sites[0].Resources[0].Conditions[0].MCP, c.Sites[0].Resources[0].Conditions[0].Methods = &config.MCP{Tools: []string{"a"}}, nil
		}},
		{"public", "looks at tokens", func(c *config.Config) {
			pushing(method)(c)
			c.Sites[0].Resources[0].Conditions[0].Public, c.Sites[0].Resources[0].Conditions[0].Scopes = true, nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := photos()
			tt.change(c)
			_, err := decision.Compile(c)
			require.ErrorContains(t, err, tt.want)
			if tt.name != "no variable of the path" {
				require.ErrorContains(t, err, "pushed_claims")
			}
		})
	}
}
