package server

import (
	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/sync"
	"github.com/umagate/umagate/plugin/config"
)

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
