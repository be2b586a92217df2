package decision_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

func claim(values []string, path ...string) config.Claim {
	return config.Claim{Path: path, AnyOf: values}
}

// claiming makes reading an album depend on claims.
func claiming(list ...config.Claim) func(*config.Config) {
	return func(c *config.Config) { c.Sites[0].Resources[0].Conditions[0].Claims = list }
}

// everywhere makes every token of the site depend on claims.
func everywhere(list ...config.Claim) func(*config.Config) {
	return siteOf(func(s *config.Site) { s.Token.Claims = list })
}

// sales asks for a department and a role.
var sales = claiming(claim([]string{"sales", "it", "17", "true"}, "department"), claim([]string{"admin"}, "realm_access", "roles"))

func fromToken(c *config.Config) {
	c.Sites[0].AuthorizationServer.Introspection.Claims = config.ClaimsFromToken
}

// withMembers adds members to viewR1.
func withMembers(members string) string {
	return viewR1[:len(viewR1)-1] + "," + members + "}"
}

func TestClaims(t *testing.T) {
	const fits = `"department":"it","realm_access":{"roles":["user","admin"]}`
	for _, tt := range []struct {
		name, claims string
		permitted    bool
	}{
		{"as asked for", fits, true},
		{"a list", `"department":["x","sales"],"realm_access":{"roles":"admin"}`, true},
		{"one of two", `"department":"it"`, false},
		{"the other of two", `"realm_access":{"roles":["admin"]}`, false},
		{"another value", `"department":"marketing","realm_access":{"roles":["admin"]}`, false},
		{"another case", `"department":"Sales","realm_access":{"roles":["admin"]}`, false},
		{"a part of it", `"department":"sale","realm_access":{"roles":["admin"]}`, false},
		{"several in one text", `"department":"sales it","realm_access":{"roles":["admin"]}`, false},
		{"a number", `"department":17,"realm_access":{"roles":["admin"]}`, true},
		{"the same number in a list", `"department":["x",17],"realm_access":{"roles":["admin"]}`, true},
		{"another number", `"department":170,"realm_access":{"roles":["admin"]}`, false},
		{"the same number with a fraction", `"department":17.0,"realm_access":{"roles":["admin"]}`, false},
		{"true", `"department":true,"realm_access":{"roles":["admin"]}`, true},
		{"false", `"department":false,"realm_access":{"roles":["admin"]}`, false},
		{"a number that is not asked for", `"department":1,"realm_access":{"roles":["admin"]}`, false},
		{"an object", `"department":{"sales":true},"realm_access":{"roles":["admin"]}`, false},
		{"twice", `"department":"sales","department":"sales","realm_access":{"roles":["admin"]}`, false},
		{"roles at the top", `"department":"it","roles":["admin"]`, false},
		{"a dotted name", `"department":"it","realm_access.roles":["admin"]`, false},
		{"nothing", `"x":1`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := "403 insufficient_claims"
			if tt.permitted {
				want = "allow permitted"
			}
			check := func(x *decision.Exchange, step decision.Step, how string) {
				t.Helper()
				require.Equal(t, want, outcome(x, step), how)
				if !tt.permitted {
					require.Empty(t, value(t, step.Deny.Headers, "www-authenticate"), "nothing that a client can do mends it")
					require.Contains(t, step.Deny.Body, `"code":"insufficient_claims"`)
				}
			}
			h := newHarness(t, sales)
			x, step := h.decide(ask("GET", "/albums/1", "token"), withMembers(tt.claims))
			check(x, step, "introspected")
			x, step = h.start(ask("GET", "/albums/1", "token"))
			check(x, step, "cached")
			h.after(2 * time.Second)
			x, step = h.start(ask("GET", "/albums/1", "token"))
			check(x, step, "cached, and old enough to be asked for a permission")
			require.Equal(t, 1, h.asked)

			h = newHarness(t, sales, fromToken, evaluating)
			x, step = h.evaluated(ask("GET", "/albums/1", jwt("{"+tt.claims+"}")), 200, granted)
			check(x, step, "evaluated")

			h = newHarness(t, scopesOnly, sales)
			x, step = h.decide(ask("GET", "/albums/1", "token"), `{"active":true,"scope":"view",`+tt.claims+`}`)
			check(x, step, "plain scopes")

			h = newHarness(t, func(c *config.Config) { c.Sites[0].Mode = config.ModeMonitor }, sales)
			x, step = h.decide(ask("GET", "/albums/1", "token"), withMembers(tt.claims))
			if !tt.permitted {
				require.Equal(t, "monitor insufficient_claims", outcome(x, step))
				require.Empty(t, step.Allow.Set, "no identity of who would be denied")
			}
		})
	}
	h := newHarness(t, sales)
	x, step := h.decide(ask("PUT", "/albums/1", "token"), editR1)
	require.Equal(t, "allow permitted", outcome(x, step), "another condition asks for none")
	x, step = h.decide(ask("GET", "/albums/1", "other"), `{"active":true,"department":"x"}`)
	require.Equal(t, "403 insufficient_claims", outcome(x, step), "no ticket is asked for that would not help")
	x, step = h.decide(ask("GET", "/albums/1", "third"), `{"active":true,`+fits+`}`)
	require.Equal(t, "401 insufficient_permission", outcome(x, step), "a ticket helps")
	x, step = h.decide(ask("GET", "/albums/1", ""), "")
	require.Equal(t, "401 no_token", outcome(x, step))
	x, step = h.decide(ask("GET", "/albums/1", "fourth"), unknown)
	require.Equal(t, "401 inactive_token", outcome(x, step))
}

