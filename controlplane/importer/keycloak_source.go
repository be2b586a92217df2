package importer

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/importer/enforcer"
	"github.com/umagate/umagate/plugin/scope"
)

// keycloakSource is what a policy enforcer goes by.
type keycloakSource struct {
	place         string
	entries       []*keycloakEntry
	methodAsScope bool
	// permissive: an authenticated caller passes where no path is named.
	permissive bool
	// serverOnly: an entry is enforced and has no path.
	serverOnly bool
	// untrusted: the server has further paths, so that nothing is known to be public.
	untrusted bool
	// unordered: in which order the enforcer has the entries is not known.
	unordered bool
}

// keycloakEntry is one path.
type keycloakEntry struct {
	place, path, name, kind string
	disabled                bool
	denied                  bool // it is not known whose it is
	scopes                  []string
	methods                 []listedMethod
}

type listedMethod struct {
	place, method string
	scopes        []string
	mode          string
}

// entry gives the entry of a path, and whether it is new.
func (c *keycloakSource) entry(place, path string) (e *keycloakEntry, first bool) {
	for _, e := range c.entries {
		if e.path == path {
			return e, false
		}
	}
	e = &keycloakEntry{place: place, path: path}
	c.entries = append(c.entries, e)
	return e, true
}

func (c *keycloakSource) enforces() bool {
	return c.serverOnly || slices.ContainsFunc(c.entries, func(e *keycloakEntry) bool { return !e.disabled })
}

// allMethods are those that an entry speaks of when it lists none.
func allMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// methods are those that the source tells apart. Behind them stands "", for every
// other one.
func (c *keycloakSource) methods() []string {
	out := allMethods()
	for _, e := range c.entries {
		for _, m := range e.methods {
			if isMethod(m.method) && !slices.Contains(out, m.method) {
				out = append(out, m.method)
			}
		}
	}
	return append(out, "")
}

// isMethod reports whether a request may have the method: those of the filter are in
// upper case, and Keycloak compares as they are.
func isMethod(s string) bool { return s != "" && isForwarded(s) }

// demandsOf gives what an entry asks for, by method, and notes what is not exact.
func (d *Draft) demandsOf(c *keycloakSource, e *keycloakEntry, methods []string) []demand {
	out := make([]demand, len(methods))
	if e.disabled || e.denied {
		for i := range out {
			if c.untrusted || e.denied {
				out[i].kind = demandNever
			}
		}
		return out
	}
	others := d.otherMethods(c, e)
	for i, m := range methods {
		out[i] = others(m)
	}
	seen := map[string]bool{}
	var misspelt []listedMethod
	for _, listed := range e.methods {
		at := slices.Index(methods, listed.method)
		switch {
		case listed.method == "" || at < 0:
			misspelt = append(misspelt, listed)
			continue
		case seen[listed.method]:
			d.note(listed.place, "%s is listed before: the first holds", listed.method)
			continue
		}
		seen[listed.method] = true
		out[at] = d.listedDemand(e, listed)
	}
	for _, listed := range misspelt {
		method := strings.ToUpper(listed.method)
		at := slices.Index(methods, method)
		if method == "" || at < 0 || seen[method] {
			d.note(listed.place, "%q is no method of a request that passes", listed.method)
			continue
		}
		d.noteNarrowed(listed.place, "Keycloak compares methods as they are written, so that %s is one that is not listed: it needs what both ask for", method)
		out[at] = out[at].and(d.listedDemand(e, listed))
	}
	return out
}

// otherMethods gives what the methods that are not listed ask for: one of the
// path's own scopes.
func (d *Draft) otherMethods(c *keycloakSource, e *keycloakEntry) func(method string) demand {
	if c.methodAsScope {
		d.note(e.place, "http-method-as-scope: a method that is not listed asks for the scope of its name")
		return func(method string) demand {
			if method == "" {
				return demand{kind: demandNever}
			}
			return demand{kind: demandScopes, resource: e.name, need: [][]string{{method}}}
		}
	}
	asked := demand{kind: demandPermission, resource: e.name}
	switch {
	case len(e.scopes) > 0:
		asked = d.scopeDemand(e.place, e.name, e.scopes, false)
	case len(e.methods) > 0:
		d.noteNarrowed(e.place, "methods that are not listed need any permission on the resource at Keycloak; here they are denied")
	default:
		made := madeUp("")
		asked = demand{kind: demandScopes, resource: e.name, need: [][]string{{made}}}
		d.noteNarrowed(e.place, "no scope: any permission on the resource would do at Keycloak; scope %q is made up", made)
	}
	return func(string) demand { return asked }
}

// listedDemand carries over which of the scopes a method needs.
func (d *Draft) listedDemand(e *keycloakEntry, m listedMethod) demand {
	if len(m.scopes) == 0 {
		made := madeUp(strings.ToUpper(m.method))
		d.noteNarrowed(m.place, "no scope: any permission on the resource would do at Keycloak; scope %q is made up", made)
		return demand{kind: demandScopes, resource: e.name, need: [][]string{{made}}}
	}
	switch m.mode {
	case "", modeAll:
		return d.scopeDemand(m.place, e.name, m.scopes, true)
	case modeDisabled:
		d.noteNarrowed(m.place, "scopes-enforcement-mode DISABLED takes every authenticated caller; here it takes one of %q", m.scopes)
	case modeAny:
	default:
		d.noteNarrowed(m.place, "scopes-enforcement-mode %q is not known: all scopes are asked for", m.mode)
		return d.scopeDemand(m.place, e.name, m.scopes, true)
	}
	return d.scopeDemand(m.place, e.name, m.scopes, false)
}

// scopeDemand asks for all of the scopes, or for one of them.
func (d *Draft) scopeDemand(place, resource string, scopes []string, all bool) demand {
	valid := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !scope.IsToken(s) })
	if len(valid) < len(scopes) {
		d.noteNarrowed(place, "of the scopes %q, one is none that a token can name", scopes)
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
func (d *Draft) judge(c *keycloakSource, methods []string) *judge {
	j := &judge{keep: c.untrusted, unordered: c.unordered}
	demands := make([][]demand, len(c.entries))
	for i, e := range c.entries {
		demands[i] = d.demandsOf(c, e, methods)
		j.paths, j.begins = append(j.paths, e.path), append(j.begins, enforcer.Begin(e.path))
		forms := covers(e.path)
		never := neverTaken(e.path)
		if never && e.disabled {
			forms = nil
		}
		j.covers, j.never = append(j.covers, forms), append(j.never, never)
		end, _ := ending(e.path)
		j.endings = append(j.endings, end)
		switch {
		case never && e.disabled:
			d.noteChanged(e.place+".path", "Keycloak's matcher takes %q for no request: what holds for a wider path holds", e.path)
		case len(forms) == 0:
			d.note(e.place+".path", "%q is no path that the filter lets pass", e.path)
		case never:
			d.noteChanged(e.place+".path", "Keycloak's matcher takes %q for no request, so that a wider path holds; here it counts where otherwise nothing would be asked for", e.path)
		}
	}
	none, never := make([]demand, len(methods)), make([]demand, len(methods))
	for i := range methods {
		never[i].kind, none[i].kind = demandNever, demandNever
		if c.permissive {
			none[i].kind = demandToken
		}
	}
	j.demands = func(outcome int) []demand {
		switch {
		case outcome >= 0:
			return demands[outcome]
		case outcome == enforcer.None:
			return none
		}
		return never
	}
	return j
}
