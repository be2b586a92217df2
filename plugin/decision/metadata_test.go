package decision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

const (
	albumsResource = "https://photos.example.com/albums"
	albumsMetadata = "https://photos.example.com/.well-known/oauth-protected-resource/albums"
	metadataPath   = "/.well-known/oauth-protected-resource"
)

// described is a site that tells clients of itself.
func described(s *config.Site) { describe(albumsResource)(s) }

func describe(resources ...string) func(*config.Site) {
	return func(s *config.Site) {
		s.Metadata = &config.Metadata{}
		for _, r := range resources {
			s.Metadata.Documents = append(s.Metadata.Documents, config.MetadataDocument{Resource: r, Document: `{"resource":"` + r + `"}`})
		}
	}
}

func TestMetadata(t *testing.T) {
	everything := func(s *config.Site) {
		s.Resources = append(s.Resources, config.Resource{Name: "rest", Conditions: []config.Condition{{Paths: []string{"/**"}, Public: true}}})
	}
	for _, tt := range []struct {
		name, method, path string
		change             func(*config.Site)
		want               string
	}{
		{"asked for", "GET", metadataPath + "/albums", described, "200 metadata_answered"},
		{"the host without a path", "GET", metadataPath, describe("https://photos.example.com"), "200 metadata_answered"},
		{"the same with a slash", "GET", metadataPath, describe("https://photos.example.com/"), "200 metadata_answered"},
		{"a path with a slash", "GET", metadataPath + "/mcp/", describe("https://photos.example.com/mcp/"), "200 metadata_answered"},
		{"without it", "GET", metadataPath + "/mcp", describe("https://photos.example.com/mcp/"), "403 unmatched_path"},
		{"another port", "GET", metadataPath, describe("http://photos.example.com:10000"), "200 metadata_answered"},
		{"a path of nobody", "GET", metadataPath + "/mcp", described, "403 unmatched_path"},
		{"no document at the root", "GET", metadataPath, described, "403 unmatched_path"},
		{"of a name that begins so", "GET", metadataPath + "-s/albums", described, "403 unmatched_path"},
		{"written", "POST", metadataPath + "/albums", described, "403 unmatched_path"},
		{"a site without", "GET", metadataPath + "/albums", func(*config.Site) {}, "403 unmatched_path"},
		{"beside a condition of all paths", "GET", metadataPath + "/albums", func(s *config.Site) {
			described(s)
			everything(s)
		}, "200 metadata_answered"},
		{"which has the other methods", "POST", metadataPath + "/albums", func(s *config.Site) {
			described(s)
			everything(s)
		}, "allow public"},
		{"a site that watches", "GET", metadataPath + "/albums", func(s *config.Site) {
			described(s)
			s.Mode = config.ModeMonitor
		}, "monitor unmatched_path"},
		{"a site that is off", "GET", metadataPath + "/albums", func(s *config.Site) {
			described(s)
			s.Mode = config.ModeOff
		}, "allow off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, siteOf(tt.change))
			x, step := h.start(ask(tt.method, tt.path, ""))
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
	h := newHarness(t, siteOf(described))
	_, step := h.start(ask("GET", metadataPath+"/albums", ""))
	require.JSONEq(t, `{"resource":"`+albumsResource+`"}`, step.Deny.Body)
	require.EqualValues(t, -1, step.Deny.GRPCStatus)
	require.Equal(t, "public, max-age=300", value(t, step.Deny.Headers, "cache-control"))
	require.Equal(t, "*", value(t, step.Deny.Headers, "access-control-allow-origin"))
	_, step = h.start(ask("OPTIONS", metadataPath+"/albums", "", "origin", "null", "access-control-request-method", "GET"))
	require.Equal(t, 204, step.Deny.Status)
	require.Equal(t, "*", value(t, step.Deny.Headers, "access-control-allow-origin"))
	require.Equal(t, "*", value(t, step.Deny.Headers, "access-control-allow-headers"))

	r := ask("GET", metadataPath+"/albums", "", browser...)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { h.start(r) }), 1.0) // the exchange
}