// TestClaimsOfEveryToken are those of a site.
func TestClaimsOfEveryToken(t *testing.T) {
	h := newHarness(t, everywhere(claim([]string{"acme"}, "tenant")), siteOf(authenticatedPaths))
	for _, path := range []string{"/albums/1", "/nothing"} {
		x, step := h.decide(ask("GET", path, "good"), withMembers(`"tenant":"acme"`))
		require.Equal(t, decision.KindAllow, step.Kind, "%s: %s", path, outcome(x, step))
		x, step = h.decide(ask("GET", path, "bad"), withMembers(`"tenant":"other"`))
		require.Equal(t, "403 insufficient_claims", outcome(x, step), path)
	}
}

// TestClaimsOfOtherSettings: what was kept of tokens for other claims says nothing.
func TestClaimsOfOtherSettings(t *testing.T) {
	h := newHarness(t, claiming(claim([]string{"a"}, "b"), claim([]string{"a"}, "a")))
	_, step := h.decide(ask("GET", "/albums/1", "token"), withMembers(`"a":"a","b":"a"`))
	require.Equal(t, decision.KindAllow, step.Kind)
	h.configure(claiming(claim([]string{"a"}, "a"), claim([]string{"a"}, "b")))
	require.Equal(t, "allow permitted", outcome(h.start(ask("GET", "/albums/1", "token"))), "in another order they are the same")
	h.configure(claiming(claim([]string{"a"}, "a", "b")))
	require.Equal(t, "call introspection", outcome(h.start(ask("GET", "/albums/1", "token"))))
	h = newHarness(t)
	h.decide(ask("GET", "/albums/1", "token"), viewR1)
	h.configure(sales)
	require.Equal(t, "call introspection", outcome(h.start(ask("GET", "/albums/1", "token"))))
}

// TestClaimsOfTheToken: the token's own payload counts where the site says so, for what
// the answer does not speak of.
func TestClaimsOfTheToken(t *testing.T) {
	request := ask("GET", "/albums/1", jwt(`{"sub":"bob","department":"sales","realm_access":{"roles":["admin"]}}`))
	h := newHarness(t, sales)
	x, step := h.decide(request, viewR1)
	require.Equal(t, "403 insufficient_claims", outcome(x, step), "nobody has vouched for the payload")

	h = newHarness(t, sales, fromToken)
	x, step = h.decide(request, viewR1)
	require.Equal(t, "allow permitted", outcome(x, step))
	h = newHarness(t, sales, fromToken)
	x, step = h.decide(request, withMembers(`"department":"x"`))
	require.Equal(t, "403 insufficient_claims", outcome(x, step), "the answer stands")
	h = newHarness(t, sales, fromToken)
	x, step = h.decide(request, unknown)
	require.Equal(t, "401 inactive_token", outcome(x, step))
}

// TestClaimsAskedFor: an AS that was asked with a token_type_hint may leave claims out, and
// is asked once more without.
func TestClaimsAskedFor(t *testing.T) {
	const said = `{"active":true,"department":"sales","realm_access":{"roles":["admin"]}}`
	get := ask("GET", "/albums/1", "token")
	h := newHarness(t, sales, hinted)
	x, step := h.start(get)
	y, shared := h.start(get)
	require.True(t, shared.Call.Shared)
	outcomes := h.worker.Reply(step.Call.ID, answer(200, viewR1), h.now)
	require.Len(t, outcomes, 2)
	further := outcomes[0].Step
	require.Equal(t, decision.KindCall, further.Kind)
	require.NotContains(t, string(further.Call.Body), "token_type_hint")
	require.True(t, outcomes[1].Step.Call.Shared, "both wait for one call")
	outcomes = h.worker.Reply(further.Call.ID, answer(200, said), h.now)
	require.Len(t, outcomes, 2)
	require.Equal(t, "allow permitted", outcome(x, outcomes[0].Step))
	require.Equal(t, "allow permitted", outcome(y, outcomes[1].Step))
	require.Equal(t, "allow permitted", outcome(h.start(get)), "it is remembered")

	h = newHarness(t, sales, hinted)
	_, step = h.start(get)
	step = h.reply(step, 200, viewR1)
	require.Equal(t, decision.KindDeny, h.reply(step, 200, `{"active":true}`).Kind)
	require.Equal(t, "403 insufficient_claims", outcome(h.start(get)), "the AS has nothing more to say")

	h = newHarness(t, hinted)
	h.decide(get, viewR1)
	h.configure(hinted, sales)
	x, step = h.start(get)
	require.Equal(t, "call introspection", outcome(x, step))

	h = newHarness(t, sales, hinted, evaluating)
	x, step = h.evaluated(get, 200, granted)
	require.Equal(t, "call introspection", outcome(x, step), "an opaque token says nothing")
	require.Equal(t, decision.KindAllow, h.reply(step, 200, said).Kind)
}

