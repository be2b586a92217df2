package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/kept"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// factsOf finds out what the file does not say of a site: by discovery, and by
// looking up the ids of resources by name. Offline, it is what the file and the
// dialect say.
func factsOf(ctx context.Context, env Environment, s *site.Site, offline bool) (site.Facts, error) {
	client, err := authorizationServer(env, s, offline)
	if err != nil {
		return site.Facts{}, err
	}
	server, err := client.Discover(ctx)
	if err != nil {
		return site.Facts{}, fmt.Errorf("%w; with discovery: off or --offline only what the file says is used", err)
	}
	var ids map[string]string
	if !offline && s.Require != config.RequireOAuthScopes {
		if ids, err = lookUp(ctx, server, s); err != nil {
			return site.Facts{}, err
		}
	}
	facts := site.FactsOf(server, ids)
	if !offline && s.ResourcesAtAS != nil {
		if facts.Kept, err = keptOf(ctx, server, s); err != nil {
			return site.Facts{}, err
		}
	}
	facts.Audience = s.AuthorizationServer.Client.ID
	if client := s.AuthorizationServer.Client; client.TokenEndpointAuthMethod.UsesTLS() {
		facts.ClientID = client.ID
	}
	return facts, nil
}

// keptOf reads the resources that the AS keeps, and makes conditions of them.
func keptOf(ctx context.Context, server *as.Server, s *site.Site) (*site.Kept, error) {
	if s.AuthorizationServer.Client.ID == "" {
		return nil, errNoClient
	}
	if !server.KeepsPaths() {
		return nil, fmt.Errorf("%w; this one is of dialect %s", registration.ErrNoPaths, server.Dialect().Name)
	}
	auth, err := s.AuthorizationServer.Client.GivenAuth()
	if err != nil {
		return nil, err
	}
	reading, err := registration.Look(ctx, server.Protection(patsOf(server, auth)), s, &kept.Reading{}, false)
	if err != nil {
		return nil, err
	}
	compiled, err := kept.Compile(s, &reading)
	return &compiled.Kept, err
}

// authorizationServer is the AS of a site, before discovery.
func authorizationServer(env Environment, s *site.Site, offline bool) (*as.Client, error) {
	transport, err := transportOf(env, s)
	if err != nil {
		return nil, err
	}
	cfg := s.ASConfig(transport)
	cfg.NoDiscovery = cfg.NoDiscovery || offline
	return as.New(cfg)
}

// transportOf trusts what the file says of the AS's certificate, and presents the
// client's where the file has one.
func transportOf(env Environment, s *site.Site) (http.RoundTripper, error) {
	if env.Transport != nil {
		return env.Transport, nil
	}
	certificate, err := s.AuthorizationServer.Client.GivenCertificate()
	if err != nil {
		return nil, err
	}
	return s.AuthorizationServer.TLS.Transport(func() *tls.Certificate { return certificate })
}

// lookUp finds the ids of the resources that the file gives none for.
func lookUp(ctx context.Context, server *as.Server, s *site.Site) (map[string]string, error) {
	client := s.AuthorizationServer.Client
	if client.ID == "" {
		return nil, nil // nobody to ask as
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
	auth, err := client.GivenAuth()
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
