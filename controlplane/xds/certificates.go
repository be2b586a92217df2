package xds

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// ErrCertificates is wrapped by what [Certificates.Load] says of its files.
var ErrCertificates = errors.New("xds: the TLS files cannot be used")

// Certificates are the server's certificate and the authorities that an Envoy's
// has to be of, from files. Safe for concurrent use, but Load, which one goroutine
// calls.
type Certificates struct {
	// Certificate, Key and ClientCA are names of PEM files.
	Certificate, Key, ClientCA string

	seen    [sha256.Size]byte
	current atomic.Pointer[tls.Config]
}

// Load reads the files, and reports whether they differ from what was read last.
// With an error, what was read before stays in use.
func (c *Certificates) Load() (changed bool, err error) {
	var content [3][]byte
	h := sha256.New()
	for i, name := range []string{c.Certificate, c.Key, c.ClientCA} {
		if content[i], err = os.ReadFile(name); err != nil { //nolint:gosec // the operator names the files
			return false, fmt.Errorf("%w: %w", ErrCertificates, err)
		}
		_, _ = fmt.Fprintf(h, "%d ", len(content[i]))
		_, _ = h.Write(content[i])
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if c.current.Load() != nil && sum == c.seen {
		return false, nil
	}
	pair, err := tls.X509KeyPair(content[0], content[1])
	if err != nil {
		return false, fmt.Errorf("%w: %s and %s: %w", ErrCertificates, c.Certificate, c.Key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content[2]) {
		return false, fmt.Errorf("%w: %s: no certificate in it", ErrCertificates, c.ClientCA)
	}
	c.seen = sum
	c.current.Store(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		// A resumed session would pass by a client_ca that has changed.
		SessionTicketsDisabled: true,
	})
	return true, nil
}

// ServerOption makes a server demand certificates. Load has succeeded before.
func (c *Certificates) ServerOption() grpc.ServerOption {
	return grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}))
}

// HTTP makes a server of HTTP/1.1 demand the same certificates. Load has succeeded
// before.
func (c *Certificates) HTTP() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := c.current.Load().Clone()
			current.NextProtos = []string{"http/1.1"}
			return current, nil
		},
	}
}

// trusts reports whether a connection would still be let in.
func (c *Certificates) trusts(state *tls.ConnectionState) bool {
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	options := x509.VerifyOptions{
		Roots: c.current.Load().ClientCAs, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, between := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(between)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err == nil
}
