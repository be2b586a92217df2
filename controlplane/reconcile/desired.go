package reconcile

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
)

// Desired is one declared resource. Its JSON form is what a record's Spec holds.
type Desired struct {
	Name    string `json:"name"`
	Type    string `json:"type,omitempty"`
	IconURI string `json:"icon_uri,omitempty"`
	// Description and URIs count at an AS that has them only. Nil URIs leave those
	// at the AS alone.
	Description string   `json:"description,omitempty"`
	URIs        []string `json:"uris,omitempty"`
	Scopes      []string `json:"scopes"`
	// Adopt lets one that is at the AS under this name, and that umagate did not
	// register, be taken over.
	Adopt bool `json:"-"`
}

// Declared lists what the AS has to have for a site. A resource with an id of its
// own in the file is somebody else's, so are all where they are kept at the AS, and the instances of one with variables in
// its name come and go at run time (package instance).
func Declared(s *site.Site) []Desired {
	if s.Require == config.RequireOAuthScopes || s.ResourcesAtAS != nil {
		return nil
	}
	var out []Desired
	for i := range s.Resources {
		r := &s.Resources[i]
		if r.ID != "" || r.HasInstances() || !r.NeedsPermission() {
			continue
		}
		out = append(out, Desired{Name: r.Name, Type: r.Type, IconURI: r.IconURI, Description: r.Description, URIs: r.URIs, Scopes: r.RegisteredScopes(), Adopt: r.Adopt})
	}
	return out
}

// normal has the lists sorted and each entry once, so that equal ones encode alike.
func (d Desired) normal() Desired {
	d.Scopes = slices.Compact(slices.Sorted(slices.Values(d.Scopes)))
	d.URIs = slices.Compact(slices.Sorted(slices.Values(d.URIs)))
	if d.Scopes == nil {
		d.Scopes = []string{}
	}
	return d
}

func (d Desired) spec() (json.RawMessage, error) {
	encoded, err := json.Marshal(d.normal())
	if err != nil {
		return nil, fmt.Errorf("reconcile: encode resource %q: %w", d.Name, err)
	}
	return encoded, nil
}

func (d Desired) resource(id string) as.Resource {
	d = d.normal()
	return as.Resource{
		ID: id, Name: d.Name, Type: d.Type, IconURI: d.IconURI, Description: d.Description, URIs: d.URIs, Scopes: d.Scopes,
	}
}

// before gives what a record says was registered last, or nil.
func before(record store.Resource) *Desired {
	var d Desired
	if len(record.Spec) == 0 || json.Unmarshal(record.Spec, &d) != nil || d.Name == "" {
		return nil
	}
	return &d
}
