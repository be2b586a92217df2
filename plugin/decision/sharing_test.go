package decision_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/route"
)

const (
	issuerA = "https://as.example.com/realms/a"
	issuerB = "https://as.example.com/realms/b"
	formerB = "https://login.example.com/realms/b"
)

// tenant is a site of the host that several have. Its AS has resource r1, like every other.
func tenant(name, issuer string, change func(*config.Site)) config.Site {
	s := photos().Sites[0]
	s.Name, s.Hosts = name, []string{"photos.example.com"}
	s.AuthorizationServer.URI, s.AuthorizationServer.Issuers = issuer, []string{issuer}
	s.AuthorizationServer.Introspection.Cluster = "introspect-" + name
	s.AuthorizationServer.Permission = &config.Endpoint{Cluster: "protect-" + name, Authority: "as.example.com", Path: "/permission"}
	s.Resources = []config.Resource{
		{Name: "all", ID: "r1", Conditions: []config.Condition{{Paths: []string{"/**"}, Methods: []string{"GET"}, Scopes: []string{"view"}}}},
		{Name: "open", Conditions: []config.Condition{{Paths: []string{"/{tenant}/open"}, Methods: []string{"GET"}, Public: true}}},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func of(sites ...config.Site) func(*config.Config) {
	return func(c *config.Config) { c.Sites = sites }
}

func below(prefixes ...string) func(*config.Site) {
	return func(s *config.Site) { s.PathPrefixes = prefixes }
}

// jwtOf is a JWT with a payload that nobody has verified.
func jwtOf(payload string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func jwtFrom(issuer string) string { return jwtOf(fmt.Sprintf(`{"iss":%q,"sub":"bob"}`, issuer)) }

// tenants has a site for each of two tenants, one for what is below one of them, and one for
// everything else.
func tenants() []config.Site {
	return []config.Site{
		tenant("a", issuerA, below("/tenants/a", "/a")), tenant("b", issuerB, below("/tenants/b")),
		tenant("deep", "https://as.example.com/realms/deep", below("/tenants/a/x/deep")), tenant("rest", "https://as.example.com/realms/rest", nil),
	}
}

// judged says which site a request came to, and what became of it: the AS that is asked
// says no.
func (h *harness) judged(r *decision.Request) string {
	h.t.Helper()
	x, step := h.start(r)
	asked := ""
	for step.Kind == decision.KindCall {
		asked += step.Call.Cluster + " "
		if step.Call.Purpose == decision.PurposeIntrospect {
			step = h.reply(step, 200, unknown)
		} else {
			step = h.reply(step, 201, `{"ticket":"t1"}`)
		}
	}
	return strings.TrimSpace(x.Decision().Site + ": " + asked + outcome(x, step))
}

// TestPathChoosesTheSite has the longest prefix of whole segments, and every path that
// somebody could read as another site's.
func TestPathChoosesTheSite(t *testing.T) {
	refused := ": 400 ambiguous_path"
	tests := []struct{ path, want string }{
		{"/tenants/a/1", "a: protect-a 401 no_token"},
		{"/tenants/a", "a: protect-a 401 no_token"},
		{"/tenants/a/", "a: protect-a 401 no_token"},
		{"/a/1", "a: protect-a 401 no_token"},
		{"/tenants/b/1?x=/tenants/a", "b: protect-b 401 no_token"},
		{"/tenants/a/x/1", "a: protect-a 401 no_token"},
		{"/tenants/a/x/deep", "deep: protect-deep 401 no_token"},
		{"/tenants/a/x/deep/er", "deep: protect-deep 401 no_token"},
		{"/tenants/a/x/deeper", "a: protect-a 401 no_token"},
		{"/tenants/ab", "rest: protect-rest 401 no_token"},
		{"/tenants", "rest: protect-rest 401 no_token"},
		{"/", "rest: protect-rest 401 no_token"},
		{"/b/open", "rest: allow public"},
		{"/a/open", "a: allow public"},

		{"/tenants/a/../b/1", refused},
		{"/tenants/a/..;/b/1", refused},
		{"/tenants/a/%2e%2e/b/1", refused},
		{"/tenants/a/..%2fb/1", refused},
		{"/tenants%2fa/1", refused},
		{"/tenants/%61/1", refused},
		{"/tenants//a/1", refused},
		{"//tenants/a/1", refused},
		{`/tenants\a/1`, refused},
		{"/tenants/a;x/1", refused},
		{"/Tenants/a/1", refused},
		{"/tenants/A/1", refused},
		{"/TENANTS/A/X/DEEP", refused},
		{"/tenants/a/x/Deep", refused},
		{"/tenants/a%20/1", refused},
		{"/tenants/a./1", refused},
		{"/tenants/a%C4%AFx", refused},
		{"/tenants/a/%C4%AE%C4%AE/b/1", refused},
		{"/tenants/b%D0%BBx", refused},
		{"/tenants/a../b", refused},
		{"/tenants/a::$INDEX_ALLOCATION/1", refused},
		{"/Tenants/a./1", refused},
		{"/TENANTS/B%20/1", refused},
		{"/tenants/A::$INDEX_ALLOCATION/1", refused},
		{"/Tenants/A%C4%AFx", refused},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			h := newHarness(t, of(tenants()...))
			require.Equal(t, tt.want, h.judged(ask("GET", tt.path, "")))
		})
	}
}

// TestNormalizedPathChoosesTheSite: what is rewritten is judged, and forwarded, as it was
// rewritten.
func TestNormalizedPathChoosesTheSite(t *testing.T) {
	sites := tenants()
	for i := range sites {
		sites[i].AmbiguousPaths = config.PathsNormalize
	}
	h := newHarness(t, of(sites...))
	require.Equal(t, "b: protect-b 401 no_token", h.judged(ask("GET", "/tenants/a/../b/1", "")))
	require.Equal(t, "b: protect-b 401 no_token", h.judged(ask("GET", "/tenants/a/..;x/b/1", "")))
	require.Equal(t, "a: allow public /a/open", h.judged(ask("GET", "/tenants/b/../../a/open", "")))
	require.Equal(t, ": 400 ambiguous_path", h.judged(ask("GET", "/tenants/a/../B/1", "")))
	require.Equal(t, ": 400 ambiguous_path", h.judged(ask("GET", "/tenants/a/%252e%252e/b/1", "")))
}

// TestNoSiteHasThePath: without a site for the rest, nothing falls to another one, nor to
// a wider host.
func TestNoSiteHasThePath(t *testing.T) {
	wide := tenant("wide", issuerB, func(s *config.Site) { s.Hosts = []string{"*"} })
	h := newHarness(t, of(append(tenants()[:2], wide)...))
	require.Equal(t, ": 403 unmatched_path", h.judged(ask("GET", "/", "")))
	require.Equal(t, ": 403 unmatched_path", h.judged(ask("GET", "/tenants/c", "token")))
	require.Equal(t, "wide: protect-wide 401 no_token", h.judged(with(ask("GET", "/tenants/c", ""), ":authority", "other.example.com")))
	require.Equal(t, "b: protect-b 401 no_token", h.judged(with(ask("GET", "/tenants/b", ""), ":authority", "PHOTOS.example.com:080")))

	h = newHarness(t, of(tenant("a", issuerA, func(s *config.Site) {
		s.PathPrefixes, s.Unmatched, s.Resources = []string{"/a"}, config.UnmatchedAllow, s.Resources[1:]
	})))
	require.Equal(t, ": 403 unmatched_path", h.judged(ask("GET", "/x", "")), "a site that is alone")
	require.Equal(t, "a: allow unmatched_allowed", h.judged(ask("GET", "/a/x/y", "")))
}

// TestModesOfSitesOfOneHost: a site that watches opens nothing of one that enforces.
func TestModesOfSitesOfOneHost(t *testing.T) {
	in := func(modes ...config.Mode) func(*config.Config) {
		sites := tenants()[:len(modes)]
		for i := range sites {
			sites[i].Mode = modes[i]
			sites[i].OverrideHeaders = config.HeaderStrip
		}
		return of(sites...)
	}
	tests := []struct {
		name   string
		modes  func(*config.Config)
		method string
		path   string
		want   string
	}{
		{"its own path", in(config.ModeMonitor, config.ModeEnforce), "GET", "/tenants/a/1", "a: monitor no_token"},
		{"the other's", in(config.ModeMonitor, config.ModeEnforce), "GET", "/tenants/b/1", "b: protect-b 401 no_token"},
		{"the other's by dots", in(config.ModeMonitor, config.ModeEnforce), "GET", "/tenants/a/../b/1", ": 400 ambiguous_path"},
		{"the other's in another case", in(config.ModeMonitor, config.ModeEnforce), "GET", "/tenants/B/1", ": 400 ambiguous_path"},
		{"nobody's", in(config.ModeMonitor, config.ModeEnforce), "GET", "/x", ": 403 unmatched_path"},
		{"its own method", in(config.ModeMonitor, config.ModeEnforce), "PUT", "/tenants/a/1", "a: monitor method_not_covered"},
		{"off", in(config.ModeOff, config.ModeEnforce), "GET", "/tenants/a/1", "a: allow off"},
		{"off, and the other's by dots", in(config.ModeOff, config.ModeEnforce), "GET", "/tenants/a/..%2fb/1", ": 400 ambiguous_path"},
		{"off, and nobody's", in(config.ModeOff, config.ModeEnforce), "GET", "/x", ": 403 unmatched_path"},
		{"off beside one that watches", in(config.ModeOff, config.ModeMonitor), "GET", "/x", ": monitor unmatched_path"},
		{"both watch, dots", in(config.ModeMonitor, config.ModeMonitor), "GET", "/tenants/a/../b/1", ": monitor ambiguous_path"},
		{"all are off", in(config.ModeOff, config.ModeOff), "GET", "/tenants/../x", "a: allow off"},
		{"a condition of the other is enforced", func(c *config.Config) {
			in(config.ModeMonitor, config.ModeMonitor)(c)
			c.Sites[1].Resources[0].Conditions[0].Mode = config.ModeEnforce
		}, "GET", "/tenants/a/../b/1", ": 400 ambiguous_path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, tt.modes)
			require.Equal(t, tt.want, h.judged(ask(tt.method, tt.path, "")))
		})
	}
}

