package listen_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/e2e/pki"
)

// files is a server's pair and its clients' authority, in a folder.
type files struct {
	t            *testing.T
	folder       string
	servers      *pki.Authority
	certificates *listen.Certificates
}

func newFiles(t *testing.T) *files {
	t.Helper()
	f := &files{t: t, folder: t.TempDir(), servers: pki.New(t, "servers")}
	f.issue()
	f.certificates = listen.NewCertificates(f.folder+"/umagate.yaml", "crt", "key", "", slog.New(slog.DiscardHandler))
	return f
}

func (f *files) issue() {
	f.t.Helper()
	pair := f.servers.Issue(f.t, pki.Leaf{Names: []string{"127.0.0.1"}})
	pki.Write(f.t, f.folder, "crt", pair.Certificate)
	pki.Write(f.t, f.folder, "key", pair.Key)
}

// connect makes a connection with a certificate of that authority, and returns the
// server's certificate and what the server saw.
func (f *files) connect(of *pki.Authority) (*x509.Certificate, *tls.ConnectionState, error) {
	f.t.Helper()
	roots := x509.NewCertPool()
	require.True(f.t, roots.AppendCertsFromPEM(f.servers.PEM))
	client := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "127.0.0.1"}
	if of != nil {
		pair := of.Issue(f.t, pki.Leaf{Names: []string{"spiffe://x/edge"}})
		certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		require.NoError(f.t, err)
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}
	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	failed := make(chan error, 1)
	dialled := tls.Client(there, client)
	go func() {
		failed <- dialled.HandshakeContext(f.t.Context())
		_, _ = dialled.Read(make([]byte, 1)) // takes the alert of a server that refuses
	}()
	accepted := tls.Server(here, f.certificates.Config(tls.RequireAndVerifyClientCert, "http/1.1"))
	if err := accepted.HandshakeContext(f.t.Context()); err != nil {
		_ = here.Close()
		<-failed
		return nil, nil, err
	}
	if err := <-failed; err != nil {
		return nil, nil, err
	}
	state := accepted.ConnectionState()
	return dialled.ConnectionState().PeerCertificates[0], &state, nil
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	require.NoError(t, f.certificates.Load())
	first, _, err := f.connect(nil)
	require.NoError(t, err)

	f.issue()
	second, _, err := f.connect(nil)
	require.NoError(t, err)
	require.NotEqual(t, first.SerialNumber, second.SerialNumber, "the next connection has the new one")

	pki.Write(t, f.folder, "key", []byte("broken"))
	third, state, err := f.connect(nil)
	require.NoError(t, err)
	require.Equal(t, second.SerialNumber, third.SerialNumber, "what was before stays")
	_, err = f.certificates.Failed()
	require.ErrorIs(t, err, listen.ErrCertificates)
	require.False(t, f.certificates.Trusts(state), "it has no authority, so it trusts nobody")
}

func TestCertificatesOfClients(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	ours, theirs := pki.New(t, "ours"), pki.New(t, "theirs")
	f.certificates.ClientCA = pki.Write(t, f.folder, "ca", ours.PEM)
	require.NoError(t, f.certificates.Load())
	for _, of := range []*pki.Authority{nil, theirs} {
		_, _, err := f.connect(of)
		require.Error(t, err)
	}
	_, state, err := f.connect(ours)
	require.NoError(t, err)
	require.True(t, f.certificates.Trusts(state))
	require.False(t, f.certificates.Trusts(nil), "plain text")

	ctx, stop := context.WithCancel(t.Context())
	replaced, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		f.certificates.Watch(ctx, time.Millisecond, func() { replaced <- struct{}{} })
	}()
	defer func() { stop(); <-ended }()
	pki.Write(t, f.folder, "ca", []byte("none"))
	require.Eventually(t, func() bool { _, err := f.certificates.Failed(); return err != nil }, time.Minute, time.Millisecond)
	require.True(t, f.certificates.Trusts(state), "what was before stays")
	require.Empty(t, replaced)
	pki.Write(t, f.folder, "ca", theirs.PEM)
	<-replaced
	require.False(t, f.certificates.Trusts(state))
	_, err = f.certificates.Failed()
	require.NoError(t, err)
}
