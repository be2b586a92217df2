package decision_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/uma"
)

// issued is when the tokens of these tests were issued, and hour is after all of them.
var (
	issued = began.Unix() - 10
	hour   = began.Unix() + 3600
)

// issuedR1 may view the resource r1, and says everything that a revocation can name.
var issuedR1 = strings.Replace(viewR1, `"sub"`, fmt.Sprintf(`"sid":"s1","iat":%d,"sub"`, issued), 1)

// jwt is a token whose payload says what the AS's answer may not.
func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func revoke(r ...config.Revocations) func(*config.Config) {
	return func(c *config.Config) { c.Revocations = r }
}

func digests(value string, ends, before int64) config.Digests {
	return config.NewDigests([]config.Digest{config.DigestOf(value, ends, before)})
}

func TestRevocationNamesTokens(t *testing.T) {
	tests := []struct {
		name    string
		revoked config.Revocations
		token   string // "token" when empty
		answer  string // issuedR1 when empty
		want    string
	}{
		{"the token", config.Revocations{Tokens: digests("token", hour, 0)}, "", "", "401 revoked_token"},
		{"another token", config.Revocations{Tokens: digests("token2", hour, 0)}, "", "", "allow permitted"},
		{"of this site", config.Revocations{Site: "photos", Tokens: digests("token", hour, 0)}, "", "", "401 revoked_token"},
		{"of another site", config.Revocations{Site: "films", Tokens: digests("token", hour, 0)}, "", "", "allow permitted"},
		{"at its end", config.Revocations{Tokens: digests("token", began.Unix(), 0)}, "", "", "allow permitted"},
		{"just before its end", config.Revocations{Tokens: digests("token", began.Unix()+1, 0)}, "", "", "401 revoked_token"},
		{"the session", config.Revocations{Sessions: digests("s1", hour, 0)}, "", "", "401 revoked_token"},
		{"another session", config.Revocations{Sessions: digests("s2", hour, 0)}, "", "", "allow permitted"},
		{"the session, which only the token tells", config.Revocations{Sessions: digests("s1", hour, 0)}, jwt(`{"sid":"s1"}`), viewR1, "401 revoked_token"},
		{"no session known", config.Revocations{Sessions: digests("s1", hour, 0)}, "", viewR1, "allow permitted"},
		{"no value is no session", config.Revocations{Sessions: digests("", hour, 0)}, "", viewR1, "allow permitted"},
		{"the subject", config.Revocations{Subjects: digests("bob", hour, 0)}, "", "", "401 revoked_token"},
		{"the subject as a session", config.Revocations{Sessions: digests("bob", hour, 0)}, "", "", "allow permitted"},
		{"the subject, issued before", config.Revocations{Subjects: digests("bob", hour, issued+1)}, "", "", "401 revoked_token"},
		{"the subject, issued at that second", config.Revocations{Subjects: digests("bob", hour, issued)}, "", "", "allow permitted"},
		{"the subject, not known when issued", config.Revocations{Subjects: digests("bob", hour, issued)}, "", viewR1, "401 revoked_token"},
		{"the subject, its token tells when issued", config.Revocations{Subjects: digests("bob", hour, issued)}, jwt(fmt.Sprintf(`{"iat":%d}`, issued)), viewR1, "allow permitted"},
		{"the client", config.Revocations{ClientIDs: digests("app", hour, issued+1)}, "", "", "401 revoked_token"},
		{"another client", config.Revocations{ClientIDs: digests("app2", hour, issued+1)}, "", "", "allow permitted"},
		{"all issued before", config.Revocations{IssuedBefore: issued + 1, IssuedBeforeEnds: hour}, "", "", "401 revoked_token"},
		{"all issued before, at that second", config.Revocations{IssuedBefore: issued, IssuedBeforeEnds: hour}, "", "", "allow permitted"},
		{"all issued before, not known when issued", config.Revocations{IssuedBefore: 1, IssuedBeforeEnds: hour}, "", viewR1, "401 revoked_token"},
		{"all issued before, at its end", config.Revocations{IssuedBefore: issued + 1, IssuedBeforeEnds: began.Unix()}, "", "", "allow permitted"},
		{"an inactive token is inactive", config.Revocations{Subjects: digests("bob", hour, 0)}, "", unknown, "401 inactive_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token, answer := tt.token, tt.answer
			if token == "" {
				token = "token"
			}
			if answer == "" {
				answer = issuedR1
			}
			request := ask("GET", "/albums/1", token)
			t.Run("never seen", func(t *testing.T) {
				h := newHarness(t, revoke(tt.revoked))
				require.Equal(t, tt.want, outcome(h.decide(request, answer)))
			})
			t.Run("cached", func(t *testing.T) {
				h := newHarness(t)
				h.decide(request, answer)
				h.asked = 0
				h.configure(revoke(tt.revoked))
				x, step := h.decide(request, answer)
				require.Equal(t, tt.want, outcome(x, step))
				if tt.want == "401 revoked_token" {
					require.Equal(t, 1, h.asked, "for a ticket, and not for the token")
					require.Equal(t, decision.CacheHit, x.Decision().Cache)
					require.Equal(t, "bob", x.Decision().Subject)
				}
				h.configure()
				if answer != unknown {
					require.Equal(t, "allow permitted", outcome(h.decide(request, answer)), "taken back")
				}
			})
			t.Run("in flight", func(t *testing.T) {
				h := newHarness(t)
				x, step := h.start(request)
				_, shared := h.start(request)
				require.True(t, shared.Call.Shared)
				h.configure(revoke(tt.revoked))
				outcomes := h.worker.Reply(step.Call.ID, decision.Response{Status: 200, Body: []byte(answer)}, h.now)
				require.Len(t, outcomes, 2)
				for _, o := range outcomes {
					if o.Step.Kind == decision.KindCall {
						o.Step = h.reply(o.Step, 201, `{"ticket":"t1"}`)
					}
					require.Equal(t, tt.want, outcome(o.Exchange, o.Step))
				}
				require.Equal(t, tt.want, outcome(h.decide(request, answer)), "what was remembered of it")
				require.NotNil(t, x)
			})
			t.Run("explained", func(t *testing.T) {
				c := photos()
				revoke(tt.revoked)(c)
				policy, err := decision.Compile(c)
				require.NoError(t, err)
				known, err := uma.ParseIntrospection([]byte(answer))
				require.NoError(t, err)
				e := decision.Explain(policy, request, known, began)
				require.Equal(t, strings.HasPrefix(tt.want, "allow"), e.Step.Kind == decision.KindAllow)
				require.True(t, strings.HasSuffix(tt.want, e.Decision.Reason.String()), e.Decision.Reason)
			})
		})
	}
}