// TestClaimsOfThePath compares claims with what the path names.
func TestClaimsOfThePath(t *testing.T) {
	own := func(paths ...string) func(*config.Config) {
		return func(c *config.Config) {
			c.Sites[0].Resources = append(c.Sites[0].Resources, config.Resource{Name: "users", ID: "r9", Conditions: []config.Condition{{
				Paths: paths, Scopes: []string{"view"},
				Claims: []config.Claim{{Path: []string{"sub"}, AnyOf: []string{"root"}, Variables: []string{"user"}}},
			}}})
		}
	}
	insensitive := siteOf(func(s *config.Site) { s.Case = config.CaseInsensitive })
	normalizing := siteOf(func(s *config.Site) { s.AmbiguousPaths = config.PathsNormalize })
	for _, tt := range []struct {
		name, path, sub, want string
		change                []func(*config.Config)
	}{
		{"one's own", "/users/bob/mail", `"bob"`, "allow permitted", nil},
		{"another's", "/users/alice/mail", `"bob"`, "403 insufficient_claims", nil},
		{"named in the file", "/users/alice/mail", `"root"`, "allow permitted", nil},
		{"escaped", "/users/b%6Fb/mail", `"bob"`, "400 ambiguous_path", nil},
		{"escaped, and normalized", "/users/b%6Fb/mail", `"bob"`, "allow permitted /users/bob/mail", []func(*config.Config){normalizing}},
		{"needs its escape", "/users/b%20b/mail", `"b b"`, "allow permitted", nil},
		{"the escape is no value", "/users/b%20b/mail", `"b%20b"`, "403 insufficient_claims", nil},
		{"letters beyond ASCII", "/users/j%C3%B6rg/mail", `"jörg"`, "allow permitted", nil},
		{"composed otherwise", "/users/jo%CC%88rg/mail", `"jörg"`, "400 ambiguous_path", nil},
		{"another case", "/users/Bob/mail", `"bob"`, "403 insufficient_claims", nil},
		{"another case of an API that ignores it", "/USERS/Bob/mail", `"bob"`, "403 insufficient_claims", []func(*config.Config){insensitive}},
		{"an API that ignores case", "/USERS/bob/mail", `"bob"`, "allow permitted", []func(*config.Config){insensitive}},
		{"mail address", "/users/bob@example.com/mail", `"bob@example.com"`, "allow permitted", nil},
		{"empty", "/users//mail", `""`, "400 ambiguous_path", nil},
		{"an empty sub", "/users/bob/mail", `""`, "403 insufficient_claims", nil},
		{"no sub", "/users/null/mail", `null`, "403 insufficient_claims", nil},
		{"part of a segment", "/users/bob.json", `"bob"`, "allow permitted", nil},
		{"the segment", "/users/bob.json", `"bob.json"`, "403 insufficient_claims", nil},
		{"an end that servers cut off", "/users/bob./mail", `"bob."`, "400 ambiguous_path", nil},
		{"a blank that servers cut off", "/users/bob%C2%A0/mail", `"bob\u00a0"`, "400 ambiguous_path", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, append([]func(*config.Config){own("/users/{user}/mail", "/users/{user}.json")}, tt.change...)...)
			body := `{"active":true,"sub":` + tt.sub + `,"permissions":[{"resource_id":"r9","resource_scopes":["view"]}]}`
			x, step := h.decide(ask("GET", tt.path, "token"), body)
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
	for _, path := range []string{"/users/{id}", "/users/**", "/users/{user}-{id}"} {
		c := photos()
		own("/users/{user}", path)(c)
		_, err := decision.Compile(c)
		require.ErrorContains(t, err, "sites[0].resources[7].conditions[0].paths[1]", path)
		require.ErrorContains(t, err, "{user}", path)
	}
}

// TestExplainClaims: the trace says what was there and what it must be.
func TestExplainClaims(t *testing.T) {
	c := photos()
	claiming(config.Claim{Path: []string{"a.b", `c\d`}, AnyOf: []string{"x"}, Variables: []string{"id"}})(c)
	policy, err := decision.Compile(c)
	require.NoError(t, err)
	explained := decision.Explain(policy, ask("GET", "/albums/1", "token"), &uma.Token{Active: true, Claims: [][]string{{"y"}}}, began)
	require.Contains(t, explained.Lines, decision.Line{Label: "claim", Text: `a\.b.c\\d is "y"; it must have one of "x", {id}, which is "1"`})
}

func TestCompileClaims(t *testing.T) {
	const at = "sites[0].resources[0].conditions[0]"
	var many []config.Claim
	for i := range 65 {
		many = append(many, claim([]string{"x"}, fmt.Sprint("c", i)))
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		path   string
		says   string
	}{
		{"an empty list", func(c *config.Config) { c.Sites[0].Resources[0].Conditions[0].Claims = []config.Claim{} }, at + ".claims", "at least one"},
		{"no path", claiming(claim([]string{"x"})), at + ".claims[0].path", "1 to 8 names"},
		{"an empty name", claiming(claim([]string{"x"}, "a", "")), at + ".claims[0].path", "1 to 8 names"},
		{"a control character", claiming(claim([]string{"x"}, "a\x00")), at + ".claims[0].path", "1 to 8 names"},
		{"too deep", claiming(claim([]string{"x"}, "a", "b", "c", "d", "e", "f", "g", "h", "i")), at + ".claims[0].path", "1 to 8 names"},
		{"no value", claiming(claim(nil, "a")), at + ".claims[0]", "a value"},
		{"an empty value", claiming(claim([]string{"x", ""}, "a")), at + ".claims[0].any_of", "no value"},
		{"of everybody", func(c *config.Config) {
			c.Sites[0].Resources[4].Conditions[0].Claims = []config.Claim{claim([]string{"x"}, "a")}
		}, "sites[0].resources[4].conditions[0].claims", "tokens"},
		{"too many", claiming(many...), "sites[0]", "64"},
		{"a variable for every token", everywhere(config.Claim{Path: []string{"a"}, Variables: []string{"id"}}), "sites[0].token.claims[0]", "path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := photos()
			tt.change(c)
			_, err := decision.Compile(c)
			require.ErrorContains(t, err, tt.path+":")
			require.ErrorContains(t, err, tt.says)
		})
	}
}

