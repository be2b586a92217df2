package suite_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

const (
	same    = "="  // forwarded byte for byte
	refused = ""   // 4xx, and the API saw nothing
	perhaps = " ?" // after another: or refused, by the gateway's own parser
	either  = same + perhaps
)

// rawTarget is a request target and what becomes of it where ambiguous paths are
// refused and where they are normalised. /echo/public/** is public, nothing else.
type rawTarget struct{ target, reject, normalize string }

func rawTargets() []rawTarget {
	clean := []string{
		"/echo/public/a", "/echo/public", "/echo/public/", "/echo/public/a/", "/echo/public/a?x=1", "/echo/public/a?", "/echo/public/a??", "/echo/public/a?x=/../secret",
		"/echo/public/a?x=//;%2e%2e", "/echo/public/a?%2561=%00%zz", "/echo/public/a%20b", "/echo/public/caf%C3%A9", "/echo/public/caf%c3%a9", "/echo/public/100%25",
		"/echo/public/%2B%40%3A", "/echo/public/a:b@c", "/echo/public/~a", "/echo/public/a'b(c)!*", "/echo/public/a,b=c&d$e+f", "/echo/public/%7Bid%7D",
		"/echo/public/...", "/echo/public/..a", "/echo/public/a..", "/echo/public/.a", "/echo/public/a.", "/echo/public/a.b/c", "/echo/public/%E2%9C%93",
		"/echo/public/%F0%9F%93%B7", "/echo/public/" + strings.Repeat("a", 8000), "/echo/public/http:/other.test/", "/echo/public/a|b", `/echo/public/a"b`,
		"/echo/public/[a]", "/echo/public/<a>", "/echo/public/a^b`c{d}",
	}
	list := []rawTarget{
		// Dot segments.
		{"/echo/public/.", refused, "/echo/public/"},
		{"/echo/public/..", refused, refused},
		{"/echo/public/./a", refused, "/echo/public/a"},
		{"/echo/public/../secret/a", refused, refused},
		{"/echo/secret/../public/a", refused, "/echo/public/a"},
		{"/../../echo/public/a", refused, "/echo/public/a"},
		{"/./echo/public/a", refused, "/echo/public/a"},
		{"/echo/public/%2e%2e/secret/a", refused, refused},
		{"/echo/public/%2E%2e/secret/a", refused, refused},
		{"/echo/public/.%2e/secret/a", refused, refused},
		{"/echo/public/%2e./secret/a", refused, refused},
		{"/echo/public/%2e/a", refused, "/echo/public/a"},
		{"/echo/public/a%2ejpg", refused, "/echo/public/a.jpg"},
		{"/echo/secret/%2e%2e/public/a", refused, "/echo/public/a"},
		{"/echo/public/..;/secret/a", refused, refused},
		{"/echo/public/..;x=y/secret/a", refused, refused},
		{"/echo/secret/..;/public/a", refused, "/echo/public/a"},
		{"/echo/public/%2e%2e;/secret/a", refused, refused},
		{"/echo/public/%2e%2e%2fsecret/a", refused, refused},
		{"/echo/public/..%2fsecret/a", refused, refused},
		{"/echo/public/..%5csecret/a", refused, refused},
		{"/echo/public/..\\secret/a", refused, refused},
		// Empty segments and encoded slashes.
		{"//echo/public/a", refused, "/echo/public/a"},
		{"/echo//public/a", refused, "/echo/public/a"},
		{"/echo/public//", refused, "/echo/public/"},
		{"/echo/public///a", refused, "/echo/public/a"},
		{"/echo/public//../secret/a", refused, refused},
		{"///echo/secret/a", refused, refused},
		{"/echo%2fpublic/a", refused, "/echo/public/a"},
		{"/echo%2Fsecret/a", refused, refused},
		{"/echo/public%2f..%2fsecret/a", refused, refused},
		{"/echo/public/a%2f", refused, "/echo/public/a/"},
		{"%2fecho/public/a", refused, refused},
		// Backslashes.
		{`/echo/public\..\secret\a`, refused, refused},
		{`/echo\public/a`, refused, "/echo/public/a"},
		{`\echo\public\a`, refused, refused},
		{`/\echo/public/a`, refused, "/echo/public/a"},
		{"/echo/public%5c..%5csecret", refused, refused},
		{"/echo%5Cpublic/a", refused, "/echo/public/a"},
		// Matrix parameters.
		{"/echo/public/a;b=c", refused, "/echo/public/a"},
		{"/echo/public;x=1/a", refused, "/echo/public/a"},
		{"/echo/secret;/public/a", refused, refused},
		{"/echo;/secret/a", refused, refused},
		{"/;/echo/secret/a", refused, refused},
		{"/echo/public/;/../secret/a", refused, refused},
		{"/echo/public/a;jsessionid=1", refused, "/echo/public/a"},
		{"/echo/public/a%3bb=c", refused, refused},
		{"/echo/public/%3B", refused, refused},
		{"/echo/secret/a;.css", refused, refused},
		// Encoded delimiters.
		{"/echo/public/a%3fx=1", refused, refused},
		{"/echo/secret/a%3f.css", refused, refused},
		{"/echo/public/a%23b", refused, refused},
		{"/echo/secret%23/../public/a", refused, refused},
		// Encoded letters.
		{"/echo/%70ublic/a", refused, "/echo/public/a"},
		{"/echo/%73ecret/a", refused, refused},
		{"/%65%63%68%6F/public/a", refused, "/echo/public/a"},
		{"/echo/public/%7E%2D%5F%41", refused, "/echo/public/~-_A"},
		// Double encoding.
		{"/echo/public/%252e%252e/secret/a", refused, refused},
		{"/echo/public/%252fsecret", refused, refused},
		{"/echo/%2573ecret/a", refused, refused},
		{"/echo/public/%2561", refused, refused},
		{"/echo/public/%25%32%65%25%32%65/secret/a", refused, refused},
		{"/echo/public/%25252e", refused, refused},
		{"/echo/public/%25%35c", refused, refused},
		// UTF-8.
		{"/echo/public/%c0%ae%c0%ae/secret/a", refused, refused},
		{"/echo/public/%c0%afsecret", refused, refused},
		{"/echo/public/%e0%80%af", refused, refused},
		{"/echo/public/%f0%80%80%af", refused, refused},
		{"/echo/public/%ff", refused, refused},
		{"/echo/public/%80", refused, refused},
		{"/echo/public/%c3", refused, refused},
		{"/echo/public/%c3%28", refused, refused},
		{"/echo/public/%c3a%a9", refused, refused},
		{"/echo/public/%ed%a0%80", refused, refused},
		{"/echo/public/%f4%90%80%80", refused, refused},
		{"/echo/public/\xff", refused, refused},
		{"/echo/public/\xc0\xae\xc0\xae/secret/a", refused, refused},
		// Characters that compatibility folding turns into delimiters.
		{"/echo/public/%ef%bc%8e%ef%bc%8e/secret/a", refused, refused},
		{"/echo/public/%e2%80%a5/secret/a", refused, refused},
		{"/echo/public%ef%bc%8fsecret", refused, refused},
		{"/echo/public%ef%bc%bcsecret", refused, refused},
		{"/echo/public/%cd%be", refused, refused},
		{"/echo/public/%ef%bc%85%32%65", refused, refused},
		{"/echo/public/%e2%92%88", refused, refused},
		{"/echo/public/%e2%88%95", refused, refused},
		// Control bytes and line ends.
		{"/echo/public/%00", refused, refused},
		{"/echo/secret/a%00.css", refused, refused},
		{"/echo/public/%0a", refused, refused},
		{"/echo/public/%0d%0aX-Uma-Subject:%20bob", refused, refused},
		{"/echo/public/%09", refused, refused},
		{"/echo/public/%1f", refused, refused},
		{"/echo/public/%7f", refused, refused},
		{"/echo/public/%c2%85", refused, refused},
		{"/echo/public/%e2%80%a8", refused, refused},
		{"/echo/public/a\tb", refused, refused},
		{"/echo/public/a\x01b", refused, refused},
		{"/echo/public/a\x7fb", refused, refused},
		{"/echo/public/a\x00b", refused, refused},
		{"/echo/public/a b", refused, refused},
		{"/echo/public/a?x=\x01", refused, refused},
		// Invalid escapes.
		{"/echo/public/%", refused, refused},
		{"/echo/public/%1", refused, refused},
		{"/echo/public/%zz", refused, refused},
		{"/echo/public/%u002e%u002e/secret/a", refused, refused},
		{"/echo/public/%2", refused, refused},
		{"/echo/public/%-1", refused, refused},
		{"/echo/public/%%32%65", refused, refused},
		// Fragments.
		{"/echo/secret/a#/../../public/a", refused, refused},
		{"/echo/secret#/echo/public/a", refused, refused},
		// Other forms of target.
		{"http://{host}/echo/public/a", "/echo/public/a", "/echo/public/a"},
		{"http://{host}/echo/public/a?x=http://b", "/echo/public/a?x=http://b", "/echo/public/a?x=http://b"},
		{"HTTP://{host}/echo/public/a", "/echo/public/a", "/echo/public/a"},
		{"http://{host}/echo/secret/a", refused, refused},
		{"http://{host}", refused, refused},
		{"http://{host}?x=/echo/public/a", refused, refused},
		{"http://nobody.test/echo/public/a", refused, refused},
		{"http://public.test@{host}/echo/public/a", "/echo/public/a" + perhaps, "/echo/public/a" + perhaps}, // Envoy cuts the userinfo before anybody sees it
		{"http://{host}@nobody.test/echo/public/a", refused, refused},
		{"http:///echo/public/a", refused, refused},
		{"ftp://{host}/echo/public/a", refused, refused},
		{"//{host}/echo/public/a", refused, refused},
		{"*", refused, refused},
		{"echo/public/a", refused, refused},
		{"?x=/echo/public/a", refused, refused},
		{"{host}:80", refused, refused},
		// Length, case and neighbours.
		{"/echo/public/" + strings.Repeat("a", 17_000), refused, refused},
		{"/Echo/public/a", refused, refused},
		{"/echo/PUBLIC/a", refused, refused},
		{"/echo/publica", refused, refused},
		{"/echo/public.", refused, refused},
		{"/echo/public%20", refused, refused},
		{"/echo/secret/a?x=/echo/public/a", refused, refused},
		{"/echo/secret/a?_method=GET", refused, refused},
		{"/echo/secret/public/a", refused, refused},
		{"/echo", refused, refused},
		{"/", refused, refused},
	}
	for _, target := range clean {
		want := same
		if strings.ContainsAny(target, "|\"<>^`{}[]") {
			want = either
		}
		list = append(list, rawTarget{target, want, want})
	}
	return append(list,
		rawTarget{"/echo/public/é", refused, "/echo/public/%C3%A9" + perhaps},
		rawTarget{"/echo/public/a#b", refused, "/echo/public/a" + perhaps},
		rawTarget{"/echo/public/a?x#y", refused, "/echo/public/a?x" + perhaps},
	)
}

