package api

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// ErrTLS is wrapped by what is wrong with the files of [TLS].
var ErrTLS = errors.New("the TLS files of the API cannot be used")

// tlsCheck is how long files that were read are taken for the same.
const tlsCheck = 2 * time.Second

// TLS is a server's certificate, and the CA of callers', from PEM files that are
// read anew when they change. It is safe for concurrent use.
type TLS struct {
	// Certificate and Key are the server's; ClientCA is empty without callers that
	// have a certificate.
	Certificate, Key, ClientCA string
	Logger                     *slog.Logger

	mu      sync.Mutex
	seen    [sha256.Size]byte
	checked time.Time
	current *tls.Config
}

// Load reads the files. With an error, those read before stay in use.
func (t *TLS) Load() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.load()
}

func (t *TLS) load() error {
	t.checked = time.Now()
	h := sha256.New()
	var content [3][]byte
	for i, name := range []string{t.Certificate, t.Key, t.ClientCA} {
		if name == "" {
			continue
		}
		var err error
		if content[i], err = os.ReadFile(name); err != nil { //nolint:gosec // the operator names the files
			return fmt.Errorf("%w: %w", ErrTLS, err)
		}
		part := sha256.Sum256(content[i])
		_, _ = h.Write(part[:]) // never fails
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if t.current != nil && sum == t.seen {
		return nil
	}
	pair, err := tls.X509KeyPair(content[0], content[1])
	if err != nil {
		return fmt.Errorf("%w: %s and %s: %w", ErrTLS, t.Certificate, t.Key, err)
	}
	next := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"},
		// A resumed session would pass by a client_ca that has changed.
		SessionTicketsDisabled: true,
	}
	if t.ClientCA != "" {
		next.ClientCAs = x509.NewCertPool()
		if !next.ClientCAs.AppendCertsFromPEM(content[2]) {
			return fmt.Errorf("%w: %s: no certificate in it", ErrTLS, t.ClientCA)
		}
		// Without one, a caller may have a token.
		next.ClientAuth = tls.VerifyClientCertIfGiven
	}
	t.seen, t.current = sum, next
	return nil
}

// Config is for a server. Load has succeeded before.
func (t *TLS) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			if time.Since(t.checked) > tlsCheck {
				if err := t.load(); err != nil {
					t.Logger.Error("TLS files of the API not taken over; those before stay in use", slog.Any("error", err))
				}
			}
			return t.current, nil
		},
	}
}