// TestOverrideNamesNoOtherSite: a header that some APIs take the path from is removed
// before any site is known, and after.
func TestOverrideNamesNoOtherSite(t *testing.T) {
	h := newHarness(t, of(tenants()...))
	_, step := h.decide(ask("GET", "/a/open", "", "x-original-url", "/tenants/b/1"), "")
	require.Equal(t, decision.KindAllow, step.Kind)
	require.Contains(t, step.Allow.Remove, "x-original-url")
}

// two are the sites of one host and all its paths.
func two(change ...func(*config.Site)) []config.Site {
	a := tenant("a", issuerA, nil)
	b := tenant("b", issuerB, func(s *config.Site) {
		s.ChosenBy = config.ChosenByIssuer
		s.AuthorizationServer.Issuers = append(s.AuthorizationServer.Issuers, formerB)
	})
	for _, f := range change {
		f(&a)
		f(&b)
	}
	return []config.Site{a, b}
}

// TestIssuerChoosesTheSite has every way in which a token may name an issuer, or seem to.
// No AS sees a token that does not name it.
func TestIssuerChoosesTheSite(t *testing.T) {
	opaque := func(s *config.Site) { s.Token.WithoutIssuer = config.VerdictAllow }
	asked := func(site string) string {
		return site + ": introspect-" + site + " protect-" + site + " 401 inactive_token"
	}
	const nobody = "a: protect-a 401 wrong_issuer"
	tests := []struct {
		name, token string
		change      func(*config.Site)
		want        string
	}{
		{name: "none", want: "a: protect-a 401 no_token"},
		{name: "A", token: jwtFrom(issuerA), want: asked("a")},
		{name: "B", token: jwtFrom(issuerB), want: asked("b")},
		{name: "B by its former name", token: jwtFrom(formerB), want: asked("b")},
		{name: "another", token: jwtFrom("https://as.example.com/realms/c"), want: nobody},
		{name: "slash at the end", token: jwtFrom(issuerB + "/"), want: nobody},
		{name: "prefix", token: jwtFrom("https://as.example.com/realms/"), want: nobody},
		{name: "longer", token: jwtFrom(issuerB + "b"), want: nobody},
		{name: "upper case", token: jwtFrom("HTTPS://as.example.com/realms/b"), want: nobody},
		{name: "default port", token: jwtFrom("https://as.example.com:443/realms/b"), want: nobody},
		{name: "blank", token: jwtFrom(issuerB + " "), want: nobody},
		{name: "NUL", token: jwtOf(`{"iss":"` + issuerB + `\u0000"}`), want: nobody},
		{name: "escapes in the value", token: jwtOf(`{"iss":"\u0068ttps:\/\/as.example.com\/realms\/b"}`), want: asked("b")},
		{name: "escapes in the name", token: jwtOf(`{"\u0069ss":"` + issuerB + `"}`), want: asked("b")},
		{name: "twice", token: jwtOf(`{"iss":"` + issuerA + `","iss":"` + issuerB + `"}`), want: nobody},
		{name: "twice, once escaped", token: jwtOf(`{"iss":"` + issuerA + `","i\u0073s":"` + issuerB + `"}`), want: nobody},
		{name: "name in upper case", token: jwtOf(`{"ISS":"` + issuerB + `"}`), want: nobody},
		{name: "a list", token: jwtOf(`{"iss":["` + issuerB + `"]}`), want: nobody},
		{name: "an object", token: jwtOf(`{"iss":{"iss":"` + issuerB + `"}}`), want: nobody},
		{name: "null", token: jwtOf(`{"iss":null}`), want: nobody},
		{name: "deeper", token: jwtOf(`{"x":{"iss":"` + issuerB + `"}}`), want: nobody},
		{name: "no issuer", token: jwtOf(`{"sub":"bob"}`), want: nobody},
		{name: "opaque", token: "opaque", want: nobody},
		{name: "no issuer, and allowed", token: jwtOf(`{"sub":"bob"}`), change: opaque, want: asked("a")},
		{name: "opaque, and allowed", token: "opaque", change: opaque, want: asked("a")},
		{name: "another, and those without are allowed", token: jwtFrom("https://x.example"), change: opaque, want: nobody},
		{name: "twice, and those without are allowed", token: jwtOf(`{"iss":"x","iss":"` + issuerA + `"}`), change: opaque, want: nobody},
		{name: "no token characters", token: "a b", want: "a: 400 invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			change := tt.change
			if change == nil {
				change = func(*config.Site) {}
			}
			h := newHarness(t, of(two(change)...))
			require.Equal(t, tt.want, h.judged(ask("GET", "/1", tt.token)))
			require.Equal(t, "a: allow public", h.judged(ask("GET", "/x/open", "")))
		})
	}
}

