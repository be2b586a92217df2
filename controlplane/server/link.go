package server

import (
	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/plugin/config"
)

// checkEndpoints names the endpoint that a site cannot do without and the AS
// does not name.
func checkEndpoints(s *site.Site, m as.Metadata) error {
	uma := s.Require != config.RequireOAuthScopes
	for _, e := range []struct {
		name, value string
		needed      bool
	}{
		{"introspection_endpoint", m.IntrospectionEndpoint, true},
		{"permission_endpoint", m.PermissionEndpoint, uma},
		{"resource_registration_endpoint", m.ResourceRegistrationEndpoint, len(link.Desired(s)) > 0 || s.HasInstances()},
		{"registration_endpoint", m.RegistrationEndpoint, s.AuthorizationServer.Client.Register != nil},
	} {
		if e.needed && e.value == "" {
			return &as.Error{Op: "read the authorization server's metadata", Kind: as.ErrMissingEndpoint, Description: e.name}
		}
	}
	return nil
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