// TestMetadataHosts: each host has its own document, and a challenge names no other.
func TestMetadataHosts(t *testing.T) {
	h := newHarness(t, siteOf(func(s *config.Site) {
		s.Hosts = []string{"photos.example.com", "*.example.net"}
		s.Challenge = config.ChallengeBearer
		describe("https://photos.example.com", albumsResource, "https://a.example.net/albums/")(s)
	}))
	for _, tt := range []struct{ host, path, told string }{
		{"photos.example.com", "/albums/1", albumsMetadata},
		{"photos.example.com:443", "/albums/1?a=b", albumsMetadata},
		{"photos.example.com", "/reports/albums/1", "https://photos.example.com/.well-known/oauth-protected-resource"},
		{"a.example.net", "/albums/1", "https://a.example.net/.well-known/oauth-protected-resource/albums/"},
		{"a.example.net", "/reports/1", ""},
		{"b.example.net", "/albums/1", ""},
	} {
		r := ask("GET", tt.path, "")
		r.Headers[0].Value = tt.host
		_, step := h.decide(r, unknown)
		want := `Bearer realm="photos"`
		if tt.told != "" {
			want += `, resource_metadata="` + tt.told + `"`
		}
		require.Equal(t, want, value(t, step.Deny.Headers, "www-authenticate"), tt)
	}
	r := ask("GET", metadataPath+"/albums", "")
	r.Headers[0].Value = "b.example.net"
	x, step := h.start(r)
	require.Equal(t, "403 unmatched_path", outcome(x, step))
}

// TestChallengeScopes: a client is told what it has to ask for, and no more.
func TestChallengeScopes(t *testing.T) {
	told := `, resource_metadata="` + albumsMetadata + `"`
	oauth := func(s *config.Site) {
		described(s)
		s.Require = config.RequireOAuthScopes
		s.Metadata.Scopes = []string{"ignored"}
	}
	evaluated := func(s *config.Site) {
		described(s)
		s.Challenge, s.Metadata.Scopes = config.ChallengeBearer, []string{"openid", "mcp"}
	}
	for _, tt := range []struct {
		name, method, token, answer string
		change                      func(*config.Site)
		want                        string
	}{
		{"oauth, no token", "GET", "", "", oauth, `401 Bearer realm="photos", scope="view"` + told},
		{"oauth, a bad token", "GET", "t", unknown, oauth, `401 Bearer realm="photos", error="invalid_token", scope="view"` + told},
		{"oauth, all of a rule", "PUT", "", "", oauth, `401 Bearer realm="photos", scope="view edit"` + told},
		{"oauth, step-up keeps what the token has", "PUT", "t", `{"active":true,"scope":"openid view"}`, oauth, `403 Bearer realm="photos", error="insufficient_scope", scope="view edit openid"` + told},
		{"oauth, and nothing that no header has", "PUT", "t", `{"active":true,"scope":["o\"x","view"]}`, oauth, `403 Bearer realm="photos", error="insufficient_scope", scope="view edit"` + told},
		{"uma, no token", "GET", "", "", evaluated, `401 Bearer realm="photos", scope="openid mcp"` + told},
		{"uma, no scope would help", "GET", "t", `{"active":true}`, evaluated, `403 `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, siteOf(tt.change))
			_, step := h.decide(ask(tt.method, "/albums/1", tt.token), tt.answer)
			require.Equal(t, tt.want, outcomeStatus(step)+" "+value(t, step.Deny.Headers, "www-authenticate"))
		})
	}
	// What a rule excludes is not asked for again.
	h := newHarness(t, siteOf(func(s *config.Site) {
		oauth(s)
		s.Resources[0].Conditions[0] = config.Condition{
			Paths:           []string{"/albums/{id}"},
			Methods:         []string{"GET"},
			ScopeExpression: &config.ScopeExpression{Rule: []byte(`{"and":[{"var":0},{"!":{"var":1}}]}`), Data: []string{"view", "suspended"}},
		}
	}))
	_, step := h.decide(ask("GET", "/albums/1", "t"), `{"active":true,"scope":"view suspended other"}`)
	require.Equal(t, `Bearer realm="photos", error="insufficient_scope", scope="view other"`+told, value(t, step.Deny.Headers, "www-authenticate"))
}

func outcomeStatus(step decision.Step) string {
	return map[int]string{401: "401", 403: "403"}[step.Deny.Status]
}

