package enforcer

import (
	"slices"
	"strings"
)

// Server are the resources that an enforcer asks Keycloak for.
type Server struct {
	Resources []Resource
	// Lazy: it asks also where it takes no path of its own, or one with "*".
	Lazy bool

	// paths are all URIs, each once; owners are whose each is.
	paths  Paths
	owners [][]int
}

// Resource is one of Keycloak's.
type Resource struct {
	// Resource tells it from all others, Name is what notes call it.
	Resource, Name string
	Place          string
	URIs, Scopes   []string
}

// none stands for no resource.
const none = -1

// NewServer prepares the search among resources.
func NewServer(resources []Resource) *Server {
	s := &Server{Resources: resources}
	for i := range resources {
		for _, uri := range resources[i].URIs {
			at := slices.Index(s.paths, uri)
			if at < 0 {
				at = len(s.paths)
				s.paths, s.owners = append(s.paths, uri), append(s.owners, nil)
			}
			s.owners[at] = append(s.owners[at], i)
		}
	}
	return s
}

// exact are the resources that have the very URI.
func (s *Server) exact(uri string) []int {
	if at := slices.Index(s.paths, uri); at >= 0 {
		return s.owners[at]
	}
	return nil
}

// Matching are the indexes of the resources that Keycloak may find for a path: those with
// that URI, or one that its matcher takes, in any order; -1 is among them where it may
// find none.
func (s *Server) Matching(path string) []int {
	if found := s.exact(path); len(found) > 0 {
		return found
	}
	var out []int
	for _, at := range s.paths.Possible(path) {
		if at < 0 {
			out = append(out, none)
		} else {
			out = append(out, s.owners[at]...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// standsFor are the resources for which a path with parameters stands when it is taken
// for a request: one with the request's URI, one that the path begins with, or one
// that Keycloak finds.
func (s *Server) standsFor(target string) []int {
	if found := s.exact(target); len(found) > 0 {
		return found
	}
	found := slices.Clone(s.Matching(target))
	for at := strings.LastIndexByte(target, '/'); at > 0; at = strings.LastIndexByte(target[:at], '/') {
		found = append(found, s.exact(target[:at])...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// parts are how many parts the URI may have of what a path with parameters stands for.
func (s *Server) parts(path, target string) (out []int) {
	if !strings.Contains(path, "{") {
		return nil
	}
	for _, r := range s.standsFor(target) {
		if r == none {
			out = append(out, javaParts(path, "/"))
			continue
		}
		for _, uri := range s.Resources[r].URIs {
			out = append(out, javaParts(uri, "/"))
		}
	}
	return out
}

// ofServer gives what becomes of paths that the enforcer takes once it has asked the
// server: a path with parameters stands for the resource that the server has for the
// request, with the path's own methods and scopes. Where it loads paths when they are
// asked for, no path, or one with "*", stands for such a resource, too, then with the
// resource's scopes. Where it is not known which it is, each counts.
func (j *judge) ofServer(static []int, target string) []int {
	var out []int
	for _, o := range static {
		switch {
		case o == Fault:
			out = append(out, o)
			continue
		case o >= 0 && !strings.Contains(j.paths[o], "{"):
			out = append(out, j.loaded(o, target, strings.Contains(j.paths[o], "*"))...)
			continue
		case o == None:
			out = append(out, j.loaded(o, target, true)...)
			continue
		}
		for _, r := range j.server.standsFor(target) {
			if r == none {
				out = append(out, j.loaded(o, target, strings.Contains(j.paths[o], "*"))...)
				continue
			}
			out = append(out, j.standing(o, r, false))
			if slices.ContainsFunc(j.server.Resources[r].URIs, func(uri string) bool { return strings.Contains(uri, "*") }) {
				out = append(out, j.loaded(o, target, true)...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// loaded is what a path becomes where the enforcer asks the server for one that matches.
func (j *judge) loaded(o int, target string, asks bool) (out []int) {
	if !j.server.Lazy || !asks {
		return []int{o}
	}
	for _, r := range j.server.Matching(target) {
		if r == none {
			out = append(out, o)
			continue
		}
		out = append(out, j.standing(o, r, true))
		if o == None {
			out = append(out, o) // the enforcer may have bound the resource to another path
		}
	}
	return out
}

// standing is the outcome of a path that stands for a resource.
func (j *judge) standing(o, resource int, whole bool) int {
	key := [2]int{o, 2 * resource}
	if whole {
		key[1]++
	}
	if _, ok := j.taken[key]; !ok {
		j.taken[key] = j.pair(o, resource, whole)
	}
	return j.taken[key]
}

// serve prepares the judge for a server. demands has those of the entries.
func (c *Source) serve(j *judge, methods []string, demands *[][]demand) {
	entries := slices.Clone(c.Entries)
	j.server, j.taken = c.Server, map[[2]int]int{}
	j.pair = func(of, resource int, whole bool) int {
		e := c.forResource(entries, of, resource, whole)
		c.Entries, *demands = append(c.Entries, e), append(*demands, c.demandsOf(e, methods))
		var forms []outline
		for _, uri := range c.Server.Resources[resource].URIs {
			forms = append(forms, covers(uri)...)
		}
		j.covers, j.never, j.endings = append(j.covers, distinct(forms)), append(j.never, false), append(j.endings, nil)
		return len(c.Entries) - 1
	}
}

// forResource is the entry of a path that stands for a resource of the server. of is
// the path's index, or none.
func (c *Source) forResource(entries []*Entry, of, resource int, whole bool) *Entry {
	r := &c.Server.Resources[resource]
	e := &Entry{Place: r.Place, Resource: r.Resource, Name: r.Name, Scopes: r.Scopes, ResourceScopes: r.Scopes, Denied: c.Pushes}
	if of < 0 {
		return e
	}
	from := entries[of]
	e.Place, e.Methods, e.Disabled, e.Denied = from.Place, from.Methods, from.Disabled, e.Denied || from.Denied
	if !whole {
		e.Scopes = from.Scopes
	}
	return e
}
