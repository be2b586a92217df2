package importer

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// keycloakResources are a client's authorization settings at Keycloak, by its export.
type keycloakResources struct {
	*enforcer.Server

	place, client string
	list          []keycloakResource
	// policies and permissions are how many there are, by type. readers are the policies
	// that may read claims which an enforcer pushes.
	policies, permissions map[string]int
	readers               []string
	mode                  string
	scopes                []string // that some permission names
	whole                 []string // resources, or types, that some permission names
}

type keycloakResource struct {
	at                    *value
	place, id, name, kind string
	uris, scopes          []string
	ownerManaged          bool
}

// findExport finds an authorization export, alone or in the export of a client.
func findExport(root *value) (*keycloakResources, error) {
	if settings := root.get("authorizationSettings"); settings != nil {
		if settings.kind != isObject {
			return nil, fmt.Errorf("%w: %s: authorizationSettings is %s, not an object", ErrSource, settings.at(), settings.kind)
		}
		return exportOf(settings, "authorizationSettings.", root.string("clientId"))
	}
	if root.get("resources") == nil || root.get("paths") != nil {
		return nil, nil
	}
	if root.has("policies", "scopes", "policyEnforcementMode", "allowRemoteResourceManagement", "decisionStrategy") {
		return exportOf(root, "", root.string("clientId"))
	}
	return nil, nil
}

