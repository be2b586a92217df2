package enforcertest

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// Resource is one that the server has.
type Resource struct {
	Name   string
	URIs   []string
	Scopes []string
}

// Served is a configuration whose enforcer asks a server, whose resources are in some
// order.
type Served struct {
	Config

	Lazy      bool
	Resources []Resource
}

// SomeServed is a configuration and a server for it. Each URI is of one resource, and
// each path of the file without a name, too.
func SomeServed(r *rand.Rand) Served {
	out := Served{Lazy: r.IntN(2) == 0}
	taken := map[string]bool{}
	for _, name := range Resources() {
		one := Resource{Name: name, Scopes: pick(r, []string{"s1"}, []string{"s1", "s2"}, []string{"s2", "s3"})}
		for range 1 + r.IntN(2) {
			uri := SomePath(r, false)
			if r.IntN(3) == 0 {
				uri = pick(r, "/a/1", "/api/a", "/admin", "/v1/z", "/a")
			}
			if !taken[uri] {
				taken[uri] = true
				one.URIs = append(one.URIs, uri)
			}
		}
		out.Resources = append(out.Resources, one)
	}
	out.Config = SomeConfig(r, false)
	if r.IntN(3) == 0 {
		out.Paths = nil
	}
	for i := range out.Paths {
		if r.IntN(4) == 0 {
			out.Paths[i].Mode = "DISABLED"
		}
	}
	return out
}

// bound is a path that the enforcer has, with the resource that it stands for.
type bound struct {
	path, resource string
	scopes         []string
	methods        []Method
	mode           string
	static         bool
}

// matching is what the server finds for a path: a resource with that URI, or one that
// its matcher takes.
func (s *Served) matching(path string) *Resource {
	if found := s.exact(path); found != nil {
		return found
	}
	var uris enforcer.Paths
	var owners []*Resource
	for i := range s.Resources {
		for _, uri := range s.Resources[i].URIs {
			uris, owners = append(uris, uri), append(owners, &s.Resources[i])
		}
	}
	if at := uris.Choose(path); at >= 0 {
		return owners[at]
	}
	return nil
}

func (s *Served) exact(uri string) *Resource {
	for i := range s.Resources {
		if slices.Contains(s.Resources[i].URIs, uri) {
			return &s.Resources[i]
		}
	}
	return nil
}

// configured are the enforcer's paths when it has started.
func (s *Served) configured() (out []bound) {
	load := !s.Lazy && !slices.ContainsFunc(s.Paths, func(p Path) bool { return p.Mode != "DISABLED" })
	if load {
		for _, r := range s.Resources {
			for _, uri := range r.URIs {
				out = append(out, bound{path: uri, resource: r.Name, scopes: r.Scopes})
			}
		}
	}
	for _, path := range s.PathsOf() {
		first, scopes, methods := s.joined(path)
		b := bound{path: path, scopes: scopes, methods: methods, mode: first.Mode, static: first.Mode == "DISABLED"}
		if first.Name != "" {
			if slices.ContainsFunc(s.Resources, func(r Resource) bool { return r.Name == first.Name }) {
				b.resource, b.static = first.Name, true
			}
		} else if r := s.matching(path); r != nil {
			b.resource = r.Name
		}
		if at := slices.IndexFunc(out, func(have bound) bool { return have.path == path }); at >= 0 {
			out[at] = b
			continue
		}
		out = append(out, b)
	}
	return out
}

// Allows reports whether the enforcer lets a request pass.
func (s *Served) Allows(req Request) bool {
	all := s.configured()
	var paths enforcer.Paths
	for _, b := range all {
		paths = append(paths, b.path)
	}
	stands := func(i int) *Resource {
		if !strings.Contains(paths[i], "{") {
			return nil
		}
		if r := s.exact(req.Path); r != nil {
			return r
		}
		if begin := strings.IndexByte(paths[i], '{'); begin < len(req.Path) {
			value, _, _ := strings.Cut(req.Path[begin:], "/")
			if r := s.exact(req.Path[:begin] + value); r != nil {
				return r
			}
		}
		return s.matching(req.Path)
	}
	at := paths.Resolved(req.Path, false, func(i int) []int {
		if r := stands(i); r != nil {
			return []int{enforcer.Parts(r.URIs[0])}
		}
		return nil
	})[0]
	if at == enforcer.Fault {
		return false
	}
	var taken *bound
	if at >= 0 {
		b := all[at]
		taken = &b
		if r := stands(at); r != nil {
			taken.resource, taken.path = r.Name, r.URIs[0]
		}
	}
	if s.Lazy && (taken == nil || strings.Contains(taken.path, "*")) {
		if r := s.matching(req.Path); r != nil {
			switch {
			case taken != nil:
				taken.resource, taken.scopes = r.Name, r.Scopes
			case slices.ContainsFunc(all, func(b bound) bool { return b.resource == r.Name && b.static && b.mode != "DISABLED" }):
			default:
				taken = &bound{resource: r.Name, scopes: r.Scopes}
			}
		}
	}
	if taken == nil {
		return s.Mode == "PERMISSIVE" && req.Permissions != nil
	}
	if taken.mode == "DISABLED" {
		return true
	}
	if req.Permissions == nil {
		return false
	}
	wanted := Method{Scopes: taken.scopes, Mode: "ANY"}
	if s.MethodAsScope {
		wanted.Scopes = []string{req.Method}
	}
	if i := slices.IndexFunc(taken.methods, func(m Method) bool { return m.Method == req.Method }); i >= 0 {
		wanted = taken.methods[i]
	}
	return wanted.Mode == "DISABLED" || slices.ContainsFunc(req.Permissions, func(p Permission) bool {
		return p.Resource == taken.resource && wanted.has(p.Scopes)
	})
}
