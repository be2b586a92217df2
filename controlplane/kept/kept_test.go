package kept_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
	"github.com/umagate/umagate/controlplane/kept"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/decision"
)

// siteWith is a site with resources_at_as, and further lines.
func siteWith(t *testing.T, lines string) *site.Site {
	t.Helper()
	file, err := site.Parse("umagate.yaml", []byte(`
sites:
- name: api
  hosts: [api.example.com]
  authorization_server: {issuer: https://as.example.com, dialect: keycloak, client: {id: rs, secret: hush}}
`+lines), site.Environment{})
	require.NoError(t, err)
	return &file.Sites[0]
}

// policy compiles a site with what an AS keeps.
func policy(t *testing.T, s *site.Site, known *site.Kept) *decision.Policy {
	t.Helper()
	compiled, err := site.Compile(&site.File{Sites: []site.Site{*s}}, map[string]site.Facts{"api": {
		URI: "https://as.example.com", Introspection: "https://as.example.com/i", Permission: "https://as.example.com/p", Kept: known,
	}})
	require.NoError(t, err)
	p, err := decision.Compile(&compiled)
	require.NoError(t, err)
	return p
}

// TestOpensNothing: of random resources, methods as scopes or not, nothing passes that the
// policy enforcer does not let pass, whatever the order in which it has loaded them; and of
// what it lets pass in every order, most does.
func TestOpensNothing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(21, 22))
	requests, allowed, same := 0, 0, 0
	for n := range 120 {
		odd := n%3 == 2
		s := siteWith(t, fmt.Sprintf("  resources_at_as: {http_method_as_scope: %v}\n", n%4 == 1))
		var reading kept.Reading
		c := enforcertest.Config{MethodAsScope: n%4 == 1}
		for _, name := range enforcertest.Resources() {
			one := kept.Resource{ID: name, Name: name}
			one.Scopes = [][]string{nil, {"s1"}, {"s1", "s2"}, {"GET", "s3"}, {"GET", "HEAD", "POST"}}[r.IntN(5)]
			for range 1 + r.IntN(3) {
				path := enforcertest.SomePath(r, odd)
				one.URIs = append(one.URIs, path)
				c.Paths = append(c.Paths, enforcertest.Path{Name: name, Path: path, Scopes: one.Scopes})
			}
			reading.Resources = append(reading.Resources, one)
		}
		// A URI of two resources: the one that is loaded last counts.
		twice := len(c.PathsOf()) < len(c.Paths)
		served := enforcertest.Served{Config: enforcertest.Config{MethodAsScope: c.MethodAsScope}}
		for _, one := range reading.Resources {
			served.Resources = append(served.Resources, enforcertest.Resource{Name: one.Name, URIs: one.URIs, Scopes: one.Scopes})
		}
		compiled, err := kept.Compile(s, &reading)
		require.NoError(t, err, "%+v", reading)
		p := policy(t, s, &compiled.Kept)
		for range 15 {
			path := enforcertest.SomeTarget(r, c.PathsOf(), odd)
			if strings.ContainsAny(path, " {}") {
				continue // no request has it, or the enforcer may lose its way
			}
			for _, req := range enforcertest.SomeRequests(r, path) {
				// A permission has no other scopes than its resource.
				for i := range req.Permissions {
					at := slices.IndexFunc(reading.Resources, func(k kept.Resource) bool { return k.ID == req.Permissions[i].Resource })
					req.Permissions[i].Scopes = slices.DeleteFunc(slices.Clone(req.Permissions[i].Scopes), func(s string) bool { return !slices.Contains(reading.Resources[at].Scopes, s) })
					if len(req.Permissions[i].Scopes) == 0 && len(reading.Resources[at].Scopes) > 0 {
						req.Permissions = []enforcertest.Permission{}
						break
					}
				}
				always := true
				for range 6 {
					r.Shuffle(len(served.Resources), func(i, k int) { served.Resources[i], served.Resources[k] = served.Resources[k], served.Resources[i] })
					r.Shuffle(len(c.Paths), func(i, k int) { c.Paths[i], c.Paths[k] = c.Paths[k], c.Paths[i] })
					last := enforcertest.Config{MethodAsScope: c.MethodAsScope}
					for i, one := range c.Paths { // the one that is loaded last counts
						if !slices.ContainsFunc(c.Paths[i+1:], func(o enforcertest.Path) bool { return o.Path == one.Path }) {
							last.Paths = append(last.Paths, one)
						}
					}
					always = always && last.Allows(req) && (twice || served.Allows(req))
				}
				requests++
				here := enforcertest.Passes(p, req)
				require.False(t, here && !always, "%s passes here\n%+v\n%+v", req, reading, compiled.Resources)
				if always {
					allowed++
				}
				if here {
					same++
				}
			}
		}
	}
	t.Logf("%d requests; the enforcer lets %d pass, and %d of them pass here", requests, allowed, same)
	require.Greater(t, 2*same, allowed, "it is right and of no use")
}

