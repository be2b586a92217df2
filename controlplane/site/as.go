package site

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
)

// ASConfig is what the file says of the site's AS, as the AS client takes it.
func (s *Site) ASConfig(transport http.RoundTripper) as.Config {
	a := &s.AuthorizationServer
	return as.Config{
		Issuer:          a.Issuer,
		Aliases:         a.IssuerAliases,
		Dialect:         a.Dialect,
		Endpoints:       a.Endpoints.Endpoints,
		DiscoveryURL:    a.Endpoints.Discovery,
		InsecureHTTP:    a.InsecureHTTP,
		NoDiscovery:     a.Discovery == DiscoveryOff,
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
func (t *TLS) Transport(certificate func() *tls.Certificate) (*http.Transport, error) {
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
			ServerName:         t.ServerName,
			InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // the file asks for it, by a name that says so, and was warned about
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
	if len(t.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(t.CA) {
			return nil, fmt.Errorf("%s: no certificate in it; write ca_file: with PEM certificates", t.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return transport, nil
}

// FactsOf is what [Compile] needs to know of an AS; ids maps the names of resources to
// their ids there.
func FactsOf(server *as.Server, ids map[string]string) Facts {
	m, d := server.Metadata(), server.Dialect()
	return Facts{
		URI:                     server.Names()[0],
		Issuer:                  m.Issuer,
		Dialect:                 d.Name,
		Token:                   m.TokenEndpoint,
		Introspection:           m.IntrospectionEndpoint,
		Permission:              m.PermissionEndpoint,
		TokenTypeHint:           d.TokenTypeHint,
		Claims:                  d.Claims,
		IntrospectionCredential: d.Introspection,
		EvaluatesTokens:         d.EvaluatesTokens,
		ClaimTokenFormat:        d.ClaimTokenFormat,
		TokenIntrospection:      server.TokenIntrospection(),
		PATScopes:               d.PATScopes,
		ResourceIDs:             ids,
	}
}

// GivenAuth is how the client authenticates that the file gives whole. Its
// certificate is [Client.GivenCertificate].
func (c *Client) GivenAuth() (clientauth.Auth, error) {
	if _, own := c.OwnKeys(); own {
		return nil, ErrOwnKeys
	}
	return c.Auth(c.TokenEndpointAuthMethod, c.ID, c.Secret)
}

// ErrOwnKeys says that the client's keys are in the store, not in the file.
var ErrOwnKeys = errors.New("the client has keys that umagate makes, which are in the store: this works beside umagate serve only")

// Auth is how a client authenticates with a secret, with the private key of the file,
// or with a certificate.
func (c *Client) Auth(method clientauth.Method, clientID string, clientSecret secret.Text) (clientauth.Auth, error) {
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
func (c *Client) GivenCertificate() (*tls.Certificate, error) {
	if c.Certificate == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	pair, err := clientauth.Certificate(c.Certificate, c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.CertificateFile, err)
	}
	return &pair, nil
}