// TestBeginAgain: a host takes up a policy that it has had.
func TestBeginAgain(t *testing.T) {
	h := newHarness(t, revoke(config.Revocations{Tokens: digests("token", hour, 0)}))
	revoked := h.evaluator
	request := ask("GET", "/albums/1", "token")
	h.configure()
	h.decide(request, issuedR1)
	allowed := h.evaluator
	for range 2 {
		h.evaluator = revoked
		h.evaluator.Begin()
		require.Equal(t, "401 revoked_token", outcome(h.decide(request, issuedR1)))
		h.evaluator = allowed
		h.evaluator.Begin()
		require.Equal(t, "allow permitted", outcome(h.decide(request, issuedR1)))
	}
}

// TestRevokedTokenIsNotAskedFor: the digest is enough, also when the AS is away.
func TestRevokedTokenIsNotAskedFor(t *testing.T) {
	h := newHarness(t, revoke(config.Revocations{Tokens: digests("token", hour, 0)}))
	_, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
	deny := h.reply(step, 201, `{"ticket":"t1"}`).Deny
	require.Contains(t, value(t, deny.Headers, "www-authenticate"), `error="invalid_token"`)
	require.Contains(t, value(t, deny.Headers, "www-authenticate"), `ticket="t1"`)
	_, step = h.start(ask("GET", "/albums/1", "other"))
	require.Equal(t, decision.PurposeIntrospect, step.Call.Purpose)
}

// TestRevocationFollowsTheSite: a call of a site whose AS moved, or that is gone,
// ends under what is revoked now.
func TestRevocationFollowsTheSite(t *testing.T) {
	for _, name := range []string{"photos", "films"} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			_, step := h.start(ask("GET", "/albums/1", "token"))
			h.configure(revoke(config.Revocations{Tokens: digests("token", hour, 0)}), siteOf(func(s *config.Site) {
				s.AuthorizationServer.Introspection.Path, s.Name = "/moved", name
			}))
			outcomes := h.worker.Reply(step.Call.ID, decision.Response{Status: 200, Body: []byte(issuedR1)}, h.now)
			require.Equal(t, decision.KindCall, outcomes[0].Step.Kind)
			require.Equal(t, "401 revoked_token", outcome(outcomes[0].Exchange, h.reply(outcomes[0].Step, 201, `{"ticket":"t1"}`)))
		})
	}
}