// albums is a resource with those paths.
func albums(id string, uris ...string) kept.Resource {
	return kept.Resource{ID: id, Name: id, URIs: uris, Scopes: []string{"view"}}
}

// TestPaths: what comes of resources, and of those that were there.
func TestPaths(t *testing.T) {
	t.Parallel()
	const atAS = "  resources_at_as: {}\n"
	has := func(id string, scopes ...string) []enforcertest.Permission {
		return []enforcertest.Permission{{Resource: id, Scopes: scopes}}
	}
	none := []enforcertest.Permission{}
	file := func(condition string) string {
		return atAS + "  resources: [{name: open, conditions: [" + condition + "]}]\n"
	}
	for _, tt := range []struct {
		name, lines string
		reading     kept.Reading
		request     enforcertest.Request
		want        bool
		note        string
	}{
		{"one of the scopes", atAS, kept.Reading{Resources: []kept.Resource{albums("a", "/albums/*")}}, enforcertest.Request{Method: "GET", Path: "/albums/1", Permissions: has("a", "view")}, true, ""},
		{"of another resource", atAS, kept.Reading{Resources: []kept.Resource{albums("a", "/albums/*"), albums("b", "/b")}}, enforcertest.Request{Method: "GET", Path: "/albums/1", Permissions: has("b", "view")}, false, ""},
		{"no scopes: any permission", atAS, kept.Reading{Resources: []kept.Resource{{ID: "a", Name: "a", URIs: []string{"/*"}}}}, enforcertest.Request{Method: "GET", Path: "/x", Permissions: has("a")}, true, ""},
		{"no scopes: none", atAS, kept.Reading{Resources: []kept.Resource{{ID: "a", Name: "a", URIs: []string{"/*"}}}}, enforcertest.Request{Method: "GET", Path: "/x", Permissions: none}, false, ""},
		{"two with one URI", atAS, kept.Reading{Resources: []kept.Resource{albums("a", "/x"), albums("b", "/x")}}, enforcertest.Request{Method: "GET", Path: "/x", Permissions: has("a", "view")}, false, "is a path of"},
		{"a brace too many", atAS, kept.Reading{Resources: []kept.Resource{albums("a", "/*"), albums("b", "/x/{id")}}, enforcertest.Request{Method: "GET", Path: "/x/1", Permissions: has("a", "view")}, false, "a brace too few"},
		{"one value of a variable", atAS, kept.Reading{Resources: []kept.Resource{albums("stock", "/items/{id}/stock"), albums("special", "/items/a")}}, enforcertest.Request{Method: "GET", Path: "/items/a/stock", Permissions: has("stock", "view")}, false, "special"},
		{"beside a resource with the same variable", atAS, kept.Reading{Resources: []kept.Resource{albums("stock", "/items/{id}/stock"), albums("items", "/items/{id}", "/items/*")}}, enforcertest.Request{Method: "GET", Path: "/items/b/stock", Permissions: has("stock", "view")}, true, ""},
		{"one value, with more variables", atAS, kept.Reading{Resources: []kept.Resource{albums("stock", "/items/{id}/stock/{x}"), albums("special", "/items/a")}}, enforcertest.Request{Method: "GET", Path: "/items/a/stock/1", Permissions: has("stock", "view")}, false, "special"},
		{"another value, with more variables", atAS, kept.Reading{Resources: []kept.Resource{albums("stock", "/items/{id}/stock/{x}"), albums("special", "/items/a")}}, enforcertest.Request{Method: "GET", Path: "/items/b/stock/1", Permissions: has("stock", "view")}, true, ""},
		{"another value", atAS, kept.Reading{Resources: []kept.Resource{albums("stock", "/items/{id}/stock"), albums("special", "/items/a")}}, enforcertest.Request{Method: "GET", Path: "/items/b/stock", Permissions: has("stock", "view")}, true, ""},
		{"beside it", atAS, kept.Reading{Resources: []kept.Resource{albums("a", "/*"), albums("b", "/x/{id")}}, enforcertest.Request{Method: "GET", Path: "/y", Permissions: has("a", "view")}, true, ""},
		{"nothing, where everything passes", atAS + "  unmatched: allow\n", kept.Reading{}, enforcertest.Request{Method: "GET", Path: "/x"}, false, "no resource has a path"},
		{"what none names, where everything passes", atAS + "  unmatched: allow\n", kept.Reading{Resources: []kept.Resource{albums("a", "/x")}}, enforcertest.Request{Method: "GET", Path: "/y"}, true, ""},
		{
			"what was protected, where everything passes", atAS + "  unmatched: allow\n",
			kept.Reading{Resources: []kept.Resource{albums("a", "/x")}, Withdrawn: []string{"/secret/*"}},
			enforcertest.Request{Method: "GET", Path: "/secret/1"},
			false, "",
		},
		{
			"what was protected, below another", atAS + "  unmatched: allow\n",
			kept.Reading{Resources: []kept.Resource{albums("a", "/*")}, Withdrawn: []string{"/secret/*"}},
			enforcertest.Request{Method: "GET", Path: "/secret/1", Permissions: has("a", "view")},
			true, "",
		},
		{
			"what was protected, with any token", atAS + "  unmatched: authenticated\n",
			kept.Reading{Resources: []kept.Resource{albums("a", "/x")}, Withdrawn: []string{"/secret/*"}},
			enforcertest.Request{Method: "GET", Path: "/secret/1", Permissions: none},
			false, "",
		},
		{
			"what was protected, below what the file opens", file(`{paths: ["/pub/**"], public: true}`),
			kept.Reading{Resources: []kept.Resource{albums("a", "/x")}, Withdrawn: []string{"/pub/secret"}},
			enforcertest.Request{Method: "GET", Path: "/pub/secret"},
			false, "was protected",
		},
		{
			"beside it", file(`{paths: ["/pub/**"], public: true}`),
			kept.Reading{Resources: []kept.Resource{albums("a", "/x")}, Withdrawn: []string{"/pub/secret"}},
			enforcertest.Request{Method: "GET", Path: "/pub/page"},
			true, "",
		},
		{
			"what was protected and the file names", file(`{paths: ["/pub/**", /pub/secret], public: true}`),
			kept.Reading{Resources: []kept.Resource{albums("a", "/x")}, Withdrawn: []string{"/pub/secret"}},
			enforcertest.Request{Method: "GET", Path: "/pub/secret"},
			true, "",
		},
		{"the file wins", file(`{paths: ["/albums/**"], methods: [GET], public: true}`), kept.Reading{Resources: []kept.Resource{albums("a", "/albums/*")}}, enforcertest.Request{Method: "GET", Path: "/albums/1"}, true, ""},
		{"for what it names", file(`{paths: ["/albums/**"], methods: [GET], public: true}`), kept.Reading{Resources: []kept.Resource{albums("a", "/albums/*")}}, enforcertest.Request{Method: "PUT", Path: "/albums/1"}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := siteWith(t, tt.lines)
			compiled, err := kept.Compile(s, &tt.reading)
			require.NoError(t, err)
			require.Equal(t, tt.want, enforcertest.Passes(policy(t, s, &compiled.Kept), tt.request), "%+v", compiled)
			told := ""
			for _, n := range compiled.Notes {
				told += n.Text + "\n"
			}
			require.Contains(t, told, tt.note)
		})
	}
	open := siteWith(t, atAS+"  unmatched: allow\n")
	require.False(t, enforcertest.Passes(policy(t, open, nil), enforcertest.Request{Method: "GET", Path: "/x"}), "before the first look")
}

