package site_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
)

const photos = `
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server:
    issuer: https://as.example.com/realms/demo
    client: {id: rs, secret: "${SECRET}"}
  resources:
  - name: albums
    conditions:
    - {paths: ["/albums/{id}"], methods: [GET], scopes: [view]}
    - {paths: ["/albums/{id}"], methods: [PUT], scope_expression: {rule: {and: [{var: 0}, {var: 1}]}, data: [edit, view]}, ticket_scopes: [edit]}
  - {name: health, conditions: [{paths: ["/healthz"], public: true}]}
`

func environment(vars map[string]string) site.Environment {
	return site.Environment{LookupEnv: func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}}
}

func TestParseAndCompile(t *testing.T) {
	f, err := site.Parse("umagate.yaml", []byte(photos), environment(map[string]string{"SECRET": "s3cret"}))
	require.NoError(t, err)
	require.Equal(t, "s3cret", f.Sites[0].AuthorizationServer.Client.Secret.Reveal())
	c, err := site.Compile(f, map[string]site.Facts{"photos": {
		Introspection: "https://as.example.com/introspect",
		Permission:    "https://as.example.com:8443/permission?x=1",
		ResourceIDs:   map[string]string{"albums": "r1"},
	}})
	require.NoError(t, err)
	require.Equal(t, "as.example.com:8443", c.Sites[0].AuthorizationServer.Permission.Authority)
	require.Equal(t, "/permission?x=1", c.Sites[0].AuthorizationServer.Permission.Path)
	require.JSONEq(t, `{"and":[{"var":0},{"var":1}]}`, string(c.Sites[0].Resources[0].Conditions[1].ScopeExpression.Rule))
	require.Equal(t, []string{"edit"}, c.Sites[0].Resources[0].Conditions[1].Ticket[0].ResourceScopes)
	require.Len(t, c.Revision, 16)
}