// TestIssuerChoosesInEachPlace: a token that the AS of some paths knows chooses all the same
// where sites are chosen by issuer, and again where they are other ones after a push.
func TestIssuerChoosesInEachPlace(t *testing.T) {
	sites := func(prefixes ...string) func(*config.Config) {
		b := tenant("b", issuerB, below(prefixes...))
		b.ChosenBy = config.ChosenByIssuer
		return of(tenant("a", issuerA, below("/a", "/c")), b)
	}
	for token, want := range map[string]string{
		"opaque":                       "a: protect-a 401 wrong_issuer",
		jwtFrom("https://x.example"):   "a: protect-a 401 wrong_issuer",
		jwtFrom(issuerB):               "b: introspect-b protect-b 401 inactive_token",
		jwtFrom(issuerA):               "a: allow permitted",
		jwtOf(`{"iss":1,"sub":"bob"}`): "a: protect-a 401 wrong_issuer",
	} {
		h := newHarness(t, sites("/a"))
		x, step := h.decide(ask("GET", "/c/1", token), viewR1)
		require.Equal(t, "allow permitted", outcome(x, step), "only one AS has these paths")
		require.Equal(t, want, h.judged(ask("GET", "/a/1", token)), token)
		require.Equal(t, "a: allow permitted", h.judged(ask("GET", "/c/1", token)))
		h.configure(sites("/a", "/c"))
		h.after(10 * time.Second) // what b's AS said is not believed any more
		require.Equal(t, want, h.judged(ask("GET", "/c/1", token)), token)
		require.Equal(t, want == "a: allow permitted", h.judged(ask("GET", "/c/1", token)) == "a: allow permitted")
	}
}