// TestNext: what is gone in numbers stays, and what was protected is remembered.
func TestNext(t *testing.T) {
	t.Parallel()
	a, b, c := albums("a", "/a"), albums("b", "/b", "/bb"), albums("c", "/c")
	first, err := (&kept.Reading{}).Next([]kept.Resource{a, b, c}, 1)
	require.NoError(t, err)
	require.Empty(t, first.Withdrawn)
	one, err := first.Next([]kept.Resource{a, c}, 1)
	require.NoError(t, err)
	require.Equal(t, []kept.Resource{a, c}, one.Resources)
	require.Equal(t, []string{"/b", "/bb"}, one.Withdrawn)
	back, err := one.Next([]kept.Resource{a, albums("d", "/b"), c}, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"/bb"}, back.Withdrawn)
	two, err := first.Next([]kept.Resource{a, albums("n", "/n")}, 1)
	require.NoError(t, err)
	require.Equal(t, []kept.Resource{a, b, c, albums("n", "/n")}, two.Resources)
	require.Equal(t, []string{"b", "c"}, two.Withheld)
	accepted, err := two.Next([]kept.Resource{a}, -1)
	require.NoError(t, err)
	require.Equal(t, []kept.Resource{a}, accepted.Resources)
	require.Empty(t, accepted.Withheld)
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf("/m/%d", i))
	}
	full, err := (&kept.Reading{}).Next([]kept.Resource{albums("m", many...)}, 1)
	require.NoError(t, err)
	_, err = full.Next(nil, 1)
	require.ErrorIs(t, err, kept.ErrWithdrawn)
}
