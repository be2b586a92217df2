package site_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

func TestParseClaim(t *testing.T) {
	for text, want := range map[string][]string{
		"sub":                        {"sub"},
		"realm_access.roles":         {"realm_access", "roles"},
		`https://example\.com/roles`: {"https://example.com/roles"},
		`resource_access.a\.b.roles`: {"resource_access", "a.b", "roles"},
		`a\\b`:                       {`a\b`},
		`a\\.b`:                      {`a\`, "b"},
		"a b":                        {"a b"},
		"":                           nil,
		".":                          nil,
		"a.":                         nil,
		".a":                         nil,
		"a..b":                       nil,
		`a\`:                         nil,
		`a\b`:                        nil,
	} {
		got, err := site.ParseClaim(text)
		require.Equal(t, want, got, text)
		require.Equal(t, want == nil, err != nil, text)
	}
}

// TestCompileClaims: the filter gets the names as paths, and the roles where the AS has
// them.
func TestCompileClaims(t *testing.T) {
	const text = `
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "https://as.example.com", client: {register: {}}}
  token: {claims: {tenant: [acme]}}
  resources:
  - name: users
    conditions:
    - paths: ["/users/{user}", "/users/{user}/**"]
      scopes: [view]
      claims: {sub: ["{user}", 'CORP\root', '\{x\}'], realm_access.x: [y, 42, -7, true, false, 123456789012345678901234567890]}
      roles: [admin]
      groups: [staff]
`
	file, err := site.Parse("umagate.yaml", []byte(text), site.Environment{})
	require.NoError(t, err)
	for _, tt := range []struct {
		dialect as.DialectName
		roles   []string
	}{{as.DialectKeycloak, []string{"realm_access", "roles"}}, {as.DialectGeneric, []string{"roles"}}, {"", []string{"roles"}}} {
		compiled, err := site.Compile(file, map[string]site.Facts{"photos": {
			Introspection: "https://as.example.com/i", Permission: "https://as.example.com/p", Dialect: tt.dialect,
		}})
		require.NoError(t, err)
		require.Equal(t, []config.Claim{{Path: []string{"tenant"}, AnyOf: []string{"acme"}}}, compiled.Sites[0].Token.Claims)
		require.Equal(t, []config.Claim{
			{Path: []string{"realm_access", "x"}, AnyOf: []string{"y", "42", "-7", "true", "false", "123456789012345678901234567890"}},
			{Path: []string{"sub"}, AnyOf: []string{`CORP\root`, "{x}"}, Variables: []string{"user"}},
			{Path: tt.roles, AnyOf: []string{"admin"}},
			{Path: []string{"groups"}, AnyOf: []string{"staff"}},
		}, compiled.Sites[0].Resources[0].Conditions[0].Claims)
	}
	named, err := site.Parse("umagate.yaml", []byte(strings.Replace(strings.Replace(text, "realm_access.x", "roles", 1), "issuer:", "dialect: keycloak, issuer:", 1)), site.Environment{})
	require.NoError(t, err)
	require.Len(t, named.Warnings, 1)
	require.Contains(t, named.Warnings[0].Error(), "realm_access.roles")
}
