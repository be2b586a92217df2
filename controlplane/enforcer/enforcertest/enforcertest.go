// Package enforcertest makes up configurations of Keycloak's policy enforcer and
// requests, and says what the enforcer does with them, for tests that compare it
// with what is imported.
package enforcertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// Config is a configuration of a policy enforcer.
type Config struct {
	Server        string `json:"auth-server-url"`
	Realm         string `json:"realm"`
	Client        string `json:"resource"`
	Mode          string `json:"enforcement-mode,omitempty"`
	MethodAsScope bool   `json:"http-method-as-scope,omitempty"`
	Paths         []Path `json:"paths"`
}

// Path is one of its paths.
type Path struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Mode    string   `json:"enforcement-mode,omitempty"`
	Scopes  []string `json:"scopes,omitempty"`
	Methods []Method `json:"methods,omitempty"`
}

// Method is one of a path's.
type Method struct {
	Method string   `json:"method"`
	Scopes []string `json:"scopes,omitempty"`
	Mode   string   `json:"scopes-enforcement-mode,omitempty"`
}

// Request is a request. Its token has permissions; nil is no token.
type Request struct {
	Method, Path string
	Permissions  []Permission
}

// Permission is one of a token.
type Permission struct {
	Resource string
	Scopes   []string
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// SomePath is a path of a configuration: one that people write, or, when odd, one
// that nobody should.
func SomePath(r *rand.Rand, odd bool) string {
	usual := []string{"a", "b", "api", "{id}", "{x}", "*", "v1", "admin"}
	strange := []string{
		"", "**", "*.pdf", "a*", "{id}.json", "v{id}", "({id})", "{a}-{b}", "a.pdf", "x*.pdf",
		"{", "}", "{x", "a b", "a%20b", "ap", "{id}:export", "*x",
	}
	var out strings.Builder
	if !odd || r.IntN(8) > 0 {
		out.WriteString("/")
	}
	for i := range 1 + r.IntN(3) {
		if i > 0 {
			out.WriteString("/")
		}
		if odd && r.IntN(3) == 0 {
			out.WriteString(pick(r, strange...))
		} else {
			out.WriteString(pick(r, usual...))
		}
	}
	switch r.IntN(6) {
	case 0:
		out.WriteString("/*")
	case 1:
		out.WriteString(pick(r, "/*.pdf", "*", "/"))
	}
	if out.Len() == 0 {
		return "/"
	}
	return out.String()
}

// SomeTarget is the path of a request, mostly one that has to do with the paths.
func SomeTarget(r *rand.Rand, paths []string, odd bool) string {
	values := []string{"a", "b", "api", "apix", "v1", "v2", "admin", "a.pdf", "z", "zz", "ap"}
	if odd {
		values = append(values,
			"1.json", "(1)", "1-2", "*", "**", "x}", "x{", "{id}", "{x}", "a b", "a%20b", "1:export", "}", "*x", "xx.pdf", "z.json")
	}
	var out []string
	if r.IntN(3) == 0 {
		for range 1 + r.IntN(4) {
			out = append(out, pick(r, values...))
		}
		return "/" + strings.Join(out, "/") + pick(r, "", "", "", "/")
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(pick(r, paths...), "/"), "/") {
		if strings.ContainsAny(segment, "{*") && r.IntN(4) > 0 {
			segment = pick(r, values...)
		}
		out = append(out, segment)
	}
	if r.IntN(4) == 0 {
		out = append(out, pick(r, values...))
	}
	return "/" + strings.Join(out, "/") + pick(r, "", "", "", "/")
}

// PathsOf are the paths of a configuration, each once.
func (c *Config) PathsOf() enforcer.Paths {
	var out enforcer.Paths
	for _, p := range c.Paths {
		if !slices.Contains(out, p.Path) {
			out = append(out, p.Path)
		}
	}
	return out
}

func someScopes(r *rand.Rand) []string {
	return pick(r, nil, []string{"s1"}, []string{"s2"}, []string{"s1", "s2"}, []string{"s3", "s1"})
}

// Resources are the names that SomeConfig gives, and Scopes the scopes.
func Resources() []string { return []string{"r1", "r2", "r3"} }

// Scopes are the scopes that SomeConfig gives, and those that an import makes up.
func Scopes() []string {
	return []string{"s1", "s2", "s3", "access", "read", "write", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// Methods are those of requests.
func Methods() []string { return []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "PURGE"} }

// SomeConfig is a configuration in which some path is enforced.
func SomeConfig(r *rand.Rand, odd bool) Config {
	c := Config{Realm: "r", Client: "api", Server: "https://as.example.com", Mode: pick(r, "", "ENFORCING", "PERMISSIVE"), MethodAsScope: r.IntN(8) == 0}
	for range 1 + r.IntN(5) {
		p := Path{Path: SomePath(r, odd), Name: pick(r, Resources()...)}
		if r.IntN(10) == 0 && len(c.Paths) > 0 {
			p.Path = pick(r, c.Paths...).Path
		}
		switch r.IntN(3) {
		case 0:
			p.Mode = "DISABLED"
		default:
			p.Scopes = someScopes(r)
			for range r.IntN(3) {
				p.Methods = append(p.Methods, Method{
					Method: pick(r, "GET", "POST", "PUT", "put", "PURGE", "HEAD"), Scopes: someScopes(r), Mode: pick(r, "", "ALL", "ANY", "DISABLED"),
				})
			}
		}
		c.Paths = append(c.Paths, p)
	}
	if !slices.ContainsFunc(c.Paths, func(p Path) bool { return p.Mode == "" }) {
		c.Paths[0].Mode = ""
	}
	return c
}

// SomeRequests are requests of one path, with every kind of token.
func SomeRequests(r *rand.Rand, path string) []Request {
	method := pick(r, Methods()...)
	out := []Request{{Method: method, Path: path}, {Method: method, Path: path, Permissions: []Permission{}}}
	for _, name := range Resources() {
		for _, scopes := range [][]string{{"s1"}, {"s2"}, {"s3"}, {"s2", "s3"}, {method}, Scopes()} {
			out = append(out, Request{Method: method, Path: path, Permissions: []Permission{{name, scopes}}})
		}
	}
	return out
}

// Allows reports whether the enforcer lets a request pass.
func (c *Config) Allows(req Request) bool {
	paths := c.PathsOf()
	taken := paths.Choose(req.Path)
	switch taken {
	case enforcer.Fault:
		return false
	case enforcer.None:
		return c.Mode == "PERMISSIVE" && req.Permissions != nil
	}
	first, scopes, methods := c.joined(paths[taken])
	if first.Mode == "DISABLED" {
		return true
	}
	if req.Permissions == nil {
		return false
	}
	wanted := Method{Scopes: scopes, Mode: "ANY"}
	if c.MethodAsScope {
		wanted.Scopes = []string{req.Method}
	}
	if at := slices.IndexFunc(methods, func(m Method) bool { return m.Method == req.Method }); at >= 0 {
		wanted = methods[at]
	}
	return wanted.Mode == "DISABLED" || slices.ContainsFunc(req.Permissions, func(p Permission) bool {
		return p.Resource == first.Name && wanted.has(p.Scopes)
	})
}

func (m *Method) has(scopes []string) bool {
	in := func(s string) bool { return slices.Contains(scopes, s) }
	switch {
	case len(scopes) == 0 || len(m.Scopes) == 0:
		return true
	case m.Mode == "ANY":
		return slices.ContainsFunc(m.Scopes, in)
	}
	return !slices.ContainsFunc(m.Scopes, func(s string) bool { return !in(s) })
}

// joined is what the entries of one path say together: the first gives name and
// mode.
func (c *Config) joined(path string) (first Path, scopes []string, methods []Method) {
	found := false
	for _, p := range c.Paths {
		if p.Path != path {
			continue
		}
		if !found {
			first, found = p, true
		}
		scopes, methods = append(scopes, p.Scopes...), append(methods, p.Methods...)
	}
	return first, scopes, methods
}

// String names a request in a failure.
func (req Request) String() string {
	token := "without a token"
	if req.Permissions != nil {
		token = fmt.Sprintf("with %v", req.Permissions)
	}
	return req.Method + " " + req.Path + " " + token
}
