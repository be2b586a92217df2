package server_test

import (
	"crypto/tls"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/pki"
)

// TestCertificatesThatEnd: status warns of a certificate that ends soon, the authorization
// server's and that of listen.xds_tls, until another one is there. A connection from before
// keeps nobody from seeing it.
func TestCertificatesThatEnd(t *testing.T) {
	t.Parallel()
	ca := pki.New(t, "umagate test")
	soon := pki.Leaf{Names: []string{"127.0.0.1"}, NotAfter: time.Now().Add(5 * time.Minute)} // of an hour and five minutes
	later := pki.Leaf{Names: []string{"127.0.0.1"}}
	var shown atomic.Pointer[tls.Certificate]
	show := func(leaf pki.Leaf) {
		pair := ca.Issue(t, leaf)
		certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		require.NoError(t, err)
		shown.Store(&certificate)
	}
	show(later)
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	front := httptest.NewUnstartedServer(as)
	front.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*shown.Load()}}, nil
	}}
	front.StartTLS()
	t.Cleanup(front.Close)
	as.SetIssuer(front.URL)

	p := newPlane(t)
	p.Options.Intervals.Site.Health = 50 * time.Millisecond
	own := func(leaf pki.Leaf) {
		pair := ca.Issue(t, leaf)
		pki.Write(t, p.Dir, "xds.key", pair.Key)
		pki.Write(t, p.Dir, "xds.crt", pair.Certificate)
	}
	own(later)
	pki.Write(t, p.Dir, "ca.pem", ca.PEM)
	p.Write(strings.NewReplacer(
		`xds: "127.0.0.1:0"`, `xds: "127.0.0.1:0", xds_tls: {certificate: xds.crt, key: xds.key, client_ca: ca.pem}`,
		"    client: {register: {}}", "    client: {register: {}}\n    tls: {ca_file: ca.pem}",
	).Replace(p.config(front.URL, "albums")))
	p.Start()
	p.Until("all is well", allWell)

	show(soon)
	front.CloseClientConnections() // or else the one from before goes on, as it may
	s := p.Until("the AS's is told", func(s server.Status) bool { return has(s, health.CertificateEnding) })
	require.Equal(t, "photos", s.Conditions[0].Site)
	require.Contains(t, s.Conditions[0].Message, "that of the authorization server at 127.0.0.1:")
	require.Contains(t, s.Conditions[0].Message, soon.NotAfter.UTC().Format(time.RFC3339))
	show(later) // the connection is still one of before
	p.Until("all is well", allWell)

	own(soon)
	s = p.Until("that of listen.xds_tls is told", func(s server.Status) bool { return has(s, health.CertificateEnding) })
	require.Contains(t, s.Conditions[0].Message, "listen.xds_tls")
	require.Empty(t, s.Conditions[0].Site)
	require.WithinDuration(t, soon.NotAfter, s.Conditions[0].Since, servertest.Within*5)
	own(later)
	p.Until("all is well", allWell)
}
