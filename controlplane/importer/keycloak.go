package importer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// enforcer is a policy enforcer's configuration, alone or inside of keycloak.json.
type enforcer struct {
	Mode              string          `json:"enforcement-mode"`
	Paths             []enforcedPath  `json:"paths"`
	MethodAsScope     bool            `json:"http-method-as-scope"`
	Realm             string          `json:"realm"`
	Server            string          `json:"auth-server-url"`
	Client            string          `json:"resource"`
	LazyLoad          bool            `json:"lazy-load-paths"`
	DenyRedirect      string          `json:"on-deny-redirect-to"`
	ClaimInformation  json.RawMessage `json:"claim-information-point"`
	UserManagedAccess json.RawMessage `json:"user-managed-access"`
}

type enforcedPath struct {
	Name             string           `json:"name"`
	Type             string           `json:"type"`
	Path             string           `json:"path"`
	Mode             string           `json:"enforcement-mode"`
	Scopes           []string         `json:"scopes"`
	Methods          []enforcedMethod `json:"methods"`
	ClaimInformation json.RawMessage  `json:"claim-information-point"`
}

type enforcedMethod struct {
	Method string   `json:"method"`
	Scopes []string `json:"scopes"`
	Mode   string   `json:"scopes-enforcement-mode"`
}

// The modes of a policy enforcer.
const (
	modeEnforcing  = "ENFORCING"
	modePermissive = "PERMISSIVE"
	modeDisabled   = "DISABLED"
	modeAll        = "ALL"
	modeAny        = "ANY"
)

// KeycloakEnforcer reads the configuration of a Keycloak policy enforcer: the
// "policy-enforcer" of a keycloak.json, or that object itself.
func KeycloakEnforcer(source string, data []byte, settings Settings) (*Draft, error) {
	members, err := object(data)
	if err != nil {
		return nil, err
	}
	var e enforcer
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	place := ""
	if inner, ok := members["policy-enforcer"]; ok {
		outer := e
		e = enforcer{}
		if err := json.Unmarshal(inner, &e); err != nil {
			return nil, fmt.Errorf("%w: policy-enforcer: %w", ErrSource, err)
		}
		e.Realm, e.Server, e.Client = or(e.Realm, outer.Realm), or(e.Server, outer.Server), or(e.Client, outer.Client)
		place = "policy-enforcer."
	} else if members["paths"] == nil && members["enforcement-mode"] == nil {
		return nil, fmt.Errorf("%w: it has neither policy-enforcer nor paths; is it a keycloak.json?", ErrSource)
	}
	d := newDraft(settings, source)
	d.Dialect, d.ClientID = "keycloak", e.Client
	if d.Issuer == "" && e.Server != "" && e.Realm != "" {
		d.Issuer = strings.TrimSuffix(e.Server, "/") + "/realms/" + e.Realm
	}
	if settings.Site == "" && e.Client != "" {
		d.Site = siteName(e.Client)
	}
	d.enforcement(place, &e)
	for i := range e.Paths {
		d.enforced(place+"paths["+strconv.Itoa(i)+"]", &e, &e.Paths[i])
	}
	if len(d.Resources) == 0 {
		return nil, fmt.Errorf("%w: no path%s", ErrNothing, d.reasons())
	}
	if d.ClientID != "" {
		d.note("resource", "resources of these names that client %q has at Keycloak already are not touched: umagate plan calls them conflicts; write their id: to use them as they are, or adopt: true", e.Client)
	}
	return d, nil
}

// object reads the members of the outermost object.
func object(data []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("%w: not a JSON object: %w", ErrSource, err)
	}
	return members, nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
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
	return or(name, "api")
}

// enforcement carries over what holds for every path.
func (d *Draft) enforcement(place string, e *enforcer) {
	switch strings.ToUpper(e.Mode) {
	case "", modeEnforcing:
	case modePermissive:
		d.Unmatched = "allow"
		d.note(place+"enforcement-mode", "PERMISSIVE lets pass what no path names: unmatched: allow")
	case modeDisabled:
		d.Mode = "off"
		d.note(place+"enforcement-mode", "DISABLED: mode: off; take it out to enforce")
	default:
		d.note(place+"enforcement-mode", "%q is not known: enforced", e.Mode)
	}
	if e.LazyLoad || len(e.Paths) == 0 {
		d.note(place+"lazy-load-paths", "paths that are kept in Keycloak's resources (their URIs) are not in this file: add them")
	}
	if e.DenyRedirect != "" {
		d.note(place+"on-deny-redirect-to", "nobody is redirected: a client gets 401 with a ticket, or 403")
	}
	if len(e.ClaimInformation) > 0 {
		d.note(place+"claim-information-point", "claims are not pushed to the authorization server")
	}
	for _, p := range e.Paths {
		if p.Path == "" && p.Name == "" {
			d.note(place+"paths", "an entry has neither path nor name")
		}
	}
}

