package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// enforcerSource is the configuration of a policy enforcer, from whichever file.
type enforcerSource struct {
	enforcerConfig

	place string
	// places are those of the paths, where they are not counted in the source.
	places []string
	notes  []Note
	// unordered: in which order the enforcer has its paths is not known.
	unordered bool
	// guards says what else guards paths than the enforcer, if anything does: then
	// nothing is known to be public.
	guards string
}

// tell adds a note for the draft.
func (s *enforcerSource) tell(severity Severity, place string, line int, format string, args ...any) {
	s.notes = append(s.notes, Note{Severity: severity, Place: strings.TrimSuffix(s.place+place, "."), Line: line, Text: fmt.Sprintf(format, args...), kind: format})
}

// KeycloakEnforcer reads the configuration of a Keycloak policy enforcer: the
// "policy-enforcer" of a keycloak.json, or that object itself. It reads Keycloak's
// authorization export, too, as [KeycloakAuthorization] does.
func KeycloakEnforcer(source string, data []byte, settings Settings) (*Draft, error) {
	document, err := readObject(source, data)
	if err != nil {
		return nil, err
	}
	root := document.root
	if settings.Authorization == "" {
		if export, err := findExport(root); err != nil || export != nil {
			return keycloakAuthorization(source, export, settings, err)
		}
	}
	s := &enforcerSource{}
	if inner := root.get("policy-enforcer"); inner != nil {
		outer, fault := readEnforcer(root)
		if fault != nil {
			return nil, fault
		}
		s.place = "policy-enforcer."
		if inner.kind != isObject {
			return nil, fmt.Errorf("%w: %s: policy-enforcer is %s, not an object", ErrSource, inner.at(), inner.kind)
		}
		s.enforcerConfig, err = readEnforcer(inner)
		s.realm, s.server, s.client = cmp.Or(s.realm, outer.realm), cmp.Or(s.server, outer.server), cmp.Or(s.client, outer.client)
	} else {
		if !root.has("paths", "enforcement-mode") && (settings.Authorization == "" || !root.has("realm", "auth-server-url", "resource", "lazy-load-paths")) {
			return nil, fmt.Errorf("%w: it has neither policy-enforcer nor paths, and is no authorization export; is it a keycloak.json?", ErrSource)
		}
		s.enforcerConfig, err = readEnforcer(root)
	}
	if err != nil {
		return nil, err
	}
	return fromEnforcer(source, s, settings)
}

// readObject reads a document that is an object.
func readObject(source string, data []byte) (*file, error) {
	document, err := readDocument(source, data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	case document.root.kind != isObject:
		return nil, fmt.Errorf("%w: it is %s, not an object", ErrSource, document.root.kind)
	}
	return document, nil
}

// fromEnforcer makes conditions of what a policy enforcer does.
func fromEnforcer(source string, s *enforcerSource, settings Settings) (*Draft, error) {
	d := newDraft(settings, source)
	d.Notes = append(d.Notes, s.notes...)
	e := &s.enforcerConfig
	for _, key := range e.root.keysOf() {
		d.at(s.place+key, e.root.get(key))
	}
	d.keycloakServer(s.place, e, settings)
	var server *keycloakResources
	if settings.Authorization != "" {
		var err error
		if server, err = readAuthorization(settings); err != nil {
			return nil, err
		}
		d.noteAuthorization(server)
	}
	c := d.newKeycloakSource(s.place)
	c.Unordered = s.unordered
	if server != nil {
		c.server, c.Server = server, server.Server
	}
	d.enforcement(c, e)
	if e.mode == modeDisabled {
		if s.guards != "" {
			d.noteChanged(s.place+"enforcement-mode", "%s", s.guards)
		}
		d.Resources = nil
		return d, nil
	}
	d.tokens(c, e.uma)
	for i := range e.paths {
		place := s.place + "paths[" + strconv.Itoa(i) + "]"
		if len(s.places) > 0 {
			place = s.places[i]
		}
		if err := d.enforced(c, place, &e.paths[i]); err != nil {
			return nil, err
		}
	}
	if s.guards != "" {
		c.Untrusted, c.Permissive = true, false
		d.noteNarrowed(s.place+"paths", "%s: what is public here, or open to every authenticated caller, is denied until you have looked", s.guards)
	}
	if err := d.serverPaths(c, e); err != nil {
		return nil, err
	}
	return d.putKeycloak(c, "no path", "resource")
}

// tokens says which tokens the enforcer's clients send.
func (d *Draft) tokens(c *keycloakSource, uma bool) {
	if uma {
		d.note(c.Place+"user-managed-access", "a client that lacks a permission gets a ticket, as from the enforcer")
		return
	}
	d.Evaluate, d.Challenge = "at_as", "bearer"
	d.note(c.Place+"user-managed-access", "it is not there: the enforcer sends no ticket, and asks Keycloak what a plain access token may. So do token: {evaluate: at_as} and challenge: bearer. Write challenge: both if some clients know UMA")
}