func TestRevocationInMonitorModeIsReported(t *testing.T) {
	h := newHarness(t, revoke(config.Revocations{Tokens: digests("token", hour, 0)}), siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor }))
	require.Equal(t, "monitor revoked_token", outcome(h.decide(ask("GET", "/albums/1", "token"), issuedR1)))
}

func TestRevocationFaults(t *testing.T) {
	good := string(digests("a", hour, 0))
	tests := []struct {
		name string
		r    []config.Revocations
		want string // path of the fault
	}{
		{"half a record", []config.Revocations{{Tokens: config.Digests(good[1:])}}, "revocations[0].tokens"},
		{"twice", []config.Revocations{{Sessions: config.Digests(good + good)}}, "revocations[0].sessions"},
		{"no time", []config.Revocations{{Subjects: config.Digests(good[:50] + "x" + good[51:])}}, "revocations[0].subjects"},
		{"a site twice", []config.Revocations{{Site: "photos"}, {Site: "photos"}}, "revocations[1].site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := photos()
			c.Revocations = tt.r
			_, err := decision.Compile(c)
			var faults config.Faults
			require.ErrorAs(t, err, &faults)
			require.Equal(t, tt.want, faults[0].Path)
		})
	}
}

// TestCompilerIsCompile: whatever came before, the compiler's policy is the
// one that a first look gives, and so is its error.
func TestCompilerIsCompile(t *testing.T) {
	twoSites := func(c *config.Config) {
		second := photos().Sites[0]
		second.Name, second.Hosts = "films", []string{"films.example.com"}
		c.Sites = append(c.Sites, second)
	}
	tests := []struct {
		name   string
		change func(c *config.Config)
	}{
		{"the same", func(*config.Config) {}},
		{"a revocation", revoke(config.Revocations{Tokens: digests("token", hour, 0)})},
		{"a site more", twoSites},
		{"in another order", func(c *config.Config) { twoSites(c); c.Sites[0], c.Sites[1] = c.Sites[1], c.Sites[0] }},
		{"another host", siteOf(func(s *config.Site) { s.Hosts = []string{"elsewhere.example.com"} })},
		{"the same site twice", func(c *config.Config) { c.Sites = append(c.Sites, c.Sites[0]) }},
		{"the same host twice", func(c *config.Config) { twoSites(c); c.Sites[1].Hosts = c.Sites[0].Hosts }},
		{"a fault in a site", siteOf(func(s *config.Site) { s.Resources[0].Conditions[0].Paths = nil })},
		{"no sites", func(c *config.Config) { c.Sites = nil }},
		{"another version", func(c *config.Config) { c.Version = 2 }},
		{"gone", func(c *config.Config) { c.Sites[0].Name = "films" }},
	}
	var compiler decision.Compiler
	for _, before := range tests {
		for _, tt := range tests {
			t.Run(before.name+", then "+tt.name, func(t *testing.T) {
				_, _ = compiler.Compile(encoded(t, before.change)) // also what has faults
				document := encoded(t, tt.change)
				policy, err := compiler.Compile(document)
				parsed, parseErr := config.Parse(document)
				if parseErr != nil {
					require.Equal(t, parseErr, err)
					return
				}
				first, firstErr := decision.Compile(parsed)
				require.Equal(t, firstErr, err)
				if err != nil {
					return
				}
				require.Equal(t, first.Sites(), policy.Sites())
				w := decision.NewWorker()
				for _, host := range []string{"photos.example.com", "films.example.com", "elsewhere.example.com"} {
					request := ask("GET", "/albums/1", "token")
					request.Headers[0].Value = host
					a, stepA := decision.NewWorker().Evaluator(first).Start(request, began)
					b, stepB := w.Evaluator(policy).Start(request, began)
					require.Equal(t, outcome(a, stepA), outcome(b, stepB))
				}
			})
		}
	}
}

