package registration

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/health"
)

// peers are the certificates that the AS has shown, by host. It is safe for concurrent use.
type peers struct {
	through http.RoundTripper

	mu    sync.Mutex
	shown map[string][]*x509.Certificate
}

// RoundTrip implements [http.RoundTripper].
func (p *peers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.through.RoundTrip(r)
	if err == nil && resp.TLS != nil {
		p.mu.Lock()
		p.shown[r.URL.Host] = resp.TLS.PeerCertificates
		p.mu.Unlock()
	}
	return resp, err
}

// take returns what was shown since it was called last.
func (p *peers) take() map[string][]*x509.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	shown := p.shown
	p.shown = map[string][]*x509.Certificate{}
	return shown
}

// tellCertificates tells of certificates that end soon: those that the AS shows, and the
// one of the file that the client shows. A connection that lasts shows the one that it
// began with, which may have been renewed since: only what a connection shows that began
// after the last probe is told.
func (w *Worker) tellCertificates(now time.Time) {
	shown := w.connection.peers.take()
	var ending []error
	for _, host := range slices.Sorted(maps.Keys(shown)) {
		if ends, _, soon := clientauth.EndsSoon(shown[host], now); soon {
			ending = append(ending, fmt.Errorf("that of the authorization server at %s: %s", host, ends.UTC().Format(time.RFC3339)))
		}
	}
	if again := len(ending) > 0; again != w.prober.ending {
		w.prober.ending, ending = again, nil
	}
	if w.prober.ending {
		w.connection.closeIdle()
	}
	if own := w.connection.certificate.Load(); own != nil && w.account.site.AuthorizationServer.Client.TokenEndpointAuthMethod == clientauth.TLS {
		if ends, _, soon := clientauth.EndsSoon(parsed(own), now); soon {
			ending = append(ending, fmt.Errorf("the client's, authorization_server.client.certificate_file: %s", ends.UTC().Format(time.RFC3339)))
		}
	}
	w.Set(health.CertificateEnding, errors.Join(ending...))
}

func parsed(pair *tls.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, der := range pair.Certificate {
		if c, err := x509.ParseCertificate(der); err == nil {
			out = append(out, c)
		}
	}
	return out
}
