package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/e2e/pki"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestRealKeycloakCertificates lets a real Keycloak judge a client that is
// authenticated by its certificate (RFC 8705), which is what its introspection by
// Envoy rests on, too.
func TestRealKeycloakCertificates(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(upstream.Close)
	folder := t.TempDir()
	ca := pki.New(t, "test")
	own := ca.Issue(t, pki.Leaf{Names: []string{"127.0.0.1"}})
	client := ca.Issue(t, pki.Leaf{Names: []string{"photos-rs"}})
	as := keycloaktest.StartTLS(t, keycloak.TLS{
		Certificate: pki.Write(t, folder, "server.crt", own.Certificate), Key: pki.Write(t, folder, "server.key", own.Key),
		ClientCA: pki.Write(t, folder, "ca.pem", ca.PEM),
	})
	p := newPlane(t)
	pki.Write(t, p.Dir, "ca.pem", ca.PEM)
	pki.Write(t, p.Dir, "client.crt", client.Certificate)
	pki.Write(t, p.Dir, "client.key", client.Key)
	issuer := as.SecureURL() + "/realms/" + keycloak.Realm
	config := strings.Replace(p.config(issuer, "albums"), "http://127.0.0.1:1", upstream.URL, 1) + "plugin: {wasm: \"" + servertest.Module(t) + "\"}\n"
	p.Write(strings.Replace(config, "client: {register: {}}", `tls: {ca_file: ca.pem}
    client:
      register: {}
      token_endpoint_auth_method: tls_client_auth
      certificate_file: client.crt
      private_key: {file: client.key}`, 1))
	p.Start()
	s := p.Until("all is well", allWell)
	require.Equal(t, "tls_client_auth", s.Sites[0].AuthMethod)
	require.Equal(t, 1, s.Sites[0].Resources.Registered)

	// Envoy shows the same certificate: introspection rests on it alone, and says that
	// a token of somebody else's is not active; without it, it would fail with 503.
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy has acknowledged everything", servertest.Acknowledged)
	e.requireTicket("/albums/1")
	require.Equal(t, http.StatusUnauthorized, e.Get("/albums/1", "no-token-of-this-server").StatusCode)
	require.NoError(t, as.ImportPolicies(t.Context(), s.Sites[0].ClientID, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"view"}}))
	challenge := e.Get("/albums/1", "").Header.Get("WWW-Authenticate")
	_, ticket, _ := strings.Cut(challenge, `ticket="`)
	ticket, _, _ = strings.Cut(ticket, `"`)
	// By https, since the issuer is what the token was asked for at.
	trusted := x509.NewCertPool()
	require.True(t, trusted.AppendCertsFromPEM(ca.PEM))
	person := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}}
	ask := func(bearer string, form url.Values) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := person.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		var answer struct {
			Token string `json:"access_token"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
		require.NotEmpty(t, answer.Token)
		return answer.Token
	}
	token := ask("", url.Values{"grant_type": {"password"}, "client_id": {"app"}, "username": {"alice"}, "password": {"alice"}})
	rpt := ask(token, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "ticket": {ticket}})
	require.Equal(t, http.StatusOK, e.Get("/albums/1", rpt).StatusCode)
	dump, err := e.ConfigDump(t.Context())
	require.NoError(t, err)
	for _, shown := range []string{p.Log.String(), dump} {
		require.NotContains(t, shown, strings.Split(string(client.Key), "\n")[1])
	}
}
