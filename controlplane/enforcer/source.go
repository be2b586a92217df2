package enforcer

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/scope"
)

// Source is what a policy enforcer goes by: the paths of its configuration, or those of
// the resources that it loads from Keycloak.
type Source struct {
	// Place is where the entries stand, for notes.
	Place   string
	Entries []*Entry
	// MethodAsScope: a method that an entry does not list asks for the scope of its name.
	MethodAsScope bool
	// Permissive: an authenticated caller passes where no path is named.
	Permissive bool
	// Untrusted: there are further paths, so that nothing is known to be public.
	Untrusted bool
	// Unordered: in which order the enforcer has the entries is not known.
	Unordered bool
	// Loaded: the entries are all that Keycloak has, with all of their scopes, and a condition
	// can ask for any permission on a resource.
	Loaded bool
	// Server has what the enforcer asks Keycloak for; nil where that is not known.
	Server *Server
	// Pushes: the enforcer pushes claims for every path, by which a policy may refuse: what
	// is the server's alone is denied.
	Pushes bool
	// Notes is told what is not exact.
	Notes Notes
}

// Notes is told what conditions do not say as the policy enforcer has it, and at what
// place of the source.
type Notes interface {
	// Note: who may do what is the same.
	Note(place, format string, args ...any)
	// Narrowed: less passes than at the enforcer.
	Narrowed(place, format string, args ...any)
	// Changed: something is decided otherwise.
	Changed(place, format string, args ...any)
}

// Entry is one path. Each text of a path is of one entry.
type Entry struct {
	// Resource is whose permission is asked for: what tells it from all others. Name is
	// what notes call it.
	Resource, Name string
	Place, Path    string
	Disabled       bool // it is public
	Denied         bool // it is not known whose it is
	// Withdrawn: the enforcer has it no more. It is denied where otherwise nothing would be
	// asked for.
	Withdrawn bool
	Scopes    []string
	Methods   []Method
	// ResourceScopes are those of the resource at Keycloak, where they are known: any
	// permission on it has one of them.
	ResourceScopes []string
}

// Method is one that an entry lists.
type Method struct {
	Place, Method string
	Scopes        []string
	// Mode is ALL, the default, ANY or DISABLED.
	Mode string
}

// The values of [Method.Mode].
const (
	ModeAll      = "ALL"
	ModeAny      = "ANY"
	ModeDisabled = "DISABLED"
)

// Entry gives the entry of a path, and whether it is new.
func (c *Source) Entry(place, path string) (e *Entry, first bool) {
	for _, e := range c.Entries {
		if e.Path == path {
			return e, false
		}
	}
	e = &Entry{Place: place, Path: path}
	c.Entries = append(c.Entries, e)
	return e, true
}

