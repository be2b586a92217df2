// Package link joins a site of umagate.yaml with the client of its authorization
// server (AS): what the file says, as package as takes it, and what the AS says, as
// the compiler takes it. "umagate serve", "render" and "check" use it alike.
package link

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// Config is what the file says of a site's AS, as the AS client takes it.
func Config(s *site.Site, transport http.RoundTripper) as.Config {
	a := &s.AuthorizationServer
	return as.Config{
		Issuer:  a.Issuer,
		Dialect: as.DialectName(a.Dialect),
		Endpoints: as.Endpoints{
			Authorization:        a.Endpoints.Authorization,
			Token:                a.Endpoints.Token,
			Introspection:        a.Endpoints.Introspection,
			Registration:         a.Endpoints.Registration,
			ResourceRegistration: a.Endpoints.ResourceRegistration,
			Permission:           a.Endpoints.Permission,
			ClaimsInteraction:    a.Endpoints.ClaimsInteraction,
			Revocation:           a.Endpoints.Revocation,
			EndSession:           a.Endpoints.EndSession,
			JWKS:                 a.Endpoints.JWKS,
		},
		DiscoveryURL: a.Endpoints.Discovery,
		NoDiscovery:  a.Discovery == site.DiscoveryOff,
		Transport:    transport,
		Timeout:      a.Timeout,
	}
}

// Transport carries calls to an AS and trusts what the file says of its
// certificate.
func Transport(settings site.TLS) (*http.Transport, error) {
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
		Dialect:                 site.Dialect(d.Name),
		Token:                   m.TokenEndpoint,
		Introspection:           m.IntrospectionEndpoint,
		Permission:              m.PermissionEndpoint,
		TokenTypeHint:           d.TokenTypeHint,
		Claims:                  d.Claims,
		IntrospectionCredential: site.Credential(d.Introspection),
		PATScopes:               d.PATScopes,
		ResourceIDs:             ids,
	}
}

// ClientAuth is how a client authenticates that has a secret or a key in PEM.
func ClientAuth(method as.AuthMethod, clientID string, clientSecret, key secret.Text) (as.ClientAuth, error) {
	if method == as.AuthPrivateKeyJWT {
		signing, err := as.ParsePrivateKey(key)
		if err != nil {
			return nil, err
		}
		return as.NewKeyAuth(method, clientID, signing, nil)
	}
	return as.NewSecretAuth(method, clientID, clientSecret, nil)
}