func (d *Draft) enforced(place string, e *enforcer, p *enforcedPath) {
	if p.Path == "" {
		if p.Name != "" {
			d.note(place, "%q has no path: it is in Keycloak's resource, its URIs; add it", p.Name)
		}
		return
	}
	if len(p.ClaimInformation) > 0 {
		d.note(place+".claim-information-point", "claims are not pushed to the authorization server")
	}
	paths, lost := keycloakTemplate(p.Path)
	for _, l := range lost {
		d.note(place+".path", "%s", l)
	}
	r := d.resource(or(p.Name, p.Path))
	r.Type = or(r.Type, p.Type)
	switch strings.ToUpper(p.Mode) {
	case "", modeEnforcing:
	case modeDisabled:
		r.Conditions = append(r.Conditions, Condition{Place: place, Comment: "enforcement-mode: DISABLED", Paths: slices.Clone(paths), Public: true, widened: len(lost) > 0})
		return
	default:
		d.note(place+".enforcement-mode", "%q is enforced", p.Mode)
	}
	for i, m := range p.Methods {
		at := place + ".methods[" + strconv.Itoa(i) + "]"
		c := Condition{Place: at, Paths: slices.Clone(paths), widened: len(lost) > 0, Methods: []string{strings.ToUpper(m.Method)}}
		d.enforcedScopes(&c, m.Scopes, m.Mode)
		r.add(c)
	}
	// Every other method asks for the path's own scopes.
	c := Condition{Place: place, Paths: slices.Clone(paths), widened: len(lost) > 0}
	if e.MethodAsScope {
		d.methodsAsScopes(r, p, c)
		return
	}
	if len(p.Scopes) == 0 && len(p.Methods) > 0 {
		d.note(place, "methods that are not listed need any permission on the resource at Keycloak; here they are denied")
		return
	}
	d.enforcedScopes(&c, p.Scopes, modeAll)
	d.otherMethods(r, p, c)
}

// otherMethods adds the condition of the methods that the path does not list.
func (d *Draft) otherMethods(r *Resource, p *enforcedPath, c Condition) {
	if len(p.Methods) == 0 {
		r.add(c)
		return
	}
	for _, m := range allMethods() {
		if !slices.ContainsFunc(p.Methods, func(have enforcedMethod) bool { return strings.EqualFold(have.Method, m) }) {
			c.Methods = append(c.Methods, m)
		}
	}
	if len(c.Methods) > 0 {
		r.add(c)
	}
}

func (d *Draft) methodsAsScopes(r *Resource, p *enforcedPath, c Condition) {
	d.note(c.Place, "http-method-as-scope: a method that is not listed asks for the scope of its name")
	for _, m := range allMethods() {
		if !slices.ContainsFunc(p.Methods, func(have enforcedMethod) bool { return strings.EqualFold(have.Method, m) }) {
			r.add(Condition{Place: c.Place, Paths: slices.Clone(c.Paths), Methods: []string{m}, Scopes: []string{m}, widened: c.widened})
		}
	}
}

func allMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// enforcedScopes carries over which of the scopes are needed.
func (d *Draft) enforcedScopes(c *Condition, scopes []string, mode string) {
	scopes = unique(scopes)
	if len(scopes) == 0 {
		method := ""
		if len(c.Methods) > 0 {
			method = c.Methods[0]
		}
		c.Scopes = []string{madeUp(method)}
		d.note(c.Place, "no scope: any permission on the resource would do at Keycloak; scope %q is made up", c.Scopes[0])
		return
	}
	switch strings.ToUpper(mode) {
	case "", modeAll:
		c.anyOf([][]string{scopes})
		return
	case modeDisabled:
		d.note(c.Place, "scopes-enforcement-mode DISABLED takes any permission on the resource; here it takes one of %q", scopes)
	case modeAny:
	default:
		d.note(c.Place, "scopes-enforcement-mode %q is not known: all scopes are asked for", mode)
		c.anyOf([][]string{scopes})
		return
	}
	c.Scopes = scopes
}

// keycloakTemplate reads Keycloak's patterns: "/a/*" is everything below,
// "{name}" one segment, "*.html" a suffix.
func keycloakTemplate(path string) (forms, lost []string) {
	if cut := strings.IndexByte(path, '?'); cut >= 0 {
		path, lost = path[:cut], append(lost, "the query is no part of a path")
	}
	seen := map[string]bool{}
	t := templates{segment: func(text string, last bool) ([]string, string) {
		switch {
		case text == "*" && last, text == "**":
			return []string{"**"}, ""
		case text == "*":
			return []string{"*"}, ""
		case last && strings.HasPrefix(text, "*"):
			return []string{"**"}, fmt.Sprintf("%q is a suffix: everything below is covered, whatever it ends in", text)
		case strings.Contains(text, "*"):
			return []string{"*"}, fmt.Sprintf("%q is more than a wildcard: any segment is taken", text)
		}
		form, problem := parameter(text, seen)
		return []string{form}, problem
	}}
	forms, more := t.of(path)
	return forms, append(lost, more...)
}