// Methods are those that an entry speaks of when it lists none.
func Methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// methods are those that the source tells apart. Behind them stands "", for every
// other one.
func (c *Source) methods() []string {
	out := Methods()
	for _, e := range c.Entries {
		for _, m := range e.Methods {
			if isMethod(m.Method) && !slices.Contains(out, m.Method) {
				out = append(out, m.Method)
			}
		}
	}
	if c.MethodAsScope && c.Loaded {
		// A method is told from every other one by the scope of its name.
		for _, e := range c.Entries {
			for _, name := range e.Scopes {
				if isMethod(name) && !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
	}
	return append(out, "")
}

// isMethod reports whether a request may have the method: those of the filter are in
// upper case, and Keycloak compares as they are.
func isMethod(s string) bool { return s != "" && IsForwarded(s) }

// IsForwarded reports whether umagate forwards requests of a method; "" is any.
func IsForwarded(method string) bool {
	return method != "CONNECT" && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == ""
}

// MadeUp is the scope that stands where the source names none.
func MadeUp(method string) string {
	switch method {
	case "":
		return "access"
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return "read"
	}
	return "write"
}

// demandsOf gives what an entry asks for, by method, and notes what is not exact.
func (c *Source) demandsOf(e *Entry, methods []string) []demand {
	out := make([]demand, len(methods))
	if e.Disabled || e.Denied || e.Withdrawn {
		for i := range out {
			if c.Untrusted || e.Denied || e.Withdrawn {
				out[i].kind = demandNever
			}
		}
		return out
	}
	others := c.otherMethods(e)
	for i, m := range methods {
		out[i] = others(m)
	}
	seen := map[string]bool{}
	var misspelt []Method
	for _, listed := range e.Methods {
		at := slices.Index(methods, listed.Method)
		switch {
		case listed.Method == "" || at < 0:
			misspelt = append(misspelt, listed)
			continue
		case seen[listed.Method]:
			c.Notes.Note(listed.Place, "%s is listed before: the first holds", listed.Method)
			continue
		}
		seen[listed.Method] = true
		out[at] = c.listedDemand(e, listed)
	}
	for _, listed := range misspelt {
		method := strings.ToUpper(listed.Method)
		at := slices.Index(methods, method)
		if method == "" || at < 0 || seen[method] {
			c.Notes.Note(listed.Place, "%q is no method of a request that passes", listed.Method)
			continue
		}
		c.Notes.Narrowed(listed.Place, "Keycloak compares methods as they are written, so that %s is one that is not listed: it needs what both ask for", method)
		out[at] = out[at].and(c.listedDemand(e, listed))
	}
	return out
}

// otherMethods gives what the methods that are not listed ask for: one of the
// path's own scopes.
func (c *Source) otherMethods(e *Entry) func(method string) demand {
	asked := demand{kind: demandPermission, resource: e.Resource}
	switch {
	case c.Loaded && len(e.Scopes) == 0 && len(e.Methods) == 0:
		// Its permissions have no scopes, and such a one is enough for any.
	case c.MethodAsScope:
		c.Notes.Note(e.Place, "http-method-as-scope: a method that is not listed asks for the scope of its name")
		return func(method string) demand {
			if method == "" || c.Loaded && !slices.Contains(e.Scopes, method) {
				return demand{kind: demandNever} // nobody can be given it
			}
			return demand{kind: demandScopes, resource: e.Resource, need: [][]string{{method}}}
		}
	case len(e.Scopes) > 0:
		asked = c.scopeDemand(e.Place, e.Resource, e.Scopes, false)
	case len(e.ResourceScopes) > 0:
		asked = c.scopeDemand(e.Place, e.Resource, e.ResourceScopes, false)
	case len(e.Methods) > 0:
		c.Notes.Narrowed(e.Place, "methods that are not listed need any permission on the resource at Keycloak; here they are denied")
	default:
		made := MadeUp("")
		asked = demand{kind: demandScopes, resource: e.Resource, need: [][]string{{made}}}
		c.Notes.Narrowed(e.Place, "no scope: any permission on the resource would do at Keycloak; scope %q is made up", made)
	}
	return func(string) demand { return asked }
}

// listedDemand carries over which of the scopes a method needs.
func (c *Source) listedDemand(e *Entry, m Method) demand {
	if len(m.Scopes) == 0 && len(e.ResourceScopes) > 0 {
		return c.scopeDemand(m.Place, e.Resource, e.ResourceScopes, false)
	}
	if len(m.Scopes) == 0 {
		made := MadeUp(strings.ToUpper(m.Method))
		c.Notes.Narrowed(m.Place, "no scope: any permission on the resource would do at Keycloak; scope %q is made up", made)
		return demand{kind: demandScopes, resource: e.Resource, need: [][]string{{made}}}
	}
	switch m.Mode {
	case "", ModeAll:
		return c.scopeDemand(m.Place, e.Resource, m.Scopes, true)
	case ModeDisabled:
		c.Notes.Narrowed(m.Place, "scopes-enforcement-mode DISABLED takes every authenticated caller; here it takes one of %q", m.Scopes)
	case ModeAny:
	default:
		c.Notes.Narrowed(m.Place, "scopes-enforcement-mode %q is not known: all scopes are asked for", m.Mode)
		return c.scopeDemand(m.Place, e.Resource, m.Scopes, true)
	}
	return c.scopeDemand(m.Place, e.Resource, m.Scopes, false)
}

// scopeDemand asks for all of the scopes, or for one of them.
func (c *Source) scopeDemand(place, resource string, scopes []string, all bool) demand {
	valid := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !scope.IsToken(s) })
	if len(valid) < len(scopes) {
		c.Notes.Narrowed(place, "of the scopes %q, one is none that a token can name", scopes)
	}
	switch {
	case len(valid) == 0, all && len(valid) < len(scopes):
		return demand{kind: demandNever}
	case all:
		return demand{kind: demandScopes, resource: resource, need: [][]string{valid}}
	}
	out := demand{kind: demandScopes, resource: resource}
	for _, s := range valid {
		out.need = append(out.need, []string{s})
	}
	return out
}

// judge prepares the comparison of the source with the filter.
func (c *Source) judge(methods []string) *judge {
	j := &judge{keep: c.Untrusted, unordered: c.Unordered, keycloaks: c.Loaded}
	demands := make([][]demand, len(c.Entries))
	for i, e := range c.Entries {
		demands[i] = c.demandsOf(e, methods)
		j.paths, j.begins = append(j.paths, e.Path), append(j.begins, Begin(e.Path))
		forms := covers(e.Path)
		never := e.Withdrawn || neverTaken(e.Path)
		j.gone = append(j.gone, e.Withdrawn)
		if never && e.Disabled {
			forms = nil
		}
		j.covers, j.never = append(j.covers, forms), append(j.never, never)
		end, _ := ending(e.Path)
		j.endings = append(j.endings, end)
		switch {
		case never && e.Disabled:
			c.Notes.Changed(e.Place+".path", "Keycloak's matcher takes %q for no request: what holds for a wider path holds", e.Path)
		case e.Withdrawn:
		case len(forms) == 0:
			c.Notes.Note(e.Place+".path", "%q is no path that the filter lets pass", e.Path)
		case never:
			c.Notes.Changed(e.Place+".path", "Keycloak's matcher takes %q for no request, so that a wider path holds; here it counts where otherwise nothing would be asked for", e.Path)
		}
	}
	none, never := make([]demand, len(methods)), make([]demand, len(methods))
	for i := range methods {
		never[i].kind, none[i].kind = demandNever, demandNever
		if c.Permissive {
			none[i].kind = demandToken
		}
	}
	j.demands = func(outcome int) []demand {
		switch {
		case outcome >= 0:
			return demands[outcome]
		case outcome == None:
			return none
		}
		return never
	}
	if c.Server != nil {
		c.serve(j, methods, &demands)
	}
	return j
}
