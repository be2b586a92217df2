package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/pki"
)

// TestCertificatesOfCallers goes through whole handshakes: who is let in, as what,
// and that files that were replaced count for the next connection.
func TestCertificatesOfCallers(t *testing.T) {
	t.Parallel()
	servers, callers, strangers := pki.New(t, "servers"), pki.New(t, "callers"), pki.New(t, "strangers")
	p := newPlane(t)
	issue := func() {
		pair := servers.Issue(t, pki.Leaf{Names: []string{"127.0.0.1"}})
		p.Beside("api.pem", string(pair.Certificate))
		p.Beside("api.key", string(pair.Key))
	}
	issue()
	p.Beside("callers.pem", string(callers.PEM))
	p.Write(strings.Replace(p.config("http://127.0.0.1:1", "albums"), "listen: {", "listen: {api_tls: {certificate: api.pem, key: api.key, client_ca: callers.pem}, ", 1) +
		`api:
  local_token: "off"
  certificates:
  - {name: watcher, subject: "uri:spiffe://example.com/watcher", role: read}
  - {name: operator, subject: "uri:spiffe://example.com/operator", role: write}
`)
	p.Start()

	call := func(ca *pki.Authority, method, path, uri string) (int, error) {
		roots := x509.NewCertPool()
		require.True(t, roots.AppendCertsFromPEM(servers.PEM))
		config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		if ca != nil {
			pair := ca.Issue(t, pki.Leaf{Names: []string{uri}})
			certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
			require.NoError(t, err)
			// Shown whether the server asks for its CA or not.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
		}
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+p.API+path, nil)
		require.NoError(t, err)
		resp, err := (&http.Client{Transport: transport, Timeout: servertest.Within}).Do(req)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, resp.Body.Close()
	}
	tests := []struct {
		name   string
		ca     *pki.Authority
		uri    string
		method string
		path   string
		want   int // 0 for no handshake
	}{
		{"a reader reads", callers, "spiffe://example.com/watcher", "GET", "/v1/status", 200},
		{"a reader does not write", callers, "spiffe://example.com/watcher", "POST", "/v1/sites/photos/sync", 403},
		{"a writer writes", callers, "spiffe://example.com/operator", "POST", "/v1/sites/photos/sync", 202},
		{"of the CA, and nobody that is named", callers, "spiffe://example.com/other", "GET", "/v1/status", 401},
		{"no certificate", nil, "", "GET", "/v1/status", 401},
		{"no certificate, and nothing to know", nil, "", "GET", "/healthz", 200},
		{"the name, of another CA", strangers, "spiffe://example.com/operator", "GET", "/v1/status", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, err := call(tt.ca, tt.method, tt.path, tt.uri)
			if tt.want == 0 {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, code)
		})
	}

	t.Run("replaced files", func(t *testing.T) {
		servers = pki.New(t, "later servers")
		issue()
		p.Beside("callers.pem", string(strangers.PEM))
		require.Eventually(t, func() bool {
			code, err := call(strangers, "GET", "/v1/status", "spiffe://example.com/watcher")
			return err == nil && code == 200
		}, servertest.Within, 50*time.Millisecond)
		_, err := call(callers, "GET", "/v1/status", "spiffe://example.com/watcher")
		require.Error(t, err)
	})
}
