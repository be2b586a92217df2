package serve_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd/serve"
	"github.com/umagate/umagate/controlplane/server"
)

// writePair makes a certificate for 127.0.0.1 and puts it where the files are.
func writePair(t *testing.T, folder string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "oxd"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{"oxd.pem": {Type: "CERTIFICATE", Bytes: der}, "oxd.key": {Type: "PRIVATE KEY", Bytes: raw}} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600))
		stamp := time.Now().Add(time.Duration(serial) * time.Second) // a file system's clock may be coarse
		require.NoError(t, os.Chtimes(filepath.Join(folder, name), stamp, stamp))
	}
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}

// TestOXDOverTLS: the certificate is the file's, the new one after it was replaced,
// and the old one while the new one is broken.
func TestOXDOverTLS(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first := writePair(t, folder, 1)
	path := filepath.Join(folder, "umagate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
listen: {api: 127.0.0.1:0, xds: 127.0.0.1:0}
oxd:
  http: 127.0.0.1:0
  tls: {cert_file: oxd.pem, key_file: oxd.key}
  op_hosts: [{url: https://op.example.com}]
`), 0o600))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	started, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- server.Run(ctx, server.Options{
			Path: path, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Sources: []server.OpenSource{serve.Announce(func(web, _ string) { started <- web })},
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	var address string
	select {
	case address = <-started:
	case <-time.After(time.Minute):
		require.Fail(t, "not started within a minute")
	}
	serial := func(trusted *x509.Certificate) int64 {
		pool := x509.NewCertPool()
		pool.AddCert(trusted)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/health-check", http.NoBody)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, "running", string(body))
		return response.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial(first))
	second := writePair(t, folder, 2)
	require.EqualValues(t, 2, serial(second))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "oxd.key"), []byte("broken"), 0o600))
	require.EqualValues(t, 2, serial(second))
}
