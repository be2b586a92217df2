package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
)

// Token is a bearer token (RFC 6750) and who has it.
type Token struct {
	Name  string
	Value secret.Text
	Role  Role
	// Loopback: only calls from this machine may use it.
	Loopback bool
}

// Certificate is what a client certificate says, and who has it.
type Certificate struct {
	Name string
	// Subject is uri:URI, dns:NAME, email:ADDRESS or cn:NAME.
	Subject string
	Role    Role
}

// Credentials is an [Authenticator] of tokens and certificates. It is immutable.
type Credentials struct {
	tokens       []hashedToken
	certificates []Certificate
}

type hashedToken struct {
	sum      [sha256.Size]byte
	caller   Caller
	loopback bool
}

var _ Authenticator = (*Credentials)(nil)

// NewCredentials makes an authenticator. Of several certificates that fit, the
// first counts.
func NewCredentials(tokens []Token, certificates []Certificate) *Credentials {
	c := &Credentials{certificates: slices.Clone(certificates)}
	for _, t := range tokens {
		c.tokens = append(c.tokens, hashedToken{
			sum: sha256.Sum256([]byte(t.Value.Reveal())), caller: Caller{Name: t.Name, Role: t.Role}, loopback: t.Loopback,
		})
	}
	return c
}

// Authenticate implements [Authenticator]. A token counts before a certificate,
// and a wrong one is not made good by a certificate.
func (c *Credentials) Authenticate(r *http.Request) (Caller, error) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return c.byCertificate(r)
	}
	scheme, value, ok := strings.Cut(header[0], " ")
	if len(header) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || value == "" {
		return Caller{}, ErrNoCredential
	}
	// All are compared, by their sums: the time tells nothing of any.
	sum := sha256.Sum256([]byte(value))
	found := -1
	for i := range c.tokens {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], c.tokens[i].sum[:]), i, found)
	}
	if found < 0 || c.tokens[found].loopback && !fromLoopback(r) {
		return Caller{}, ErrNoCredential
	}
	return c.tokens[found].caller, nil
}

// byCertificate takes what TLS has verified.
func (c *Credentials) byCertificate(r *http.Request) (Caller, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.PeerCertificates) == 0 {
		return Caller{}, ErrNoCredential
	}
	leaf := r.TLS.PeerCertificates[0]
	for _, known := range c.certificates {
		if names(leaf, known.Subject) {
			return Caller{Name: known.Name, Role: known.Role}, nil
		}
	}
	return Caller{}, ErrNoCredential
}

// names reports whether a certificate has that subject.
func names(leaf *x509.Certificate, subject string) bool {
	kind, value, _ := strings.Cut(subject, ":")
	switch kind {
	case "uri":
		for _, u := range leaf.URIs {
			if u.String() == value {
				return true
			}
		}
		return false
	case "dns":
		return slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, value) })
	case "email":
		return slices.Contains(leaf.EmailAddresses, value)
	case "cn":
		return leaf.Subject.CommonName == value && value != ""
	default:
		return false
	}
}
