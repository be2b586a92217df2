package decision_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// enforcedIn is a site of a mode, in which the condition on GET /albums/{id} is
// enforced.
func enforcedIn(mode config.Mode, change ...func(*config.Site)) func(*config.Config) {
	return siteOf(func(s *config.Site) {
		s.Mode = mode
		s.Resources[0].Conditions[0].Mode = config.ModeEnforce
		for _, f := range change {
			f(s)
		}
	})
}

// TestNothingIsLaxerThanWhatIsEnforced: in a site that watches, with a condition
// that is enforced, what is denied before a condition is known is denied.
func TestNothingIsLaxerThanWhatIsEnforced(t *testing.T) {
	monitor := enforcedIn(config.ModeMonitor)
	normalize := enforcedIn(config.ModeMonitor, func(s *config.Site) { s.AmbiguousPaths = config.PathsNormalize })
	tests := []struct {
		name    string
		change  func(*config.Config)
		request *decision.Request
		want    string
	}{
		{"as it is written", monitor, ask("GET", "/albums/1", ""), "401 no_token"},
		{"slash before", monitor, ask("GET", "//albums/1", ""), "400 ambiguous_path"},
		{"slash between", monitor, ask("GET", "/albums//1", ""), "400 ambiguous_path"},
		{"dot segment", monitor, ask("GET", "/albums/./1", ""), "400 ambiguous_path"},
		{"encoded", monitor, ask("GET", "/albums/%31", ""), "400 ambiguous_path"},
		{"matrix parameter", monitor, ask("GET", "/albums/1;x", ""), "400 ambiguous_path"},
		{"backslash", monitor, ask("GET", `/albums\1`, ""), "400 ambiguous_path"},
		{"double encoding", monitor, ask("GET", "/albums/%2531", ""), "400 ambiguous_path"},
		{"a token changes nothing", monitor, ask("GET", "/albums//1", "token"), "400 ambiguous_path"},
		{"slash at the end of two readings", monitor, ask("PUT", "/albums/1/", ""), "400 ambiguous_path"},
		{"no path", monitor, ask("GET", "", ""), "400 ambiguous_path"},
		{"other case is another path", monitor, ask("GET", "/ALBUMS/1", ""), "403 unmatched_path"},
		{"a method that none covers", monitor, ask("PATCH", "/albums/1", ""), "403 method_not_covered"},
		{"a method in other letters", monitor, ask("get", "/albums/1", ""), "405 method_not_forwarded"},
		{"Expect", monitor, ask("GET", "/albums/1", "", "expect", "foo"), "417 expectation_failed"},
		{"no host", monitor, with(ask("GET", "/albums/1", ""), ":authority", ""), "400 invalid_host"},
		{"another method is watched still", monitor, ask("PUT", "/albums/1", ""), "monitor no_token"},
		{"another condition is watched still", monitor, ask("GET", "/reports/1", ""), "monitor no_token"},
		{"its malformed credentials, too", monitor, ask("GET", "/reports/1", "a b"), "monitor invalid_request"},
		{"malformed credentials where it is enforced", monitor, ask("GET", "/albums/1", "a b"), "400 invalid_request"},
		{"public stays public", monitor, ask("GET", "/healthz", ""), "allow public"},

		{"judged as public, forwarded as judged", normalize, ask("GET", "/albums/..;/open/x", ""), "allow public /open/x"},
		{"judged as watched, forwarded as judged", normalize, ask("GET", "/albums/1/../../reports/1", ""), "monitor no_token /reports/1"},
		{"rewritten to what is enforced", normalize, ask("GET", "//albums//1", ""), "401 no_token"},
		{"unmatched is allowed, forwarded as judged", func(c *config.Config) {
			normalize(c)
			c.Sites[0].Unmatched = config.UnmatchedAllow
		}, ask("GET", "/albums/../x", ""), "allow unmatched_allowed /x"},
		{"a condition that is off, forwarded as judged", func(c *config.Config) {
			normalize(c)
			c.Sites[0].Resources[0].Conditions[1].Mode = config.ModeOff
		}, ask("PUT", "/open/../albums/1", ""), "allow off /albums/1"},

		{"public asks for nothing, so nothing is enforced", func(c *config.Config) {
			siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor })(c)
			c.Sites[0].Resources[4].Conditions[0].Mode = config.ModeEnforce
		}, ask("GET", "/nothing", ""), "monitor unmatched_path"},
		{"off is off for the whole site", enforcedIn(config.ModeOff), ask("GET", "/albums/1", ""), "allow off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, tt.change)
			x, step := h.decide(tt.request, viewR1)
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
}

