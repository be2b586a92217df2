package site_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// siteOf is a site of a file; what settings say is at its top.
func siteOf(name, settings, server, path string) string {
	return strings.NewReplacer("NAME", name, "SETTINGS", settings, "SERVER", server, "PATH", path).Replace(`
- name: NAME
  hosts: [api.example.com]
  SETTINGS
  authorization_server: {SERVER, client: {id: NAME, secret: {env: SECRET}}}
  resources: [{name: all, conditions: [{paths: ["PATH"], scopes: [view]}]}]
`)
}

const (
	asA = "issuer: https://a.example.com"
	asB = "issuer: https://b.example.com, issuer_aliases: [https://old.example.com]"
)

// TestSharedHosts has what is wrong, and what deserves a second look, of sites that have a
// host together.
func TestSharedHosts(t *testing.T) {
	t.Parallel()
	byIssuer := siteOf("b", "chosen_by: issuer", asB, "/**")
	tests := []struct {
		name, file       string
		faults, warnings string // the first one: path and part of the problem
	}{
		{name: "by prefix", file: "sites:" + siteOf("a", "path_prefixes: [/a]", asA, "/**") + siteOf("b", "path_prefixes: [/b]", asB, "/b/{id}") + siteOf("c", "", asA, "/c")},
		{name: "by issuer", file: "sites:" + siteOf("a", "", asA, "/**") + byIssuer},
		{name: "both alike", file: "sites:" + siteOf("a", "", asA, "/**") + siteOf("b", "", asB, "/**"), faults: "sites[1].hosts[0]: another site has this host already"},
		{name: "one prefix", file: "sites:" + siteOf("a", "path_prefixes: [/a]", asA, "/**") + siteOf("b", "path_prefixes: [/a]", asB, "/**"), faults: "sites[1].path_prefixes[0]: site a has this prefix"},
		{name: "a name of two", file: "sites:" + siteOf("a", "", "issuer: https://old.example.com", "/**") + byIssuer, faults: "sites[1].authorization_server.issuer: site a of the same hosts and paths has this issuer already"},
		{name: "upstream of no use", file: "sites:" + siteOf("a", "", asA, "/**") + siteOf("b", "chosen_by: issuer\n  upstream: http://127.0.0.1:1", asB, "/**"), faults: "sites[1].upstream: is of no use"},
		{name: "an alias twice", file: "sites:" + siteOf("a", "", asA+", issuer_aliases: [https://a.example.com]", "/**"), faults: "sites[0].authorization_server.issuer_aliases[0]: is there already"},
		{name: "an alias that is no URL", file: "sites:" + siteOf("a", "", asA+", issuer_aliases: [a]", "/**"), faults: "sites[0].authorization_server.issuer_aliases[0]: \"a\" is not"},
		{
			name: "one without the other", file: "groups: [{name: edge, match: {id: x}, sites: [a]}]\nsites:" + siteOf("a", "", asA, "/**") + byIssuer,
			faults: "sites[1].hosts: site a has a host in common, and group edge has only one of both",
		},
		{name: "a path below no prefix", file: "sites:" + siteOf("a", "path_prefixes: [/a, /x]", asA, "/b/{id}"), warnings: "sites[0].resources[0].conditions[0].paths[0]: \"/b/{id}\" is below none"},
		{
			name: "a path below another site's prefix", file: "sites:" + siteOf("a", "", asA, "/b/x") + siteOf("b", "path_prefixes: [/b]", asB, "/**"),
			warnings: "sites[0].resources[0].conditions[0].paths[0]: \"/b/x\" is below /b, which site b has",
		},
		{name: "opaque tokens", file: "sites:" + siteOf("a", "token: {without_issuer: allow}", asA, "/**") + byIssuer, warnings: "sites[0].token.without_issuer: a token of another"},
		{name: "opaque tokens where nothing is chosen", file: "sites:" + siteOf("a", "token: {without_issuer: allow}", asA, "/**"), warnings: "sites[0].token.without_issuer: has no effect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := site.Parse("umagate.yaml", []byte(tt.file), environment(map[string]string{"SECRET": "s"}))
			if tt.faults != "" {
				require.ErrorContains(t, err, tt.faults)
				return
			}
			require.NoError(t, err)
			if tt.warnings == "" {
				require.Empty(t, f.Warnings)
				return
			}
			require.NotEmpty(t, f.Warnings)
			require.Contains(t, f.Warnings[0].Path+": "+f.Warnings[0].Problem, tt.warnings)
		})
	}
}

// TestNamesOfTheAS: the filter knows the names of an AS where they matter, also of one that
// nobody has reached yet.
func TestNamesOfTheAS(t *testing.T) {
	t.Parallel()
	names := func(file string) [][]string {
		f, err := site.Parse("umagate.yaml", []byte("sites:"+file), environment(map[string]string{"SECRET": "s"}))
		require.NoError(t, err)
		compiled, err := site.Compile(f, nil)
		require.ErrorIs(t, err, site.ErrIncomplete)
		var out [][]string
		for _, s := range compiled.Sites {
			require.True(t, s.AuthorizationServer.Unknown)
			out = append(out, s.AuthorizationServer.Issuers)
		}
		return out
	}
	both := []string{"https://b.example.com", "https://old.example.com"}
	require.Equal(t, [][]string{nil}, names(siteOf("a", "", asA, "/**")))
	require.Equal(t, [][]string{both}, names(siteOf("b", "", asB, "/**")))
	require.Equal(t, [][]string{{"https://a.example.com"}, both}, names(siteOf("a", "", asA, "/**")+siteOf("b", "chosen_by: issuer", asB, "/**")))
}

// TestHostsOfOthersAreDeniedOnce: where unknown hosts pass, those of another group's sites
// do not, also one that two of them have.
func TestHostsOfOthersAreDeniedOnce(t *testing.T) {
	t.Parallel()
	f, err := site.Parse("umagate.yaml", []byte("unknown_hosts: allow\ngroups:\n- {name: edge, match: {id: x}, sites: [c]}\n- {name: rest, sites: [a, b]}\nsites:"+
		siteOf("a", "path_prefixes: [/a]", asA, "/**")+siteOf("b", "path_prefixes: [/b]", asB, "/**")+
		strings.Replace(siteOf("c", "", asA, "/**"), "api.example.com", "c.example.com", 1)), environment(map[string]string{"SECRET": "s"}))
	require.NoError(t, err)
	e := f.Effective(&f.Groups[0], nil)
	require.Len(t, e.Sites, 2)
	require.Equal(t, []string{"api.example.com"}, e.Sites[0].Hosts)
	require.Equal(t, config.RequireOAuthScopes, e.Sites[0].Require)
	require.Equal(t, "c", e.Sites[1].Name)
}