// TestWhatOneASSaysIsNoOthers: permissions, caches, revocations and outages of one AS are
// nothing to another, though both have a resource r1.
func TestWhatOneASSaysIsNoOthers(t *testing.T) {
	ofA, ofB := jwtFrom(issuerA), jwtFrom(issuerB)
	permitted := func(issuer string) string {
		return fmt.Sprintf(`{"active":true,"sub":"bob","iss":%q,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, issuer)
	}
	t.Run("what is cached", func(t *testing.T) {
		h := newHarness(t, of(two()...))
		x, step := h.decide(ask("GET", "/1", ofA), permitted(issuerA))
		require.Equal(t, "allow permitted", outcome(x, step))
		x, step = h.start(ask("GET", "/1", ofA))
		require.Equal(t, "allow permitted", outcome(x, step))
		require.Equal(t, "a", x.Decision().Site)
		require.Equal(t, decision.CacheHit, x.Decision().Cache)
		_, step = h.start(ask("GET", "/1", ofB))
		require.Equal(t, "introspect-b", step.Call.Cluster)
	})
	t.Run("another issuer than the one asked", func(t *testing.T) {
		for _, answer := range []string{permitted(issuerA), permitted("https://x.example"), permitted(issuerB + "/")} {
			h := newHarness(t, of(two()...))
			x, step := h.decide(ask("GET", "/1", ofB), answer)
			require.Equal(t, "401 wrong_issuer", outcome(x, step))
			require.Contains(t, value(t, step.Deny.Headers, "www-authenticate"), `as_uri="`+issuerB+`"`)
		}
	})
	t.Run("another name of the AS asked", func(t *testing.T) {
		h := newHarness(t, of(two()...))
		x, step := h.decide(ask("GET", "/1", ofB), permitted(formerB))
		require.Equal(t, "allow permitted", outcome(x, step))
	})
	t.Run("the AS does not say", func(t *testing.T) {
		h := newHarness(t, of(two()...))
		x, step := h.decide(ask("GET", "/1", ofB), viewR1)
		require.Equal(t, "allow permitted", outcome(x, step))
	})
	t.Run("revoked at one", func(t *testing.T) {
		revoked := func(c *config.Config) {
			of(two()...)(c)
			c.Revocations = []config.Revocations{{Site: "a", IssuedBefore: began.Unix(), IssuedBeforeEnds: began.Add(time.Hour).Unix()}}
		}
		h := newHarness(t, revoked)
		x, step := h.decide(ask("GET", "/1", ofA), permitted(issuerA))
		require.Equal(t, "401 revoked_token", outcome(x, step))
		x, step = h.decide(ask("GET", "/1", ofB), permitted(issuerB))
		require.Equal(t, "allow permitted", outcome(x, step))
	})
	t.Run("one is down", func(t *testing.T) {
		h := newHarness(t, of(two()...))
		x, step := h.start(ask("GET", "/1", ofA))
		step = h.reply(step, 0, "")
		require.Equal(t, "503 as_unreachable", outcome(x, step))
		x, step = h.decide(ask("GET", "/1", ofB), permitted(issuerB))
		require.Equal(t, "allow permitted", outcome(x, step))
	})
	t.Run("one is not known yet", func(t *testing.T) {
		sites := two()
		sites[1].AuthorizationServer = config.AuthorizationServer{Unknown: true, Issuers: sites[1].AuthorizationServer.Issuers}
		h := newHarness(t, of(sites...))
		require.Equal(t, "b: 503 as_unreachable", h.judged(ask("GET", "/1", ofB)))
		require.Equal(t, "a: introspect-a protect-a 401 inactive_token", h.judged(ask("GET", "/1", ofA)))
	})
	t.Run("a name that is not the AS's any more", func(t *testing.T) {
		h := newHarness(t, of(two()...))
		former := jwtFrom(formerB)
		x, step := h.decide(ask("GET", "/1", former), permitted(formerB))
		require.Equal(t, "allow permitted", outcome(x, step))
		sites := two()
		sites[1].AuthorizationServer.Issuers = sites[1].AuthorizationServer.Issuers[:1]
		h.configure(of(sites...))
		require.Equal(t, "a: protect-a 401 wrong_issuer", h.judged(ask("GET", "/1", former)))
	})
	t.Run("a site that was alone", func(t *testing.T) {
		h := newHarness(t, of(tenant("a", issuerA, func(s *config.Site) { s.AuthorizationServer.Issuers = nil })))
		x, step := h.decide(ask("GET", "/1", ofB), viewR1) // as its AS says
		require.Equal(t, "allow permitted", outcome(x, step))
		h.configure(of(two()...))
		_, step = h.start(ask("GET", "/1", ofB))
		require.Equal(t, "introspect-b", step.Call.Cluster)
	})
}

// TestOwnNamesOfALoneAS: where the AS's names are given, an iss that it says is one of them.
func TestOwnNamesOfALoneAS(t *testing.T) {
	names := of(tenant("a", issuerA, func(s *config.Site) { s.AuthorizationServer.Issuers = []string{issuerA, formerB} }))
	for issuer, want := range map[string]string{
		issuerA: "allow permitted", formerB: "allow permitted", "": "allow permitted", issuerB: "401 wrong_issuer", issuerA + "/": "401 wrong_issuer",
	} {
		h := newHarness(t, names)
		x, step := h.decide(ask("GET", "/1", "token"), fmt.Sprintf(`{"active":true,"iss":%q,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, issuer))
		require.Equal(t, want, outcome(x, step), issuer)
	}
}

