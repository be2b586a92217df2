package envoyconf_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
)

// TestEvaluation: a token is the credential of the call that asks what it may. Envoy adds
// none to it, not even a certificate.
func TestEvaluation(t *testing.T) {
	t.Parallel()
	file, err := site.Parse("umagate.yaml", []byte(`
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:8080
  token: {evaluate: at_as}
  authorization_server: {issuer: https://as.example.com, client: {register: {}}}
  resources:
  - {name: albums, id: a, conditions: [{paths: ["/a"], scopes: [view]}]}
`), site.Environment{})
	require.NoError(t, err)
	facts := site.Facts{
		Token: "https://as.example.com/token", Introspection: "https://as.example.com/introspect", Permission: "https://as.example.com/permission",
		Dialect: as.DialectKeycloak, EvaluatesTokens: true, Audience: "photos-api", ClientCertificate: true,
	}
	in := envoyconf.Input{File: file, Facts: map[string]site.Facts{"photos": facts}}
	in.Config, err = site.Compile(file, in.Facts)
	require.NoError(t, err)
	evaluation := in.Config.Sites[0].AuthorizationServer.Evaluation
	require.Equal(t, "photos-api", evaluation.Audience)
	require.Equal(t, "/token", evaluation.Path)
	clusters, err := envoyconf.Clusters(in)
	require.NoError(t, err)
	texts := map[string]string{}
	for _, c := range clusters {
		text, err := envoyconf.YAML(c)
		require.NoError(t, err)
		texts[c.GetName()] = string(text)
	}
	require.Len(t, texts, 3)
	for name, text := range texts {
		if name == site.EvaluationCluster("photos") {
			require.NotContains(t, text, "credential_injector")
			require.NotContains(t, text, "certificate_sds")
			continue
		}
		require.Contains(t, text, "certificate_sds", name)
	}

	for _, lacks := range []func(*site.Facts){
		func(f *site.Facts) { f.EvaluatesTokens = false }, func(f *site.Facts) { f.Audience = "" }, func(f *site.Facts) { f.Token = "" },
	} {
		less := facts
		lacks(&less)
		compiled, err := site.Compile(file, map[string]site.Facts{"photos": less})
		require.ErrorIs(t, err, site.ErrIncomplete)
		require.True(t, compiled.Sites[0].AuthorizationServer.Unknown, "the site denies")
	}
}
