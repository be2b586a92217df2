package link

import (
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// Desired lists what the AS has to have for a site. A resource with an id of its
// own in the file is somebody else's, and the instances of one with variables in
// its name come and go at run time (package instance).
func Desired(s *site.Site) []reconcile.Desired {
	if s.Require == config.RequireOAuthScopes {
		return nil
	}
	var out []reconcile.Desired
	for i := range s.Resources {
		r := &s.Resources[i]
		if r.ID != "" || r.HasInstances() || !r.NeedsPermission() {
			continue
		}
		out = append(out, reconcile.Desired{Name: r.Name, Type: r.Type, IconURI: r.IconURI, Description: r.Description, URIs: r.URIs, Scopes: r.RegisteredScopes(), Adopt: r.Adopt})
	}
	return out
}
