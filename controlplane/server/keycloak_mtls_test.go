package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/e2e/pki"
)

// TestRealKeycloakCertificates lets a real Keycloak judge a client that is
// authenticated by its certificate (RFC 8705), which is what its introspection by
// Envoy rests on, too.
func TestRealKeycloakCertificates(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	ca := pki.New(t, "test")
	own := ca.Issue(t, pki.Leaf{Names: []string{"127.0.0.1"}})
	client := ca.Issue(t, pki.Leaf{Names: []string{"photos-rs"}})
	as := keycloaktest.StartTLS(t, keycloak.TLS{
		Certificate: pki.Write(t, folder, "server.crt", own.Certificate), Key: pki.Write(t, folder, "server.key", own.Key),
		ClientCA: pki.Write(t, folder, "ca.pem", ca.PEM),
	})
	p := newPlane(t)
	pki.Write(t, p.dir, "ca.pem", ca.PEM)
	pki.Write(t, p.dir, "client.crt", client.Certificate)
	pki.Write(t, p.dir, "client.key", client.Key)
	issuer := as.SecureURL() + "/realms/" + keycloak.Realm
	p.write(strings.Replace(p.config(issuer, "albums"), "client: {register: {}}", `tls: {ca_file: ca.pem}
    client:
      register: {}
      token_endpoint_auth_method: tls_client_auth
      certificate_file: client.crt
      private_key: {file: client.key}`, 1))
	p.start()
	s := p.until("all is well", allWell)
	require.Equal(t, "tls_client_auth", s.Sites[0].AuthMethod)
	require.Equal(t, 1, s.Sites[0].Resources.Registered)
	require.NotContains(t, p.log.String(), fmt.Sprintf("%s", client.Key))
}