// keycloakServer carries over the AS and the client.
func (d *Draft) keycloakServer(place string, e *enforcerConfig, settings Settings) {
	d.Dialect, d.ClientID = "keycloak", e.client
	if strings.Contains(d.ClientID, "${") {
		d.ClientID = ""
		d.note("resource", "the client is named where the application runs: %q. Write client: {id: …, secret: {env: %s}} for one that exists", e.client, secretVariable)
	}
	switch {
	case d.Issuer != "" || e.server == "" || e.realm == "":
	case strings.Contains(e.server+e.realm, "${"):
		d.note(place+"auth-server-url", "the authorization server is named where the application runs (%q, realm %q): give its issuer with --issuer", e.server, e.realm)
	default:
		d.Issuer = strings.TrimSuffix(e.server, "/") + "/realms/" + e.realm
	}
	d.nameSite(settings)
}

// nameSite names the site after the client, unless it has a name.
func (d *Draft) nameSite(settings Settings) {
	if settings.Site == "" && d.ClientID != "" {
		d.Site = siteName(d.ClientID)
	}
}

// siteName makes a site's name of any text.
func siteName(text string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, text), "-_")
	return cmp.Or(name, "api")
}

// enforcement carries over what holds for every path.
func (d *Draft) enforcement(c *keycloakSource, e *enforcerConfig) {
	switch e.mode {
	case "", modeEnforcing:
	case modePermissive:
		c.Permissive = true
		d.note(c.Place+"enforcement-mode", "PERMISSIVE lets every authenticated caller pass where no path is named: unmatched: authenticated")
	case modeDisabled:
		d.authenticated(c)
		d.noteChanged(c.Place+"enforcement-mode", "DISABLED looks at no path and no permission, and wants an authenticated caller: so does unmatched: authenticated. The paths are left out; write ENFORCING to have them")
	default:
		d.noteNarrowed(c.Place+"enforcement-mode", "%q is not known: enforced", e.mode)
	}
	c.MethodAsScope = e.methodAsScope
	if e.denyRedirect != "" {
		d.note(c.Place+"on-deny-redirect-to", "nobody is redirected: a client gets 401 or 403")
	}
	if e.claims {
		c.Pushes = d.pushes(c, c.Place+"claim-information-point")
	}
}

// pushes notes that claims are not pushed to Keycloak, and reports whether that can
// matter: a policy may refuse by them.
func (d *Draft) pushes(c *keycloakSource, place string) bool {
	switch {
	case c.server == nil:
		d.noteNarrowed(place, "claims are not pushed to Keycloak, and a policy there may refuse by them: what it holds for is denied. Give Keycloak's authorization export with --authorization, which has the policies")
		return true
	case len(c.server.readers) > 0:
		d.noteNarrowed(place, "claims are not pushed to Keycloak, where %s may refuse by them: what it holds for is denied", strings.Join(c.server.readers, ", "))
		return true
	}
	d.note(place, "claims are not pushed to the authorization server; no policy there reads them")
	return false
}

// enforced reads one path. Those of the same text are one: the mode of the first
// holds, and what their methods and scopes say is joined.
func (d *Draft) enforced(c *keycloakSource, place string, p *enforcedPath) error {
	d.at(place, p.at)
	path := p.path
	switch {
	case path == "" && p.name == "":
		d.note(place, "an entry has neither path nor name")
		return nil
	case path == "":
		d.noteNarrowed(place, "%q has no path, which Keycloak takes for no request: it is in Keycloak's resource, its URIs; add it", p.name)
		c.serverOnly = c.serverOnly || p.mode != modeDisabled
		return nil
	}
	if err := enforceable(place+".path", path); err != nil {
		return err
	}
	entry, first := c.Entry(place, path)
	if first {
		d.nameEntry(c, entry, p)
		switch p.mode {
		case "", modeEnforcing:
		case modeDisabled:
			entry.Disabled = true
		default:
			d.noteNarrowed(place+".enforcement-mode", "%q is enforced", p.mode)
		}
	} else {
		c.serverOnly = c.serverOnly || p.mode != modeDisabled // it counts, though its mode does not hold
		d.note(place, "%q is there twice: mode and name of the first hold, and of its methods the first of each", path)
	}
	if p.deny {
		entry.Denied = true
		d.noteNarrowed(place+".deny", "%q is denied", path)
	}
	if !entry.Disabled && (c.Pushes || p.claims && d.pushes(c, place+".claim-information-point")) {
		entry.Denied = true
	}
	entry.Scopes = enforcer.Unique(append(entry.Scopes, p.scopes...))
	for i, m := range p.methods {
		at := d.at(place+".methods["+strconv.Itoa(i)+"]", m.at)
		entry.Methods = append(entry.Methods, enforcer.Method{Place: at, Method: m.method, Scopes: m.scopes, Mode: m.mode})
	}
	return nil
}