// readAuthorization reads the file of an export.
func readAuthorization(settings Settings) (*keycloakResources, error) {
	path := settings.Authorization
	data, err := ReadSource(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	document, err := readObject(path, data)
	if err == nil {
		var export *keycloakResources
		if export, err = findExport(document.root); err == nil && export == nil {
			err = fmt.Errorf("%w: it is no authorization export of Keycloak: it has no resources", ErrSource)
		}
		if err == nil {
			export.place = filepath.Base(path) + ": " + export.place
			export.serve()
			return export, export.identify(settings.ResourceIDs)
		}
	}
	return nil, fmt.Errorf("%s: %w", path, err)
}

func exportOf(v *value, place, client string) (*keycloakResources, error) {
	out := &keycloakResources{place: place, client: client, policies: map[string]int{}, permissions: map[string]int{}}
	m := members{of: v}
	out.mode = m.text("policyEnforcementMode")
	for i, one := range m.list("resources") {
		if one.kind != isObject {
			m.fault(one, "resources has %s, not an object", one.kind)
			break
		}
		of := members{of: one}
		r := keycloakResource{
			at: one, place: "resources[" + strconv.Itoa(i) + "]", id: of.text("_id"), name: of.text("name"), kind: of.text("type"),
			uris: of.texts("uris"), ownerManaged: of.flag("ownerManagedAccess"),
		}
		if uri := of.text("uri"); len(r.uris) == 0 && uri != "" { // of old exports
			r.uris = []string{uri}
		}
		for _, scope := range of.list("scopes") {
			name := scope.text
			if scope.kind == isObject {
				name = scope.string("name")
			}
			r.scopes = append(r.scopes, name)
		}
		r.scopes = enforcer.Unique(r.scopes)
		if of.err != nil {
			return nil, of.err
		}
		out.list = append(out.list, r)
	}
	for _, policy := range m.list("policies") {
		out.policy(policy)
	}
	if m.err != nil {
		return nil, m.err
	}
	out.serve()
	return out, nil
}

// policy counts a policy, or a permission, which Keycloak exports among them.
func (k *keycloakResources) policy(v *value) {
	kind, name := v.string("type"), v.string("name")
	settings := v.get("config")
	switch kind {
	case "resource", "scope", "uma":
		k.permissions[kind]++
		// Their lists are texts with JSON in them.
		for _, list := range []struct {
			key string
			to  *[]string
		}{{"resources", &k.whole}, {"scopes", &k.scopes}} {
			if raw := settings.string(list.key); raw != "" {
				if f, err := readDocument("", []byte(raw)); err == nil && f.root.kind == isList {
					for _, item := range f.root.items {
						*list.to = append(*list.to, item.text)
					}
				}
			}
		}
		if of := settings.string("defaultResourceType"); of != "" {
			k.whole = append(k.whole, of)
		}
		return
	case "role", "user", "client", "group", "client-scope", "time", "aggregate":
	default: // "js", "script-…", "regex" and those of others may read what is pushed
		k.readers = append(k.readers, fmt.Sprintf("policy %q", name))
	}
	k.policies[kind]++
}

// named are the resources of a name.
func (k *keycloakResources) named(name string) (found []int) {
	for i := range k.list {
		if name != "" && k.list[i].name == name {
			found = append(found, i)
		}
	}
	return found
}

// serve makes the resources known to who asks for them.
func (k *keycloakResources) serve() {
	var list []enforcer.Resource
	for i := range k.list {
		r := &k.list[i]
		list = append(list, enforcer.Resource{Resource: r.name, Name: r.name, Place: k.place + r.place, URIs: r.uris, Scopes: r.scopes})
	}
	k.Server = enforcer.NewServer(list)
}

// KeycloakAuthorization reads Keycloak's export of a client's authorization settings,
// alone or in the export of a client: the URIs of the resources are paths that a policy
// enforcer loads, and one of the resource's scopes does. Policies and permissions stay
// at Keycloak.
func KeycloakAuthorization(source string, data []byte, settings Settings) (*Draft, error) {
	document, err := readObject(source, data)
	if err != nil {
		return nil, err
	}
	export, err := findExport(document.root)
	if err == nil && export == nil {
		err = fmt.Errorf("%w: it has no resources with what belongs to them; is it Keycloak's export of a client's authorization settings?", ErrSource)
	}
	return keycloakAuthorization(source, export, settings, err)
}

func keycloakAuthorization(source string, export *keycloakResources, settings Settings, err error) (*Draft, error) {
	if err == nil {
		err = export.identify(settings.ResourceIDs)
	}
	if err != nil {
		return nil, err
	}
	d := newDraft(settings, source)
	d.Dialect, d.ClientID = "keycloak", export.client
	d.nameSite(settings)
	d.Evaluate, d.Challenge = "at_as", "both"
	d.note(export.place+"resources", "Keycloak evaluates plain access tokens here, as for most of its enforcers, and a client that knows UMA gets a ticket, too: token: {evaluate: at_as}, challenge: both")
	d.noteAuthorization(export)
	c := d.newKeycloakSource(export.place)
	c.Unordered, c.server, c.Server = true, export, export.Server
	if err := d.serverEntries(c); err != nil {
		return nil, err
	}
	return d.putKeycloak(c, "no resource with a URI", export.place+"resources")
}

// serverEntries adds what the enforcer loads: each URI of a resource is a path, and one
// of the resource's scopes does. What the file has under the same path holds.
func (d *Draft) serverEntries(c *keycloakSource) error {
	k := c.server
	ofFile := len(c.Entries)
	for i := range k.list {
		r := &k.list[i]
		at := d.at(k.place+r.place, r.at)
		if len(r.uris) == 0 {
			d.note(at, "%q has no URI: the enforcer takes it for no request", r.name)
		}
		for _, uri := range r.uris {
			entry, first := c.Entry(at, uri)
			switch {
			case first:
				if err := enforceable(at, uri); err != nil {
					return err
				}
				entry.Name, entry.Resource, entry.Scopes, entry.ResourceScopes = r.name, r.name, r.scopes, r.scopes
				entry.Denied = c.Pushes
				if c.types[r.name] == "" {
					c.types[r.name] = r.kind
				}
			case slices.Index(c.Entries, entry) >= ofFile:
				// The last one that the enforcer loads holds, and which that is is not known.
				d.noteNarrowed(at, "%q is of %q, too: it is denied", uri, entry.Name)
				entry.Denied = true
			}
		}
	}
	return nil
}

// noteAuthorization tells what of an export stays at Keycloak.
func (d *Draft) noteAuthorization(k *keycloakResources) {
	d.note(k.place+"policies", "who has which scope stays at Keycloak, which evaluates it: %s and %s are not carried over", counted(k.policies, "policy", "policies"), counted(k.permissions, "permission", "permissions"))
	switch strings.ToUpper(k.mode) {
	case "", modeEnforcing:
	default:
		d.note(k.place+"policyEnforcementMode", "%s holds at Keycloak as before: there, a resource that no permission names is granted to everybody who asks", k.mode)
		return
	}
	for i := range k.list {
		r := &k.list[i]
		named := slices.Contains(k.whole, r.name) || slices.Contains(k.whole, r.id) || r.kind != "" && slices.Contains(k.whole, r.kind) ||
			slices.ContainsFunc(r.scopes, func(s string) bool { return slices.Contains(k.scopes, s) })
		if !named && len(k.permissions) > 0 {
			d.note(d.at(k.place+r.place, r.at), "no permission of the export names %q or one of its scopes: Keycloak grants it to nobody but whom its owner shares it with", r.name)
		}
		if r.ownerManaged {
			d.note(d.at(k.place+r.place, r.at), "ownerManagedAccess: its owner shares %q in Keycloak's account console, as before", r.name)
		}
	}
}

// counted says how many there are, by type.
func counted(of map[string]int, one, many string) string {
	total := 0
	var kinds []string
	for kind, n := range of {
		total += n
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	switch total {
	case 0:
		return "no " + one
	case 1:
		return "1 " + one + " (" + kinds[0] + ")"
	}
	return strconv.Itoa(total) + " " + many + " (" + strings.Join(kinds, ", ") + ")"
}