// TestSharingFaults has what would leave open whose a request is.
func TestSharingFaults(t *testing.T) {
	pair := func(change func(a, b *config.Site)) []config.Site {
		sites := two()
		change(&sites[0], &sites[1])
		return sites
	}
	prefixed := func(change func(a, b *config.Site)) []config.Site {
		sites := tenants()[:2]
		change(&sites[0], &sites[1])
		return sites
	}
	tests := []struct {
		name  string
		sites []config.Site
		fault string
	}{
		{"one host, and nothing to choose by", pair(func(_, b *config.Site) { b.ChosenBy = "" }), "sites[1].hosts[0]: " + route.ErrHostDuplicate.Error()},
		{"one host twice in a site", pair(func(a, _ *config.Site) { a.Hosts = append(a.Hosts, "photos.EXAMPLE.com") }), "sites[0].hosts[1]: the site has this host already"},
		{"once more, beside another", prefixed(func(_, b *config.Site) { b.Hosts = append(b.Hosts, "photos.EXAMPLE.com") }), "sites[1].hosts[1]: the site has this host already"},
		{"one prefix", prefixed(func(_, b *config.Site) { b.PathPrefixes = []string{"/x", "/a"} }), "sites[1].path_prefixes[1]: site a has this prefix"},
		{"one prefix in another case", prefixed(func(_, b *config.Site) { b.PathPrefixes = []string{"/A"} }), "sites[1].path_prefixes[0]: another site of the host has this prefix in other letters"},
		{"a prefix that is none", prefixed(func(_, b *config.Site) { b.PathPrefixes = []string{"/x/"} }), "sites[1].path_prefixes[0]: " + route.ErrPrefix.Error()},
		{"paths are read in two ways", prefixed(func(_, b *config.Site) { b.AmbiguousPaths = config.PathsNormalize }), "sites[1].ambiguous_paths: must be that of site a"},
		{"case counts for one", prefixed(func(_, b *config.Site) { b.Case = config.CaseInsensitive }), "sites[1].case: must be that of site a"},
		{"one lets a header name the path", prefixed(func(_, b *config.Site) { b.OverrideHeaders = config.HeaderKeep }), "sites[1].override_headers: must be that of site a"},
		{"all are chosen by issuer", pair(func(a, _ *config.Site) { a.ChosenBy = config.ChosenByIssuer }), "sites[0].chosen_by: no site of the same hosts"},
		{"alone, and chosen by issuer", two()[1:], "sites[0].chosen_by: no site of the same hosts"},
		{"one has no issuer", pair(func(_, b *config.Site) { b.AuthorizationServer.Issuers = nil }), "sites[1].authorization_server.issuers: the issuer is needed"},
		{"the default has no issuer", pair(func(a, _ *config.Site) { a.AuthorizationServer.Issuers = nil }), "sites[0].authorization_server.issuers: the issuer is needed"},
		{"one issuer of two", pair(func(a, _ *config.Site) {
			a.AuthorizationServer.Issuers = append(a.AuthorizationServer.Issuers, formerB)
		}), "sites[1].authorization_server.issuers[1]: site a of the same hosts"},
		{"one watches", pair(func(_, b *config.Site) { b.Mode = config.ModeMonitor }), "sites[1].mode: must be as in site a"},
		{"one lets through", pair(func(_, b *config.Site) { b.Unmatched = config.UnmatchedAllow }), "sites[1].unmatched: must be as in site a"},
		{"one takes any token", pair(func(_, b *config.Site) { b.Unmatched = config.UnmatchedAuthenticated }), "sites[1].unmatched: must be as in site a"},
		{"one lets preflights pass", pair(func(_, b *config.Site) { b.CORSPreflight = config.VerdictAllow }), "sites[1].cors_preflight: must be as in site a"},
		{"one answers other pages", pair(func(a, b *config.Site) {
			a.CORS, b.CORS = &config.CORS{AllowOrigins: []string{"https://app.example.com"}}, &config.CORS{AllowOrigins: []string{"https://other.example.com"}}
		}), "sites[1].cors: must be as in site a"},
		{"one takes tokens from elsewhere", prefixed(func(_, b *config.Site) { b.Token.From.Query = "access_token" }), "sites[1].token.from: must be that of site a"},
		{"one lists other pages for its cookie", prefixed(func(a, b *config.Site) {
			a.Token.From.Cookie, b.Token.From.Cookie = "token", "token"
			b.CORS = &config.CORS{AllowOrigins: []string{"https://app.example.com"}}
		}), "sites[1].cors: must be that of site a"},
		{"a condition watches", pair(func(_, b *config.Site) { b.Resources[0].Conditions[0].Mode = config.ModeMonitor }), "sites[1].resources: must be as in site a"},
		{"a path is public", pair(func(_, b *config.Site) {
			b.Resources[1].Conditions[0].Paths = append(b.Resources[1].Conditions[0].Paths, "/x")
		}), "sites[1].resources: must be as in site a"},
		{"another path", pair(func(_, b *config.Site) { b.Resources[1].Conditions[0].Paths = []string{"/{x}/open"} }), "sites[1].resources: must be as in site a"},
		{"another method", pair(func(_, b *config.Site) { b.Resources[0].Conditions[0].Methods = []string{"PUT"} }), "sites[1].resources: must be as in site a"},
		{"any method", pair(func(_, b *config.Site) { b.Resources[0].Conditions[0].Methods = nil }), "sites[1].resources: must be as in site a"},
		{"denied to nobody", pair(func(a, _ *config.Site) {
			a.Resources[0].Conditions[0].Deny, a.Resources[0].Conditions[0].Scopes = true, nil
		}), "sites[1].resources: must be as in site a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decision.Compile(&config.Config{Version: config.Version, Sites: tt.sites})
			require.ErrorContains(t, err, tt.fault)
		})
	}
	t.Run("too many", func(t *testing.T) {
		sites := two()[:1]
		for i := range 17 {
			sites = append(sites, tenant(fmt.Sprintf("b%d", i), fmt.Sprintf("%s%d", issuerB, i), func(s *config.Site) { s.ChosenBy = config.ChosenByIssuer }))
		}
		_, err := decision.Compile(&config.Config{Version: config.Version, Sites: sites})
		require.ErrorContains(t, err, "sites[17].chosen_by: too many")
		_, err = decision.Compile(&config.Config{Version: config.Version, Sites: sites[:17]})
		require.NoError(t, err)
	})
	t.Run("what may differ", func(t *testing.T) {
		_, err := decision.Compile(&config.Config{Version: config.Version, Sites: pair(func(_, b *config.Site) {
			b.Realm, b.Challenge, b.Resources[0].ID = "b", config.ChallengeBoth, "r9"
			b.Resources[0].Conditions[0].Scopes = []string{"read"}
		})})
		require.NoError(t, err)
	})
}

// TestLocationOfAnotherSite: an API registers nothing with the path of another site.
func TestLocationOfAnotherSite(t *testing.T) {
	h := newHarness(t, owned(func(s *config.Site) { s.Case = config.CaseSensitive }), func(c *config.Config) {
		c.Sites = append(c.Sites, tenant("b", issuerB, below("/boxes/b")))
	})
	for location, registered := range map[string]bool{"/boxes/7": true, "/boxes/bb": true, "/boxes/b": false, "/boxes/B": false, "https://photos.example.com/boxes/b": false} {
		require.Equal(t, registered, h.ended(h.passed("POST", "/boxes"), 201, location) != nil, location)
	}
}