// FuzzClaimMatching allows nobody whom a reading by the standard library would not.
func FuzzClaimMatching(f *testing.F) {
	for _, seed := range []string{`"sub":"bob","groups":["a","staff"]`, `"sub":"bob","groups":"staff"`, `"sub":["x","bob"],"groups":{}`, `"sub":"b\u006fb","groups":["staff"],"groups":[]`} {
		f.Add("bob", seed)
		f.Add("b%20b", seed)
	}
	c := photos()
	c.Sites[0].AmbiguousPaths = config.PathsNormalize
	claiming(config.Claim{Path: []string{"sub"}, Variables: []string{"id"}}, claim([]string{"staff", "root"}, "groups"))(c)
	policy, err := decision.Compile(c)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, segment, members string) {
		worker := decision.NewWorker()
		x, step := worker.Evaluator(policy).Start(ask("GET", "/albums/"+segment, "token"), began)
		if step.Kind != decision.KindCall {
			require.NotEqual(t, decision.ReasonPermitted, x.Decision().Reason)
			return
		}
		body := `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}],` + members + `}`
		outcomes := worker.Reply(step.Call.ID, answer(200, body), began)
		require.Len(t, outcomes, 1)
		if outcomes[0].Step.Kind != decision.KindAllow {
			return
		}
		var read map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(body), &read))
		path, err := route.ParsePath("/albums/"+segment, "photos.example.com", true)
		require.NoError(t, err)
		id, _ := path.Segment(1)
		require.NotEmpty(t, id)
		require.True(t, naivelyHas(read["sub"], id), "%q: %s", id, body)
		require.True(t, naivelyHas(read["groups"], "staff", "root"), "%s", body)
	})
}

func naivelyHas(raw json.RawMessage, wanted ...string) bool {
	has := func(raw json.RawMessage) bool {
		var text string
		if json.Unmarshal(raw, &text) != nil { // a number or a truth, as it is written
			text = string(raw)
		}
		return slices.Contains(wanted, text)
	}
	var list []json.RawMessage
	return has(raw) || json.Unmarshal(raw, &list) == nil && slices.ContainsFunc(list, has)
}
