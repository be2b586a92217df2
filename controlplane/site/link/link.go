// Package link joins a site of umagate.yaml with the client of its authorization
// server (AS): what the file says, as package as takes it, and what the AS says, as
// the compiler takes it. "umagate serve", "render" and "check" use it alike.
package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// Config is what the file says of a site's AS, as the AS client takes it.
func Config(s *site.Site, transport http.RoundTripper) as.Config {
	a := &s.AuthorizationServer
	return as.Config{
		Issuer:          a.Issuer,
		Dialect:         a.Dialect,
		Endpoints:       a.Endpoints.Endpoints,
		DiscoveryURL:    a.Endpoints.Discovery,
		InsecureHTTP:    a.InsecureHTTP,
		NoDiscovery:     a.Discovery == site.DiscoveryOff,
		CertificateAuth: a.Client.TokenEndpointAuthMethod.UsesTLS(),
		Audience:        a.Client.AssertionAudience,
		PATScopes:       a.PAT.Scopes,
		Transport:       transport,
		Timeout:         a.Timeout,
	}
}

// Transport carries calls to an AS and trusts what the file says of its
// certificate. certificate gives the client's own when the AS asks for one; nil for
// none.
func Transport(settings site.TLS, certificate func() *tls.Certificate) (*http.Transport, error) {
	const (
		maxIdle          = 16 // above what sync has under way at a time
		handshakeTimeout = 5 * time.Second
		idleTimeout      = 30 * time.Second // below a server's usual 60 s
	)
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTimeout,
		TLSHandshakeTimeout: handshakeTimeout,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			ServerName:         settings.ServerName,
			InsecureSkipVerify: settings.InsecureSkipVerify, //nolint:gosec // the file asks for it, by a name that says so, and was warned about
		},
	}
	if certificate != nil {
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c := certificate(); c != nil {
				return c, nil
			}
			return &tls.Certificate{}, nil // no certificate
		}
	}
	if len(settings.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(settings.CA) {
			return nil, fmt.Errorf("%s: no certificate in it; write ca_file: with PEM certificates", settings.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return transport, nil
}

// Facts is what the compiler needs to know of an AS; ids maps the names of
// resources to their ids there.
func Facts(server *as.Server, ids map[string]string) site.Facts {
	m, d := server.Metadata(), server.Dialect()
	return site.Facts{
		URI:                     m.Issuer,
		Issuer:                  m.Issuer,
		Dialect:                 d.Name,
		Token:                   m.TokenEndpoint,
		Introspection:           m.IntrospectionEndpoint,
		Permission:              m.PermissionEndpoint,
		TokenTypeHint:           d.TokenTypeHint,
		Claims:                  d.Claims,
		IntrospectionCredential: d.Introspection,
		PATScopes:               d.PATScopes,
		ResourceIDs:             ids,
	}
}

// GivenClient is how the client authenticates that the file gives whole. Its
// certificate is [GivenCertificate].
func GivenClient(c *site.Client) (clientauth.Auth, error) {
	if _, own := c.OwnKeys(); own {
		return nil, ErrOwnKeys
	}
	return ClientAuth(c, c.TokenEndpointAuthMethod, c.ID, c.Secret)
}

// ErrOwnKeys says that the client's keys are in the store, not in the file.
var ErrOwnKeys = errors.New("the client has keys that umagate makes, which are in the store: this works beside umagate serve only")

// ClientAuth is how a client authenticates with a secret, with the private key of
// the file, or with a certificate.
func ClientAuth(c *site.Client, method clientauth.Method, clientID string, clientSecret secret.Text) (clientauth.Auth, error) {
	algorithm := c.TokenEndpointAuthSigningAlg
	switch {
	case method.UsesTLS():
		return clientauth.NewTLS(method, clientID), nil
	case method == clientauth.PrivateKeyJWT:
		key, err := clientauth.ParseKey(c.PrivateKey, algorithm)
		if err != nil {
			return nil, err
		}
		return key.Auth(clientID, nil)
	case method == clientauth.SecretJWT && slices.Contains(clientauth.SecretAlgorithms(), algorithm):
		return clientauth.NewSigned(method, clientID, jose.SigningKey{Algorithm: algorithm, Key: []byte(clientSecret.Reveal())}, nil)
	}
	return clientauth.NewSecret(method, clientID, clientSecret, nil)
}

// GivenCertificate is the client's certificate where the file has one; nil else.
func GivenCertificate(c *site.Client) (*tls.Certificate, error) {
	if c.Certificate == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	pair, err := clientauth.Certificate(c.Certificate, c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.CertificateFile, err)
	}
	return &pair, nil
}
