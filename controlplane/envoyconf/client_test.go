package envoyconf_test

import (
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/e2e/pki"
)

// TestClientCertificate: both clusters of an AS show the client's certificate, which
// comes by SDS, and introspection needs no other credential (RFC 8705).
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	in := input(t, "testdata/pat.yaml")
	facts := in.Facts["photos"]
	facts.ClientCertificate, facts.ClientID = true, "photos"
	in.Facts["photos"] = facts
	var err error
	in.Config, err = site.Compile(in.File, in.Facts)
	require.NoError(t, err)
	require.Equal(t, "photos", in.Config.Sites[0].AuthorizationServer.Introspection.ClientID)
	clusters, err := envoyconf.Clusters(in)
	require.NoError(t, err)
	shown := 0
	for _, c := range clusters {
		if c.GetTransportSocket() == nil {
			continue
		}
		var context tlsv3.UpstreamTlsContext
		require.NoError(t, c.GetTransportSocket().GetTypedConfig().UnmarshalTo(&context))
		for _, s := range context.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs() {
			require.Equal(t, "umagate/photos/certificate", s.GetName())
			require.NotNil(t, s.GetSdsConfig().GetAds())
			shown++
		}
		if c.GetName() == site.IntrospectionCluster("photos") {
			require.NotContains(t, c.String(), "credential_injector")
		}
	}
	require.Equal(t, 2, shown)

	pair := pki.New(t, "test").Issue(t, pki.Leaf{Names: []string{"rs"}})
	got := envoyconf.Secrets(map[string]envoyconf.Credentials{
		"photos": {Certificate: envoyconf.ClientCertificate{Chain: string(pair.Certificate), Key: secret.New(string(pair.Key))}},
	})
	require.Len(t, got, 1)
	require.Equal(t, "umagate/photos/certificate", got[0].GetName())
	require.Equal(t, string(pair.Key), got[0].GetTlsCertificate().GetPrivateKey().GetInlineString())
}

// TestStaticClients: what Envoy can do by itself with each way of authentication.
func TestStaticClients(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(s *site.AuthorizationServer)
		want   string // empty: it works
	}{
		{"client_secret_jwt", func(s *site.AuthorizationServer) { s.Client.TokenEndpointAuthMethod = clientauth.SecretJWT }, "cannot sign the assertions of client_secret_jwt"},
		{"private_key_jwt", func(s *site.AuthorizationServer) { s.Client.TokenEndpointAuthMethod = clientauth.PrivateKeyJWT }, "umagate render bootstrap"},
		{"a certificate of umagate's", func(s *site.AuthorizationServer) { s.Client.TokenEndpointAuthMethod = clientauth.SelfSignedTLS }, "certificate_file"},
		{"a person's PAT", func(s *site.AuthorizationServer) { s.PAT.Grant = site.PATAuthorizationCode }, "keeps the login"},
		{"a certificate", func(s *site.AuthorizationServer) {
			s.Client.TokenEndpointAuthMethod, s.Client.Certificate, s.Client.PrivateKey = clientauth.TLS, "chain", secret.New("key")
		}, ""},
		{"client_secret_post", func(s *site.AuthorizationServer) { s.Client.TokenEndpointAuthMethod = clientauth.SecretPost }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := input(t, "testdata/pat.yaml")
			tt.change(&in.File.Sites[0].AuthorizationServer)
			static, err := envoyconf.Static(in)
			if tt.want == "" {
				require.NoError(t, err)
				noSecretOutside(t, static)
				return
			}
			require.ErrorIs(t, err, envoyconf.ErrInput)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func noSecretOutside(t *testing.T, static *bootstrapv3.Bootstrap) {
	t.Helper()
	rest := proto.CloneOf[*bootstrapv3.Bootstrap](static)
	rest.StaticResources.Secrets = nil
	require.NotContains(t, rest.String(), "value-of-")
	require.NotContains(t, rest.String(), `"key"`)
}