// enforceable says why nobody can know what the enforcer does with a path.
func enforceable(place, path string) error {
	if strings.Contains(path, "${") {
		return fmt.Errorf("%w: %s: %q is completed where the application runs: write its value", ErrSource, place, path)
	}
	if strings.Count(path, "/") > maxSegments {
		return fmt.Errorf("%w: %s: it has more than %d segments", ErrSource, place, maxSegments)
	}
	if !enforcer.Readable(path) {
		return fmt.Errorf("%w: %s: %q has a brace too few or too many in a segment, by which Keycloak's enforcer loses its way", ErrSource, place, path)
	}
	return nil
}

// nameEntry names what a path asks for: the resource that the enforcer binds it to.
func (d *Draft) nameEntry(c *keycloakSource, entry *enforcer.Entry, p *enforcedPath) {
	entry.Name = cmp.Or(p.name, p.path)
	entry.Resource = entry.Name
	defer func() {
		if c.types[entry.Name] == "" {
			c.types[entry.Name] = p.kind
		}
	}()
	if c.server == nil || p.mode == modeDisabled {
		return
	}
	found := c.server.named(p.name)
	if p.name == "" {
		found = c.Server.Matching(p.path)
	}
	found = slices.DeleteFunc(found, func(r int) bool { return r < 0 })
	switch {
	case len(found) == 1:
		r := &c.server.list[found[0]]
		entry.Name, entry.Resource, entry.ResourceScopes = r.name, r.name, r.scopes
	case len(found) > 1:
		entry.Denied = true
		d.noteNarrowed(entry.Place, "%q may be of more than one of Keycloak's resources: it is denied", p.path)
	default:
		d.noteNarrowed(entry.Place, "Keycloak has no resource for it, so that the enforcer lets nobody pass: it is denied. Create %q there, export anew and import again", entry.Name)
		entry.Denied = true
	}
}

// serverPaths takes what the enforcer takes from the server beside the file, or notes
// that it is not known.
func (d *Draft) serverPaths(c *keycloakSource, e *enforcerConfig) error {
	const remedy = "export the client's authorization settings (Keycloak's console: Authorization, Export) and give that file with --authorization"
	lazy := e.lazyLoad || e.pathCache
	if c.server != nil {
		c.Server.Lazy = lazy
		if !e.lazyLoad && !c.enforces() {
			c.Unordered = true
			if err := d.serverEntries(c); err != nil {
				return err
			}
		} else if lazy {
			d.lazyEntries(c)
		}
		if c.Permissive {
			d.authenticated(c)
		}
		return nil
	}
	switch {
	case !e.lazyLoad && !c.enforces():
		c.Untrusted = true
		d.noteChanged(c.Place+"paths", "no path is enforced here, so the enforcer takes its paths from Keycloak's resources (their URIs), which may have any of these: what is public here is denied until you have looked. %s", capital(remedy))
	case lazy:
		place := "lazy-load-paths"
		if !e.lazyLoad {
			place = "path-cache"
		}
		d.noteChanged(c.Place+place, "paths that are kept in Keycloak's resources (their URIs) are not in this file, and below a \"*\" another resource may be asked for: %s", remedy)
	}
	if c.Permissive && (lazy || c.Untrusted) {
		c.Permissive = false
		d.noteNarrowed(c.Place+"enforcement-mode", "what no path names is denied after all: Keycloak's resources may have it, which are not in this file")
	}
	if c.Permissive {
		d.authenticated(c)
	}
	return nil
}

// lazyEntries notes what the server has and the file does not name.
func (d *Draft) lazyEntries(c *keycloakSource) {
	for i := range c.server.list {
		r := &c.server.list[i]
		for _, uri := range r.uris {
			if !slices.ContainsFunc(c.Entries, func(e *enforcer.Entry) bool { return e.Path == uri }) {
				d.noteNarrowed(d.at(c.server.place+r.place, r.at), "%q of %q is in no path of the file; the enforcer finds it there when it is asked for (lazy-load-paths, path-cache). Here, what no path of the file has is as unmatched says: add the path, or leave them all at Keycloak with resources_at_as", uri, r.name)
			}
		}
	}
}

// authenticated lets an authenticated caller pass where no path is named.
func (d *Draft) authenticated(c *keycloakSource) {
	d.Unmatched = unmatchedAuthenticated
	d.note(c.Place+"enforcement-mode", "a caller is authenticated by a token that Keycloak calls active: since 26.7 by one that names this client in its aud")
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
