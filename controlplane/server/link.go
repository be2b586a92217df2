package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/sync"
	"github.com/umagate/umagate/plugin/config"
)

// asConfig is what the file says of a site's AS, as the AS client takes it.
func asConfig(s *site.Site, transport http.RoundTripper) as.Config {
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

// transportOf trusts what the file says of the AS's certificate.
func transportOf(settings site.TLS) (http.RoundTripper, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: sync.DefaultConcurrency,
		IdleConnTimeout:     idleTimeout,
		TLSHandshakeTimeout: handshakeTimeout,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			ServerName:         settings.ServerName,
			InsecureSkipVerify: settings.InsecureSkipVerify, //nolint:gosec // the file asks for it, by a name that says so
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

// factsOf is what the compiler needs to know of an AS.
func factsOf(server *as.Server, ids map[string]string) site.Facts {
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

// introspectionCredential is what Envoy introspects with.
func introspectionCredential(s *site.Site, server *as.Server) site.Credential {
	if c := s.AuthorizationServer.Introspection.Credential; c != "" {
		return c
	}
	return site.Credential(server.Dialect().Introspection)
}

// needsPAT: UMA needs one, and so may introspection.
func needsPAT(s *site.Site, server *as.Server) bool {
	return s.Require != config.RequireOAuthScopes || introspectionCredential(s, server) == site.CredentialPAT
}

// clientAuth is how a client authenticates that has a secret or a key.
func clientAuth(method as.AuthMethod, clientID string, clientSecret, key secret.Text) (as.ClientAuth, error) {
	if method == as.AuthPrivateKeyJWT {
		signing, err := as.ParsePrivateKey(key)
		if err != nil {
			return nil, err
		}
		return as.NewKeyAuth(method, clientID, signing, nil)
	}
	return as.NewSecretAuth(method, clientID, clientSecret, nil)
}

// desiredResources lists what the AS has to have. A resource with an id of its
// own in the file is somebody else's.
func desiredResources(s *site.Site) []sync.Desired {
	if s.Require == config.RequireOAuthScopes {
		return nil
	}
	var out []sync.Desired
	for i := range s.Resources {
		r := &s.Resources[i]
		if r.ID != "" || !r.NeedsPermission() {
			continue
		}
		out = append(out, sync.Desired{Name: r.Name, Type: r.Type, IconURI: r.IconURI, Scopes: r.RegisteredScopes()})
	}
	return out
}