func TestMetadataFaults(t *testing.T) {
	tenant := func(c *config.Config) {
		other := c.Sites[0]
		other.Name, other.PathPrefixes = "tenant", []string{"/tenants/a"}
		other.Resources = []config.Resource{{Name: "albums", ID: "r1", Conditions: []config.Condition{{Paths: []string{"/tenants/a/**"}, Scopes: []string{"view"}}}}}
		c.Sites = append(c.Sites, other)
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		at     string
	}{
		{"no document", siteOf(describe()), "sites[0].metadata.documents"},
		{"no URL", siteOf(describe("photos.example.com/albums")), "sites[0].metadata.documents[0].resource"},
		{"another scheme", siteOf(describe("ftp://photos.example.com")), "sites[0].metadata.documents[0].resource"},
		{"a query", siteOf(describe("https://photos.example.com?a=b")), "sites[0].metadata.documents[0].resource"},
		{"a fragment", siteOf(describe("https://photos.example.com/albums#a")), "sites[0].metadata.documents[0].resource"},
		{"user info", siteOf(describe("https://a@photos.example.com")), "sites[0].metadata.documents[0].resource"},
		{"other letters", siteOf(describe("https://Photos.example.com")), "sites[0].metadata.documents[0].resource"},
		{"a variable", siteOf(describe("https://photos.example.com/albums/{id}")), "sites[0].metadata.documents[0].resource"},
		{"dots", siteOf(describe("https://photos.example.com/a/../b")), "sites[0].metadata.documents[0].resource"},
		{"twice", siteOf(describe(albumsResource, "http://photos.example.com:81/albums")), "sites[0].metadata.documents[1].resource"},
		{"no JSON", siteOf(func(s *config.Site) {
			described(s)
			s.Metadata.Documents[0].Document = "{"
		}), "sites[0].metadata.documents[0].document"},
		{"a scope with a space", siteOf(func(s *config.Site) {
			described(s)
			s.Metadata.Scopes = []string{"a b"}
		}), "sites[0].metadata.scopes[0]"},
		{"another host", siteOf(describe("https://other.example.com")), "sites[0].metadata"},
		{"a path of another site", func(c *config.Config) {
			tenant(c)
			describe("https://photos.example.com/tenants/a")(&c.Sites[0])
		}, "sites[0].metadata"},
		{"not below the prefix", func(c *config.Config) {
			tenant(c)
			describe("https://photos.example.com")(&c.Sites[1])
		}, "sites[1].metadata"},
		{"others of the same paths, without", func(c *config.Config) {
			other := c.Sites[0]
			c.Sites[0].AuthorizationServer.Issuers = []string{"https://a"}
			other.Name, other.ChosenBy, other.AuthorizationServer.Issuers = "other", config.ChosenByIssuer, []string{"https://b"}
			c.Sites = append(c.Sites, other)
			described(&c.Sites[0])
		}, "sites[1].metadata"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := photos()
			tt.change(c)
			_, err := decision.Compile(c)
			var faults config.Faults
			require.ErrorAs(t, err, &faults)
			require.Len(t, faults, 1)
			require.Equal(t, tt.at, faults[0].Path)
		})
	}
}

// TestMetadataShared: on a host that sites share, each has the document of its own paths.
func TestMetadataShared(t *testing.T) {
	h := newHarness(t, func(c *config.Config) {
		issuers := func(s *config.Site, name string) { s.AuthorizationServer.Issuers = []string{name} }
		rest, tenant := &c.Sites[0], c.Sites[0]
		describe("https://photos.example.com")(rest)
		tenant.Name, tenant.PathPrefixes = "tenant", []string{"/tenants/a"}
		tenant.Resources = []config.Resource{{Name: "albums", ID: "r1", Conditions: []config.Condition{{Paths: []string{"/tenants/a/**"}, Scopes: []string{"view"}}}}}
		describe("https://photos.example.com/tenants/a/mcp")(&tenant)
		tenant.Challenge = config.ChallengeBearer
		issuers(&tenant, "https://a")
		partner := tenant
		partner.Name, partner.ChosenBy = "partner", config.ChosenByIssuer
		issuers(&partner, "https://b")
		c.Sites = append(c.Sites, tenant, partner)
	})
	for _, tt := range []struct{ path, want, site string }{
		{metadataPath, "200 metadata_answered", "photos"},
		{metadataPath + "/tenants/a/mcp", "200 metadata_answered", "tenant"},
		{metadataPath + "/tenants/a", "403 unmatched_path", "photos"},
		{metadataPath + "/Tenants/a/mcp", "400 ambiguous_path", ""},
	} {
		x, step := h.start(ask("GET", tt.path, ""))
		require.Equal(t, tt.want, outcome(x, step), tt.path)
		require.Equal(t, tt.site, x.Site(), tt.path)
	}
	x, step := h.decide(ask("GET", "/tenants/a/mcp/1", jwtOf(`{"iss":"https://b"}`)), unknown)
	require.Equal(t, "partner", x.Site())
	require.Contains(t, value(t, step.Deny.Headers, "www-authenticate"), `resource_metadata="https://photos.example.com`+metadataPath+`/tenants/a/mcp"`)
}