// TestCompilerRefusesWhatParseRefuses looks at documents that are no JSON near a
// site that is known.
func TestCompilerRefusesWhatParseRefuses(t *testing.T) {
	var compiler decision.Compiler
	document := string(encoded(t))
	_, err := compiler.Compile([]byte(document))
	require.NoError(t, err)
	site := strings.TrimSuffix(strings.SplitN(document, `"sites":[`, 2)[1], "]}")
	require.True(t, json.Valid([]byte(site)))
	for _, changed := range []string{
		document[:len(document)-1],
		strings.Replace(document, `"sites":[`, `"sites":[null,`, 1),
		strings.Replace(document, `"sites":[`, `"sites":[`+site, 1),
		strings.Replace(document, `"sites":[`, `"sites":[,`, 1),
		strings.Replace(document, `"sites":[`, `"revision":"\","sites":[`, 1),
		strings.Replace(document, site, `{"revision":`+site+`}`, 1),
		strings.Replace(document, `"sites"`, `"sites":[],"sites"`, 1),
		strings.Replace(document, `"sites"`, `"s\u0069tes":[],"sites"`, 1),
		strings.Replace(document, `"sites":[`+site+`]`, `"sites":{"a":`+site+`}`, 1),
		strings.Replace(document, `"sites":[`+site+`]`, `"sites":"`+site+`"`, 1),
		strings.Replace(document, "albums", "alb\x01ums", 1),
		"", "[", `{"sites":[` + site,
	} {
		require.NotEqual(t, document, changed)
		_, err := compiler.Compile([]byte(changed))
		_, want := config.Parse([]byte(changed))
		require.Error(t, want, changed)
		require.Equal(t, want, err, changed)
	}
}

func encoded(t testing.TB, change ...func(*config.Config)) []byte {
	t.Helper()
	c := photos()
	for _, f := range change {
		f(c)
	}
	document, err := config.Encode(c)
	require.NoError(t, err)
	return document
}

// TestRevocationCostsNothingOnTheCachedPath: not even where some are in force.
func TestRevocationCostsNothingOnTheCachedPath(t *testing.T) {
	many := make([]config.Digest, 0, 1000)
	for i := range cap(many) {
		many = append(many, config.DigestOf(fmt.Sprint("other", i), hour, 0))
	}
	all := config.NewDigests(many)
	h := newHarness(t, revoke(config.Revocations{Tokens: all, Subjects: all, Sessions: all, ClientIDs: all}))
	request := ask("GET", "/albums/1", "token", browser...)
	require.Equal(t, "allow permitted", outcome(h.decide(request, issuedR1)))
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { h.evaluator.Start(request, h.now) }), 1.0)
}

// BenchmarkPush is what stops an Envoy worker when a token is revoked: 10,000
// resources that did not change, and as many revocations.
func BenchmarkPush(b *testing.B) {
	c := manyResources(10_000)
	documents := make([][]byte, 2)
	for i := range documents {
		many := make([]config.Digest, 0, 10_000)
		for j := range cap(many) {
			many = append(many, config.DigestOf(fmt.Sprint(i, j), hour, 0))
		}
		c.Revocations = []config.Revocations{{Tokens: config.NewDigests(many)}}
		document, err := config.Encode(c)
		require.NoError(b, err)
		documents[i] = document
	}
	push := func(b *testing.B, compile func(document []byte) (*decision.Policy, error)) {
		b.Helper()
		w := decision.NewWorker()
		_, err := compile(documents[1])
		require.NoError(b, err)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			policy, err := compile(documents[i%2])
			require.NoError(b, err)
			w.Evaluator(policy)
		}
	}
	b.Run("anew", func(b *testing.B) {
		push(b, func(document []byte) (*decision.Policy, error) {
			parsed, err := config.Parse(document)
			if err != nil {
				return nil, err
			}
			return decision.Compile(parsed)
		})
	})
	b.Run("known", func(b *testing.B) {
		var compiler decision.Compiler
		push(b, compiler.Compile)
	})
}

// BenchmarkRevoked is a request with a token that is revoked, and one that makes
// its worker look at a cached token again.
func BenchmarkRevoked(b *testing.B) {
	many := make([]config.Digest, 0, 10_000)
	for i := range cap(many) {
		many = append(many, config.DigestOf(fmt.Sprint(i), hour, 0))
	}
	token := strings.Repeat("t", 1024)
	request := ask("GET", "/albums/1", token, browser...)
	gates := make([]*decision.Evaluator, 2)
	w := decision.NewWorker()
	for i := range gates {
		c := photos()
		c.Revocations = []config.Revocations{{Tokens: config.NewDigests(many[i:])}}
		policy, err := decision.Compile(c)
		require.NoError(b, err)
		gates[i] = w.Evaluator(policy)
	}
	_, step := gates[1].Start(request, began)
	w.Reply(step.Call.ID, decision.Response{Status: 200, Body: []byte(issuedR1)}, began)
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			gates[1].Start(request, began.Add(time.Second))
		}
	})
	b.Run("after_a_push", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			w.Evaluator(gates[i%2].Policy()).Start(request, began.Add(time.Second))
		}
	})
}