// atoms are ambiguous wherever in a path they stand.
func atoms() []string {
	return []string{
		"/.", "/..", "//", "/%2e", "/%2E%2E", "/.%2e", "%2f", "%2F", "%5c", "%5C", "\\", ";", ";a=b", "/..;", "%3b", "%3B", "%3f", "%23", "%25%32%66", "%252f", "%252e", "%25252e",
		"%00", "%0a", "%0d", "%09", "%7f", "%c0%af", "%c0%ae", "%e0%80%ae", "%ff", "%ef%bc%8f", "%ef%bc%8e", "%e2%80%a8", "%61", "%5f", "%", "%g1", "%u2215",
	}
}

// pathScenarios send raw targets over raw connections. What the API gets is what
// was judged, or it gets nothing.
func pathScenarios() []scenario {
	only := func(s *config.Site) {
		s.Resources = []config.Resource{{Name: "open", Conditions: []config.Condition{{Paths: []string{"/echo/public/**"}, Public: true}}}}
	}
	return []scenario{
		{
			name: "raw-paths", once: true,
			site: func(_ *env, s *config.Site) { only(s) },
			more: func(e *env) []config.Site {
				s := e.standardSite()
				s.Name, s.Hosts, s.AmbiguousPaths = "raw-paths-normalize", []string{"normalize." + e.host}, config.PathsNormalize
				only(&s)
				return []config.Site{s}
			},
			run: func(e *env) {
				t := e.t
				targets := rawTargets()
				require.GreaterOrEqual(t, len(targets), 150)
				for _, row := range targets {
					e.rawTarget(t, e.host, row.target, row.reject)
					e.rawTarget(t, "normalize."+e.host, row.target, row.normalize)
				}
				e.ambiguousEverywhere(t)
			},
		},
		{
			name: "text-around-a-variable", once: true,
			site: func(e *env, s *config.Site) {
				s.Resources = []config.Resource{
					{Name: "album", ID: e.as.resources["album"], Conditions: []config.Condition{
						{Paths: []string{"/echo/a/{id}:export", "/echo/a/({id})", "/echo/a/{x}...{y}", "/echo/a/{id}.json", "/echo/a/secret-*"}, Scopes: []string{"view"}},
					}},
					{Name: "open", Conditions: []config.Condition{{Paths: []string{"/echo/a/{id}", "/echo/a/{id}.html"}, Public: true}}},
				}
			},
			steps: []step{
				{name: "beside them", path: "/echo/a/1", status: 200},
				{name: "public text", path: "/echo/a/1.html", status: 200},
				{name: "verb", path: "/echo/a/1:export", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "verb with the right", path: "/echo/a/1:export", token: "alice/album/view", status: 200, introspections: 1},
				{name: "verb, encoded", path: "/echo/a/1%3Aexport", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "parentheses", path: "/echo/a/(1)", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "two variables", path: "/echo/a/1...2", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "extension", path: "/echo/a/1.json", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "extension and slash", path: "/echo/a/1.json/", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "neither is more specific", path: "/echo/a/secret-1.html", status: 400, code: "ambiguous_path"},
				{name: "nor here, but both ask for the same", path: "/echo/a/secret-1.json", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
		},
		{
			name: "second-reading", once: true,
			site: func(e *env, s *config.Site) {
				s.Resources = []config.Resource{
					{Name: "album", ID: e.as.resources["album"], Conditions: []config.Condition{
						{Paths: []string{"/echo/admin/**", "/echo/albums/{id}", "/echo/albums/{id}/**"}, Scopes: []string{"view"}},
					}},
					{Name: "open", Conditions: []config.Condition{{Paths: []string{"/echo/{page}", "/echo/public/**"}, Public: true}}},
				}
			},
			run: func(e *env) {
				for target, want := range map[string]string{
					"/echo/admin%c4%afpanel":              refused,
					"/echo/admin%D0%AFpanel":              refused,
					"/echo/albums%d0%af42":                refused,
					"/echo/public/%c4%ae%c4%ae/admin/x":   refused,
					"/echo/public/..%D0%BB/admin/x":       refused,
					"/echo/admin%C4%80.css":               refused,
					"/echo/admin%D0%BF.css":               refused,
					"/echo/admin%20":                      refused,
					"/echo/%20admin":                      refused,
					"/echo/admin.":                        refused,
					"/echo/admin::$DATA":                  refused,
					"/echo/public../admin/x":              refused,
					"/echo/public/%20../x":                same,
					"/echo/public/%D0%AF%D0%B1%D0%BB/x":   same,
					"/echo/public/%e6%8a%80%e6%9c%af%e6%": refused,
					"/echo/public/%E6%8A%80%E6%9C%AF/a..": same,
					"/echo/%D0%BF%D0%BB%D0%B0%D0%BD":      same,
					"/echo/a%20b":                         same,
				} {
					e.rawTarget(e.t, e.host, target, want)
				}
			},
		},
		{
			name: "host-as-judged", once: true,
			site: func(_ *env, s *config.Site) { only(s) },
			more: func(e *env) []config.Site {
				off, monitor := e.standardSite(), e.standardSite()
				off.Name, off.Hosts, off.Mode = "host-off", []string{"off." + e.host}, config.ModeOff
				monitor.Name, monitor.Hosts, monitor.Mode = "host-monitor", []string{"monitor." + e.host}, config.ModeMonitor
				return []config.Site{off, monitor}
			},
			run: func(e *env) {
				t := e.t
				for _, host := range []string{e.host, "off." + e.host, "monitor." + e.host} {
					for authority, want := range map[string]string{
						host:                                 host,
						strings.ToUpper(host):                host,
						strings.ToUpper(host[:1]) + host[1:]: host,
						host + ":8080":                       host + ":8080",
						host + ":080":                        host + ":80",
						strings.ToUpper(host) + ":00443":     host + ":443",
						host + ".":                           "",
						host + ":99999":                      "",
						"user@" + host:                       "",
					} {
						a := rawRequest(t, e.gw.address(), "GET /echo/public/a HTTP/1.1\r\nHost: "+authority+"\r\nConnection: close\r\n\r\n")
						require.NotNil(t, a, authority)
						if want == "" {
							require.Equal(t, 400, a.status, "%s: %s", authority, a.body)
							continue
						}
						require.Equal(t, 200, a.status, "%s: %s", authority, a.body)
						require.Equal(t, want, a.echo.Host, authority)
					}
				}
				// In the target, as a proxy is asked.
				upper := strings.ToUpper(e.host)
				a := rawRequest(t, e.gw.address(), "GET http://"+upper+"/echo/public/a HTTP/1.1\r\nHost: "+upper+"\r\nConnection: close\r\n\r\n")
				require.Equal(t, 200, a.status, "%s", a.body)
				require.Equal(t, e.host, a.echo.Host)
			},
		},
		{
			name: "method-override-in-the-query", once: true,
			site: func(_ *env, s *config.Site) {
				s.Resources = []config.Resource{{Name: "open", Conditions: []config.Condition{{Paths: []string{"/echo/public/**"}, Methods: []string{"GET"}, Public: true}}}}
			},
			more: func(e *env) []config.Site {
				s := e.standardSite()
				s.Name, s.Hosts, s.OverrideHeaders = "method-override-kept", []string{"kept." + e.host}, config.HeaderKeep
				s.Resources = []config.Resource{{Name: "open", Conditions: []config.Condition{{Paths: []string{"/echo/public/**"}, Methods: []string{"GET"}, Public: true}}}}
				return []config.Site{s}
			},
			run: func(e *env) {
				for query, want := range map[string]string{
					"_method=DELETE":              refused,
					"a=b;_method=DELETE":          refused,
					"%5fmethod=DELETE":            refused,
					"_method=GET&_method=DELETE":  refused,
					"x-http-method-override=POST": refused,
					"_method=get":                 same,
					"method=DELETE":               same,
				} {
					e.rawTarget(e.t, e.host, "/echo/public/a?"+query, want)
					e.rawTarget(e.t, "kept."+e.host, "/echo/public/a?"+query, same)
				}
			},
		},
		{
			name: "trailing-slash-selects-another-condition", once: true,
			site: func(e *env, s *config.Site) {
				s.Resources = []config.Resource{
					{Name: "album", ID: e.as.resources["album"], Conditions: []config.Condition{{Paths: []string{"/echo/a"}, Scopes: []string{"view"}}}},
					{Name: "open", Conditions: []config.Condition{{Paths: []string{"/echo/a/", "/echo/b/"}, Public: true}}},
				}
			},
			steps: []step{
				{name: "as written", path: "/echo/b/", status: 200},
				{name: "protected", path: "/echo/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
		},
	}
}

// rawTarget sends one target and sees what the API got.
func (e *env) rawTarget(t *testing.T, host, target, want string) {
	t.Helper()
	target = strings.ReplaceAll(target, "{host}", host)
	e.api.look()
	a := rawRequest(t, e.gw.address(), "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	seen := e.api.look()
	require.NotNil(t, a, "%q at %s: no answer", target, host)
	if sure, maybe := strings.CutSuffix(want, perhaps); maybe {
		want = sure
		if len(seen) == 0 {
			want = refused
		}
	}
	if want == same {
		want = target
	}
	if want == refused {
		require.Empty(t, seen, "%q at %s reached the API", target, host)
		require.True(t, a.status >= 400 && a.status < 500, "%q at %s: %d %s", target, host, a.status, a.body)
		return
	}
	require.Equal(t, []string{want}, seen, "%q at %s: %d %s", target, host, a.status, a.body)
	require.Equal(t, 200, a.status, "%q at %s: %s", target, host, a.body)
}

// ambiguousEverywhere puts each atom into each place of a path: refused where
// ambiguous paths are; where they are normalised, what the API gets is public by
// any reading.
func (e *env) ambiguousEverywhere(t *testing.T) {
	t.Helper()
	for _, atom := range atoms() {
		for _, place := range []string{"/echo/public/x*", "/echo/public/x*y", "/echo/public*/y", "/echo*/public/y", "/echo/public/*/../secret", "*/echo/public/y"} {
			if strings.HasSuffix(atom, ".") && strings.HasSuffix(place, "*y") {
				atom += "/" // "/.y" is a name
			}
			target := strings.Replace(place, "*", atom, 1)
			e.rawTarget(t, e.host, target, refused)
			e.api.look()
			a := rawRequest(t, e.gw.address(), "GET "+target+" HTTP/1.1\r\nHost: normalize."+e.host+"\r\nConnection: close\r\n\r\n")
			require.NotNil(t, a, target)
			for _, seen := range e.api.look() {
				require.True(t, publicByAnyReading(seen), "%q became %q", target, seen)
			}
		}
	}
}

// publicByAnyReading decodes and cleans as often as anything would.
func publicByAnyReading(target string) bool {
	if strings.ContainsAny(target, ";\\#") || strings.Contains(target, "//") {
		return false
	}
	for range 3 {
		if clean := path.Clean(target); clean != "/echo/public" && !strings.HasPrefix(clean, "/echo/public/") {
			return false
		}
		decoded, err := url.PathUnescape(target)
		if err != nil {
			return false
		}
		target = decoded
	}
	return true
}
