package listen

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
)

// ErrCertificates is wrapped by what [Certificates.Load] says of its files.
var ErrCertificates = errors.New("the TLS files cannot be used")

// Certificates are a server's certificate, and the authorities that its clients' have to
// be of, from PEM files. The files are read anew for each connection: what renews
// certificates puts new files in their place. It is safe for concurrent use.
type Certificates struct {
	// Certificate and Key are the server's. ClientCA is empty where clients show none.
	Certificate, Key, ClientCA string
	// Logger is told of files that replace others, and of files that cannot be used.
	Logger *slog.Logger

	mu     sync.Mutex
	seen   [sha256.Size]byte
	inUse  *certificates
	failed error
	// failing is since when there is such an error.
	failing time.Time
}

type certificates struct {
	pair    tls.Certificate
	chain   []*x509.Certificate
	clients *x509.CertPool // nil without a ClientCA
}

// NewCertificates returns Certificates of files whose relative names are beside the file at path.
func NewCertificates(path, certificate, key, clientCA string, logger *slog.Logger) *Certificates {
	beside := func(name string) string {
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(path), name)
	}
	return &Certificates{Certificate: beside(certificate), Key: beside(key), ClientCA: beside(clientCA), Logger: logger}
}

// Load reads the files. With an error, those read before stay in use.
func (c *Certificates) Load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.inUse
	err := c.load()
	switch {
	case err != nil && (c.failed == nil || c.failed.Error() != err.Error()) && before != nil:
		c.Logger.Error("TLS files not taken over; those before stay in use", slog.String("certificate", c.Certificate), slog.Any("error", err))
	case before != nil && c.inUse != before:
		c.Logger.Info("TLS files taken over", slog.String("certificate", c.Certificate))
	}
	if c.failed == nil {
		c.failing = time.Now()
	}
	c.failed = err
	return err
}

func (c *Certificates) load() error {
	var content [3][]byte
	h := sha256.New()
	for i, name := range []string{c.Certificate, c.Key, c.ClientCA} {
		if name == "" {
			continue
		}
		var err error
		if content[i], err = os.ReadFile(name); err != nil { //nolint:gosec // the operator names the files
			return fmt.Errorf("%w: %w", ErrCertificates, err)
		}
		part := sha256.Sum256(content[i])
		_, _ = h.Write(part[:]) // never fails
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if c.inUse != nil && sum == c.seen {
		return nil
	}
	pair, err := tls.X509KeyPair(content[0], content[1])
	if err != nil {
		return fmt.Errorf("%w: %s and %s: %w", ErrCertificates, c.Certificate, c.Key, err)
	}
	next := &certificates{pair: pair}
	for _, der := range pair.Certificate {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrCertificates, c.Certificate, err)
		}
		next.chain = append(next.chain, one)
	}
	if c.ClientCA != "" {
		next.clients = x509.NewCertPool()
		if !next.clients.AppendCertsFromPEM(content[2]) {
			return fmt.Errorf("%w: %s: no certificate in it", ErrCertificates, c.ClientCA)
		}
	}
	c.seen, c.inUse = sum, next
	return nil
}

// Failed returns why the files as they are now are not in use, and since when; nil when
// they are.
func (c *Certificates) Failed() (since time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failing, c.failed
}

// EndsSoon returns when the certificate in use ends, and whether that is so soon that it
// should have been renewed; since is from when on it was.
func (c *Certificates) EndsSoon(now time.Time) (ends, since time.Time, soon bool) {
	return clientauth.EndsSoon(c.current().chain, now)
}

func (c *Certificates) current() *certificates {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inUse
}

// Config is for a server that speaks protocols. Where there is a ClientCA, clients is
// what is asked of those who connect. Load has succeeded before.
func (c *Certificates) Config(clients tls.ClientAuthType, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			_ = c.Load() // it has logged why those before stay
			now := c.current()
			config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, Certificates: []tls.Certificate{now.pair}}
			if now.clients != nil {
				config.ClientAuth, config.ClientCAs = clients, now.clients
				// A resumed session would pass by a client_ca that has changed.
				config.SessionTicketsDisabled = true
			}
			return config, nil
		},
	}
}

// Watch reads the files every so often until ctx ends, and calls replaced when others
// are in use than before.
func (c *Certificates) Watch(ctx context.Context, every time.Duration, replaced func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for known := c.current(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_ = c.Load() // it has logged why those before stay
		if now := c.current(); now != known {
			known = now
			replaced()
		}
	}
}

// Trusts reports whether a client that has connected would be let in again.
func (c *Certificates) Trusts(state *tls.ConnectionState) bool {
	authorities := c.current().clients
	if authorities == nil || state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	options := x509.VerifyOptions{
		Roots: authorities, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, between := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(between)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err == nil
}