// TestForwardedAsItCame: a site in which nothing is enforced changes no path, and
// says nothing about a path that is not the one it judged.
func TestForwardedAsItCame(t *testing.T) {
	watch := func(s *config.Site) { s.Mode, s.AmbiguousPaths = config.ModeMonitor, config.PathsNormalize }
	h := newHarness(t, siteOf(watch))
	x, step := h.decide(ask("GET", "/open/../albums/1", "token", "x-uma-subject", "forged"), viewR1)
	require.Equal(t, "allow permitted", outcome(x, step))
	require.Empty(t, step.Allow.Set)
	require.Equal(t, []string{"x-uma-subject"}, step.Allow.Remove)
	x, step = h.decide(ask("GET", "/albums/1", "token"), viewR1)
	require.Equal(t, "allow permitted", outcome(x, step))
	require.NotEmpty(t, step.Allow.Set)

	h = newHarness(t, owned(watch))
	require.True(t, h.passed("DELETE", "/boxes/7").Watched())
	require.False(t, h.passed("DELETE", "/boxes/8/../7").Watched(), "which box the API has removed is not known")
}

// TestConnectionIsProtectedInEveryMode: what could make the API read another
// request, or have a tunnel, passes nowhere.
func TestConnectionIsProtectedInEveryMode(t *testing.T) {
	ways := []struct {
		name, host, path string
		change           func(*config.Config)
	}{
		{"enforced", "photos.example.com", "/albums/1", nil},
		{"public", "photos.example.com", "/healthz", nil},
		{"unmatched is allowed", "photos.example.com", "/nothing", siteOf(func(s *config.Site) { s.Unmatched = config.UnmatchedAllow })},
		{"a condition that watches", "photos.example.com", "/watched/1", nil},
		{"a condition that is off", "photos.example.com", "/loose/1", nil},
		{"monitor", "photos.example.com", "/albums/1", siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor })},
		{"off", "photos.example.com", "/albums/1", siteOf(func(s *config.Site) { s.Mode = config.ModeOff })},
		{"unknown hosts are allowed", "other.example.com", "/albums/1", func(c *config.Config) { c.UnknownHosts = config.VerdictAllow }},
	}
	attacks := []struct {
		name   string
		change func(r *decision.Request)
		want   string
	}{
		{"Expect", header("expect", "y 100-continue"), "417 expectation_failed"},
		{"Expect, empty", header("expect", ""), "417 expectation_failed"},
		{"Expect, joined", header("expect", "100-continue, 100-continue"), "417 expectation_failed"},
		{"Expect, twice", func(r *decision.Request) {
			header("expect", "100-continue")(r)
			header("expect", "100-continue")(r)
		}, "417 expectation_failed"},
		{"CONNECT", func(r *decision.Request) { with(r, ":method", "CONNECT") }, "405 method_not_forwarded"},
		{"lower case", func(r *decision.Request) { with(r, ":method", "head") }, "405 method_not_forwarded"},
		{"a method of two words", func(r *decision.Request) { with(r, ":method", "GET /x") }, "405 method_not_forwarded"},
		{"no method", func(r *decision.Request) { with(r, ":method", "") }, "405 method_not_forwarded"},
		{"a path of two words", func(r *decision.Request) { with(r, ":path", "/x HTTP/1.1") }, "400 ambiguous_path"},
		{"a line end in the path", func(r *decision.Request) { with(r, ":path", "/x\r\nx: y") }, "400 ambiguous_path"},
		{"a control byte in the query", func(r *decision.Request) { with(r, ":path", "/x?\x01") }, "400 ambiguous_path"},
		{"a path that names another host", func(r *decision.Request) { with(r, ":path", "http://enforced.example.com/x") }, "400 ambiguous_path"},
		{"no path", func(r *decision.Request) { with(r, ":path", "") }, "400 ambiguous_path"},
	}
	for _, way := range ways {
		for _, attack := range attacks {
			t.Run(way.name+"/"+attack.name, func(t *testing.T) {
				var change []func(*config.Config)
				if way.change != nil {
					change = append(change, way.change)
				}
				h := newHarness(t, change...)
				r := with(ask("GET", way.path, ""), ":authority", way.host)
				attack.change(r)
				x, step := h.start(r)
				require.Equal(t, attack.want, outcome(x, step))
			})
		}
		t.Run(way.name+"/ordinary", func(t *testing.T) {
			var change []func(*config.Config)
			if way.change != nil {
				change = append(change, way.change)
			}
			h := newHarness(t, change...)
			x, step := h.decide(with(ask("GET", way.path, "token", "expect", "100-continue"), ":authority", way.host), viewR1)
			require.Equal(t, decision.KindAllow, step.Kind, outcome(x, step))
		})
	}
}

