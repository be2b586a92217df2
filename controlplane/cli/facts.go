package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// factsOf finds out what the file does not say of a site: by discovery, and by
// looking up the ids of resources by name. Offline, it is what the file and the
// dialect say.
func factsOf(ctx context.Context, env Environment, s *site.Site, offline bool) (site.Facts, error) {
	transport, err := transportOf(env, s.AuthorizationServer.TLS)
	if err != nil {
		return site.Facts{}, err
	}
	cfg := serverConfig(s, transport)
	if offline {
		cfg.NoDiscovery = true
		if s.AuthorizationServer.Dialect == site.DialectKeycloak {
			keycloakEndpoints(&cfg)
		}
	}
	client, err := as.New(cfg)
	if err != nil {
		return site.Facts{}, err
	}
	server, err := client.Discover(ctx)
	if err != nil {
		return site.Facts{}, fmt.Errorf("%w; with discovery: off or --offline only what the file says is used", err)
	}
	facts := factsFrom(server)
	if offline || s.Require == config.RequireOAuthScopes {
		return facts, nil
	}
	facts.ResourceIDs, err = lookUp(ctx, server, s)
	return facts, err
}

func factsFrom(server *as.Server) site.Facts {
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
	}
}

func serverConfig(s *site.Site, transport http.RoundTripper) as.Config {
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

// keycloakEndpoints fills in what follows from a realm's address, so that a
// bootstrap can be rendered where the AS cannot be reached.
func keycloakEndpoints(cfg *as.Config) {
	for _, e := range []struct {
		to   *string
		path string
	}{
		{&cfg.Endpoints.Token, "/protocol/openid-connect/token"},
		{&cfg.Endpoints.Introspection, "/protocol/openid-connect/token/introspect"},
		{&cfg.Endpoints.Permission, "/authz/protection/permission"},
		{&cfg.Endpoints.ResourceRegistration, "/authz/protection/resource_set"},
	} {
		if *e.to == "" {
			*e.to = strings.TrimSuffix(cfg.Issuer, "/") + e.path
		}
	}
}

// transportOf trusts what the file says of the AS's certificate.
func transportOf(env Environment, settings site.TLS) (http.RoundTripper, error) {
	if env.Transport != nil {
		return env.Transport, nil
	}
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport, nil
	}
	transport := base.Clone()
	transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         settings.ServerName,
		InsecureSkipVerify: settings.InsecureSkipVerify, //nolint:gosec // the file asks for it, by a name that says so, and was warned about
	}
	if len(settings.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(settings.CA) {
			return nil, fmt.Errorf("%s has no certificate in it", settings.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return transport, nil
}

// lookUp finds the ids of the resources that the file gives none for.
func lookUp(ctx context.Context, server *as.Server, s *site.Site) (map[string]string, error) {
	client := s.AuthorizationServer.Client
	if client.ID == "" || client.Secret.IsZero() {
		return nil, nil
	}
	var missing []string
	for i := range s.Resources {
		if r := &s.Resources[i]; r.ID == "" && r.NeedsPermission() {
			missing = append(missing, r.Name)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	auth, err := as.NewSecretAuth(as.AuthMethod(client.TokenEndpointAuthMethod), client.ID, client.Secret, nil)
	if err != nil {
		return nil, err
	}
	protection := server.Protection(patsOf(server, auth))
	ids := map[string]string{}
	for _, name := range missing {
		found, err := protection.FindByName(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(found) > 1 {
			return nil, fmt.Errorf("the authorization server has %d resources named %q; write the id: of the right one", len(found), name)
		}
		if len(found) == 1 {
			ids[name] = found[0].ID
		}
	}
	return ids, nil
}
