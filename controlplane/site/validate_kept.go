package site

import (
	"fmt"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/plugin/config"
)

// resourcesAtAS judges a site whose resources are kept at the AS.
func (v *validator) resourcesAtAS(path string, s *Site) {
	at := path + ".resources_at_as"
	server := &s.AuthorizationServer
	if d := server.Dialect; d != as.DialectAuto && d != as.DialectKeycloak {
		v.fault(at, fmt.Sprintf("an authorization server of dialect %s keeps no paths with its resources", d),
			"declare them in resources, or write the dialect keycloak where it is one")
	}
	if s.Require == config.RequireOAuthScopes {
		v.fault(at, "with require: oauth_scopes there are no resources", "take it out, or write require: uma")
	}
	if server.Client.Register != nil {
		v.fault(path+".authorization_server.client.register", "a client that is newly registered has no resources", "write id and secret of the client that has them")
	}
	if s.Case == config.CaseInsensitive {
		v.fault(path+".case", "Keycloak's paths are compared by their bytes", "take it out, or declare the paths in resources")
	}
	if s.Unmatched == config.UnmatchedAllow {
		v.warn(path+".unmatched", "who may change resources at the authorization server may open any path that none of them ever had", "write unmatched: deny")
	}
	for i := range s.Resources {
		if r := &s.Resources[i]; r.ID == "" && r.NeedsPermission() {
			v.fault(config.Index(path+".resources", i), "would be registered at the authorization server, where resources_at_as changes nothing",
				"write its id, or conditions with public or deny only")
		}
	}
}