func header(name, value string) func(r *decision.Request) {
	return func(r *decision.Request) { r.Headers = append(r.Headers, decision.Header{Name: name, Value: value}) }
}

// TestConnectionOptions: with an upgrade Connection goes on to the API, and a proxy
// before it removes what it names.
func TestConnectionOptions(t *testing.T) {
	tests := []struct {
		name    string
		values  []string
		changed bool
		want    string // what stays, where it is changed
	}{
		{"an upgrade", []string{"Upgrade"}, false, ""},
		{"what browsers send", []string{"keep-alive, Upgrade"}, false, ""},
		{"every option of HTTP", []string{"close,, TE ,HTTP2-Settings\t, upgrade"}, false, ""},
		{"names an identity header", []string{"Upgrade, x-uma-subject"}, true, "upgrade"},
		{"before it", []string{"X-Uma-Scopes,Upgrade"}, true, "upgrade"},
		{"in a second one", []string{"upgrade", "x-uma-subject"}, true, "upgrade"},
		{"in another spelling", []string{"Upgrade, x_uma_subject"}, true, "upgrade"},
		{"names the token", []string{"upgrade, authorization"}, true, "upgrade"},
		{"no upgrade", []string{"x-uma-subject"}, true, ""},
		{"no list", []string{"upgrade;x-uma-subject"}, true, ""},
		{"longer than all options", []string{strings.Repeat("te, ", 70) + "upgrade"}, true, ""},
		{"longer than all options, beside an upgrade", []string{"upgrade", strings.Repeat("te, ", 70)}, true, "upgrade"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, way := range []struct {
				path, token string
				change      func(*config.Config)
			}{
				{"/albums/1", "token", siteOf(func(*config.Site) {})},
				{"/healthz", "", siteOf(func(*config.Site) {})},
				{"/albums/1", "", siteOf(func(s *config.Site) { s.Mode = config.ModeOff })},
				{"/albums/1", "", siteOf(func(s *config.Site) { s.OverrideHeaders, s.Mode = config.HeaderKeep, config.ModeMonitor })},
			} {
				h := newHarness(t, way.change)
				r := ask("GET", way.path, way.token)
				for _, v := range tt.values {
					header("connection", v)(r)
				}
				_, step := h.decide(r, viewR1)
				require.Equal(t, decision.KindAllow, step.Kind)
				require.Equal(t, tt.want, value(t, step.Allow.Set, "connection"))
				if !tt.changed {
					require.NotContains(t, step.Allow.Remove, "connection")
					continue
				}
				require.Contains(t, step.Allow.Remove, "connection")
			}
		})
	}
}

// TestForbiddenTrailers: what may not come in a header comes in no trailer, on
// whatever way a request passes.
func TestForbiddenTrailers(t *testing.T) {
	always := append([]string{
		":path", "authorization", "Authorization", "proxy-authorization", "cookie", "host", "expect", "connection", "transfer-encoding", "content-length", "te", "trailer",
	}, forged...)
	innocent := []string{"x-checksum", "grpc-status", "x-umax-subject", "digest", "x-forwarded-for"}
	ways := []struct {
		name   string
		change func(*config.Config)
		ask    *decision.Request
		keeps  bool
	}{
		{"permitted", siteOf(func(*config.Site) {}), ask("GET", "/albums/1", "token"), false},
		{"public", siteOf(func(*config.Site) {}), ask("GET", "/healthz", ""), false},
		{"off", siteOf(func(s *config.Site) { s.Mode = config.ModeOff }), ask("GET", "/albums/1", ""), false},
		{"monitor", siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor }), ask("GET", "/albums//1", ""), false},
		{"unknown host", func(c *config.Config) { c.UnknownHosts = config.VerdictAllow }, with(ask("GET", "/x", ""), ":authority", "other.example.com"), false},
		{"overrides kept", siteOf(func(s *config.Site) { s.OverrideHeaders = config.HeaderKeep }), ask("GET", "/healthz", ""), true},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			h := newHarness(t, way.change)
			x, step := h.decide(way.ask, viewR1)
			require.Equal(t, decision.KindAllow, step.Kind)
			want := always
			if !way.keeps {
				want = append(append([]string(nil), always...), overriding...)
			}
			var trailers []decision.Header
			for _, list := range [][]string{innocent, always, overriding} {
				for _, name := range list {
					trailers = append(trailers, decision.Header{Name: name, Value: "v"})
				}
			}
			require.Equal(t, want, decision.ForbiddenTrailers(trailers, x.RemovesOverrides()))
			require.Empty(t, decision.ForbiddenTrailers(nil, x.RemovesOverrides()))
		})
	}
}
