package envoyconf_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
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
		func(f *site.Facts) {
			f.EvaluatesTokens, f.ClaimTokenFormat, f.TokenIntrospection = false, as.FormatAccessToken, "no URL"
		},
	} {
		less := facts
		lacks(&less)
		compiled, err := site.Compile(file, map[string]site.Facts{"photos": less})
		require.ErrorIs(t, err, site.ErrIncomplete)
		require.True(t, compiled.Sites[0].AuthorizationServer.Unknown, "the site denies")
	}
}

// TestEvaluationByTicket: the client's credential is that of the call that shows a token as
// a claim_token, and the PAT and introspection have theirs.
func TestEvaluationByTicket(t *testing.T) {
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
		Token: "https://as.example.com/token", Introspection: "https://as.example.com/rpt/status", Permission: "https://as.example.com/permission",
		Dialect: as.DialectGluu, ClaimTokenFormat: as.FormatIDToken, TokenIntrospection: "https://as.example.com/introspection", IntrospectionCredential: as.CredentialPAT,
	}
	injectors := func(t *testing.T, file *site.File, facts site.Facts) (*config.Evaluation, map[string]string) {
		t.Helper()
		in := envoyconf.Input{File: file, Facts: map[string]site.Facts{"photos": facts}}
		in.Config, err = site.Compile(file, in.Facts)
		require.NoError(t, err)
		clusters, err := envoyconf.Clusters(in)
		require.NoError(t, err)
		out := map[string]string{}
		for _, c := range clusters {
			text, err := envoyconf.YAML(c)
			require.NoError(t, err)
			for _, name := range []string{site.IntrospectionSecret("photos"), site.PATSecret("photos"), site.CertificateSecret("photos")} {
				_, injected, _ := strings.Cut(string(text), "credential") // a cluster has such a name, too
				if strings.Contains(injected, "name: "+name+"\n") || name == site.CertificateSecret("photos") && strings.Contains(string(text), name) {
					out[c.GetName()] += name
				}
			}
		}
		return in.Config.Sites[0].AuthorizationServer.Evaluation, out
	}
	evaluation, secrets := injectors(t, file, facts)
	require.Empty(t, evaluation.Audience)
	require.Equal(t, as.FormatIDToken, evaluation.ClaimTokenFormat)
	require.Equal(t, "/introspection", evaluation.TokenIntrospection.Path)
	require.Equal(t, site.IntrospectionCluster("photos"), evaluation.TokenIntrospection.Cluster)
	require.Equal(t, map[string]string{
		site.EvaluationCluster("photos"): site.IntrospectionSecret("photos"), site.IntrospectionCluster("photos"): site.PATSecret("photos"), site.ProtectionCluster("photos"): site.PATSecret("photos"),
	}, secrets)

	facts.ClientCertificate, facts.ClientID = true, "photos-api"
	evaluation, secrets = injectors(t, file, facts)
	require.Equal(t, "photos-api", evaluation.ClientID)
	require.Equal(t, site.CertificateSecret("photos"), secrets[site.EvaluationCluster("photos")])

	// Keycloak takes the token alone, unless the file says otherwise.
	facts = site.Facts{
		Token: facts.Token, Introspection: facts.Introspection, Permission: facts.Permission, Dialect: as.DialectKeycloak,
		EvaluatesTokens: true, ClaimTokenFormat: as.FormatIDToken, Audience: "photos-api",
	}
	evaluation, _ = injectors(t, file, facts)
	require.Empty(t, evaluation.ClaimTokenFormat)
	file.Sites[0].AuthorizationServer.ClaimTokenFormat = as.FormatAccessToken
	evaluation, secrets = injectors(t, file, facts)
	require.Equal(t, as.FormatAccessToken, evaluation.ClaimTokenFormat)
	require.Empty(t, evaluation.Audience)
	require.Equal(t, site.IntrospectionSecret("photos"), secrets[site.EvaluationCluster("photos")])
}
