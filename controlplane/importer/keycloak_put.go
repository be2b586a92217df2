package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// deniedResource has the paths that nobody may have, so that no wider one has them.
const deniedResource = "denied"

// keycloakSource is what a policy enforcer goes by, and what the server may have besides.
type keycloakSource struct {
	enforcer.Source

	// types are those of resources, by name.
	types map[string]string
	// server is Keycloak's export, where there is one.
	server *keycloakResources
	// serverOnly: a path is enforced that is no entry: it has no text, or that of another.
	serverOnly bool
}

func (d *Draft) newKeycloakSource(place string) *keycloakSource {
	return &keycloakSource{Source: enforcer.Source{Place: place, Notes: draftNotes{d}}, types: map[string]string{}}
}

// draftNotes are the notes of a draft.
type draftNotes struct{ *Draft }

func (d draftNotes) Note(place, format string, args ...any) {
	d.addNote(Information, place, format, args)
}

func (d draftNotes) Narrowed(place, format string, args ...any) {
	d.addNote(Narrowed, place, format, args)
}

func (d draftNotes) Changed(place, format string, args ...any) {
	d.addNote(Changed, place, format, args)
}

func (c *keycloakSource) enforces() bool {
	return c.serverOnly || slices.ContainsFunc(c.Entries, func(e *enforcer.Entry) bool { return !e.Disabled })
}

// putKeycloak makes conditions of a source. nothing is what it lacks where there is
// none, place where it has its resources.
func (d *Draft) putKeycloak(c *keycloakSource, nothing, place string) (*Draft, error) {
	conditions, guarded, err := c.Conditions()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	if guarded != "" {
		d.Unmatched = ""
		d.noteNarrowed(c.Place+"enforcement-mode", "what no path names is denied after all: Keycloak guards some of it, such as %q", guarded)
	}
	// A resource of Keycloak that has one value of a parameter in its URI is asked for in
	// place of the path's.
	for _, e := range c.Entries {
		if c.server == nil && strings.Contains(e.Path, "{") && !e.Disabled && !e.Denied {
			d.noteChanged(e.Place+".path", "if Keycloak has a resource for one value of %q (by its URI), a permission on that one is needed there; here it is %q for all values, unless its name has the variable", e.Path, e.Name)
		}
	}
	for i := range conditions {
		d.putKeycloakCondition(c, &conditions[i])
	}
	for i := range d.Resources {
		d.Resources[i].joinPaths()
	}
	// The resource of what is denied stands last.
	denied := slices.DeleteFunc(slices.Clone(d.Resources), func(r Resource) bool { return !r.denies() })
	d.Resources = append(slices.DeleteFunc(d.Resources, func(r Resource) bool { return r.denies() }), denied...)
	if len(d.Resources) == 0 {
		return nil, fmt.Errorf("%w: %s%s", ErrNothing, nothing, d.reasons())
	}
	var unknown []string
	for i := range d.Resources {
		if r := &d.Resources[i]; c.server != nil && r.ID == "" && len(c.server.named(r.Name)) > 0 {
			unknown = append(unknown, strconv.Quote(r.Name))
		}
	}
	switch known := slices.ContainsFunc(d.Resources, func(r Resource) bool { return r.ID != "" }); {
	case len(unknown) > 0:
		d.noteChanged(place, "the export has no id of %s, and umagate calls a resource of that name at Keycloak a conflict. Get the list that has the ids (kcadm.sh get clients/UUID/authz/resource-server/resource -q max=10000 -r REALM), and import again with --resource-ids, or leave the paths at Keycloak with resources_at_as", strings.Join(unknown, ", "))
	case known:
		d.note(place, "the resources are used as Keycloak has them, by their id: umagate neither changes nor removes them there")
	case d.ClientID != "":
		d.note(place, "resources of these names that client %q has at Keycloak already are not touched: umagate plan calls them conflicts; write their id: to use them as they are, or adopt: true", d.ClientID)
	}
	return d, nil
}

// denies reports whether nobody passes by the resource.
func (r *Resource) denies() bool {
	return !slices.ContainsFunc(r.Conditions, func(c Condition) bool { return !c.Deny })
}

func (d *Draft) putKeycloakCondition(c *keycloakSource, from *enforcer.Condition) {
	out := Condition{Place: from.Place, Paths: []string{from.Path}, Methods: from.Methods}
	disabled, name := from.Of != nil && from.Of.Disabled, from.Resource
	switch {
	case from.Public:
		out.Public = true
		if disabled {
			out.Comment = "enforcement-mode: DISABLED"
		}
	case from.Deny:
		out.Deny, name = true, d.deniedName(c)
		if disabled && c.Untrusted {
			out.Comment = "TODO: enforcement-mode is DISABLED: public: true, once no resource of Keycloak has this path"
		}
	default:
		needs(from.Scopes...).into(&out)
	}
	to := d.resource(name)
	if to.Type == "" {
		to.Type = c.types[name]
	}
	if c.server != nil && !out.Deny {
		if found := c.server.named(name); len(found) == 1 {
			to.ID = c.server.list[found[0]].id
			to.Type = cmp.Or(to.Type, c.server.list[found[0]].kind)
		}
	}
	to.Conditions = append(to.Conditions, out)
}

// deniedName is a name that no entry has.
func (d *Draft) deniedName(c *keycloakSource) string {
	name := deniedResource
	for slices.ContainsFunc(c.Entries, func(e *enforcer.Entry) bool { return e.Name == name }) {
		name += "'"
	}
	return name
}
