package importer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// ResourceBy says what becomes one resource.
type ResourceBy string

// The values of [ResourceBy].
const (
	// ByTag makes one of an operation's first tag; without tag, of the path's first
	// segment.
	ByTag ResourceBy = "tag"
	// ByPath makes one of each path.
	ByPath ResourceBy = "path"
)

// OpenAPI reads an OpenAPI 3 document from path; what it refers to is read from
// files only.
func OpenAPI(path string, by ResourceBy, settings Settings) (*Draft, error) {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	loader.ReadFromURIFunc = func(_ *openapi3.Loader, location *url.URL) ([]byte, error) {
		if location.Scheme != "" && location.Scheme != "file" || location.Host != "" {
			return nil, fmt.Errorf("%s: only files are read; keep a copy beside the document", location.Redacted())
		}
		return readFile(location.Path)
	}
	document, err := loader.LoadFromURI(&url.URL{Path: path})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, path, err)
	}
	return openAPI(document, path, by, settings)
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, MaxSource+1))
	if err == nil && len(data) > MaxSource {
		err = fmt.Errorf("%s is larger than %d bytes", path, MaxSource)
	}
	return data, err
}

// reading is the document being read.
type reading struct {
	*Draft

	document *openapi3.T
	by       ResourceBy
}

func openAPI(document *openapi3.T, source string, by ResourceBy, settings Settings) (*Draft, error) {
	if !strings.HasPrefix(document.OpenAPI, "3.") {
		return nil, fmt.Errorf("%w: openapi is %q, want 3.0, 3.1 or 3.2; convert Swagger 2.0 first", ErrSource, document.OpenAPI)
	}
	r := &reading{Draft: newDraft(settings, source), document: document, by: by}
	if n := len(document.Webhooks); n > 0 {
		r.note("webhooks", "%d of them: they are calls that the API makes, not calls to it", n)
	}
	if len(r.Hosts) == 0 {
		r.Hosts = hostsOf(document.Servers)
	}
	for _, path := range slices.Sorted(maps.Keys(document.Paths.Map())) {
		if item := document.Paths.Value(path); item != nil {
			r.path(path, item)
		}
	}
	if len(r.Resources) == 0 {
		return nil, fmt.Errorf("%w: no operation in paths%s", ErrNothing, r.reasons())
	}
	return r.Draft, nil
}

func hostsOf(servers openapi3.Servers) []string {
	var out []string
	for _, s := range servers {
		if u, err := url.Parse(resolved(s)); err == nil && u.Hostname() != "" && !strings.ContainsAny(u.Hostname(), "{}:") {
			out = append(out, strings.ToLower(u.Hostname()))
		}
	}
	return unique(out)
}

// resolved is a server's URL with the defaults of its variables.
func resolved(s *openapi3.Server) string {
	if s == nil {
		return ""
	}
	out := s.URL
	for name, v := range s.Variables {
		if v != nil {
			out = strings.ReplaceAll(out, "{"+name+"}", v.Default)
		}
	}
	return out
}

// bases are the paths that the servers put before each path.
func (r *reading) bases(place string, servers openapi3.Servers) []string {
	var out []string
	for _, s := range servers {
		u, err := url.Parse(resolved(s))
		if err != nil {
			r.note(place, "server %q is not a URL", s.URL)
			continue
		}
		for name, v := range s.Variables {
			if v != nil && len(v.Enum) > 1 {
				if _, after, ok := strings.Cut(s.URL, "//"); !ok || strings.Contains(after[strings.IndexByte(after+"/", '/'):], "{"+name+"}") {
					r.note(place, "server variable %q is taken as %q; its other values are not covered", name, v.Default)
				}
			}
		}
		out = append(out, strings.TrimSuffix(u.EscapedPath(), "/"))
	}
	if len(out) == 0 {
		return []string{""}
	}
	return unique(out)
}

func (r *reading) path(path string, item *openapi3.PathItem) {
	place := "paths." + path
	operations := item.Operations()
	maps.Copy(operations, item.AdditionalOperations)
	for _, method := range slices.Sorted(maps.Keys(operations)) {
		op := operations[method]
		if op == nil {
			continue
		}
		at := place + "." + strings.ToLower(method)
		servers, from := r.document.Servers, "servers"
		if len(item.Servers) > 0 {
			servers, from = item.Servers, place+".servers"
		}
		if op.Servers != nil && len(*op.Servers) > 0 {
			servers, from = *op.Servers, at+".servers"
		}
		c := Condition{Place: at, Methods: []string{strings.ToUpper(method)}, Comment: title(op)}
		for _, base := range r.bases(from, servers) {
			forms, lost := openAPITemplate(base + "/" + strings.TrimPrefix(path, "/"))
			c.Paths = append(c.Paths, forms...)
			for _, l := range lost {
				r.note(at, "%s", l)
			}
			c.widened = c.widened || len(lost) > 0
		}
		r.requirement(&c, op)
		r.resource(r.name(path, op)).add(c)
	}
}

func openAPITemplate(path string) (forms, lost []string) {
	if cut := strings.IndexByte(path, '?'); cut >= 0 {
		path, lost = path[:cut], append(lost, "the query is no part of a path: operations told apart by it are one")
	}
	seen := map[string]bool{}
	t := templates{segment: func(text string, _ bool) ([]string, string) {
		form, problem := parameter(text, seen)
		return []string{form}, problem
	}}
	forms, more := t.of(path)
	return forms, append(lost, more...)
}

func title(op *openapi3.Operation) string {
	text := op.OperationID
	if op.Summary != "" {
		text = strings.TrimPrefix(text+": "+op.Summary, ": ")
	}
	return text
}

// name is that of the resource of an operation.
func (r *reading) name(path string, op *openapi3.Operation) string {
	if r.by == ByPath {
		return path
	}
	for _, tag := range op.Tags {
		if tag != "" {
			return tag
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "" && !strings.Contains(segment, "{") {
			return segment
		}
	}
	return "root"
}

// requirement carries over the security of an operation: alternatives of schemes
// that are needed together (OpenAPI 3.1 section 4.8.30).
func (r *reading) requirement(c *Condition, op *openapi3.Operation) {
	requirements := r.document.Security
	at := "security"
	if op.Security != nil {
		requirements, at = *op.Security, c.Place+".security"
	}
	if requirements == nil {
		c.Scopes = []string{madeUp(c.Methods[0])}
		r.note(c.Place, "no security is declared: scope %q is made up; write public: true if everybody may call it", c.Scopes[0])
		return
	}
	if len(requirements) == 0 {
		c.Public = true
		return
	}
	var alternatives [][]string
	for i, requirement := range requirements {
		if len(requirement) == 0 {
			c.Public = true
			r.note(c.Place, "a token is optional (%s[%d] is empty): it is public here, and the API judges the token", at, i)
			return
		}
		if scopes, ok := r.scopes(c, at+"["+strconv.Itoa(i)+"]", requirement); ok {
			alternatives = append(alternatives, scopes)
		}
	}
	if len(alternatives) == 0 {
		alternatives = [][]string{{madeUp(c.Methods[0])}}
		r.note(c.Place, "no alternative of its security is OAuth 2.0 or OpenID Connect: scope %q is made up", alternatives[0][0])
	}
	c.anyOf(alternatives)
}

// scopes gives what one alternative asks for; false when no token can satisfy it.
func (r *reading) scopes(c *Condition, at string, requirement openapi3.SecurityRequirement) (out []string, ok bool) {
	var others []string
	for _, name := range slices.Sorted(maps.Keys(requirement)) {
		kind := "undefined"
		if r.document.Components != nil {
			if ref := r.document.Components.SecuritySchemes[name]; ref != nil && ref.Value != nil {
				kind = ref.Value.Type
				if kind == "http" && strings.EqualFold(ref.Value.Scheme, "bearer") {
					kind = "bearer"
				}
			}
		}
		switch kind {
		case "oauth2", "openIdConnect", "bearer":
			if ok {
				r.note(c.Place, "%s wants several tokens; one token with all of their scopes is asked for", at)
			}
			ok = true
			out = append(out, requirement[name]...)
		default:
			others = append(others, fmt.Sprintf("%s (%s)", name, kind))
		}
	}
	switch {
	case !ok:
		r.note(c.Place, "the alternative %s is left out: %s cannot be checked by a token", at, strings.Join(others, ", "))
		return nil, false
	case len(others) > 0:
		r.note(c.Place, "%s wants %s, too, which is not checked here: let the API go on checking it", at, strings.Join(others, ", "))
	}
	if out = unique(out); len(out) == 0 {
		out = []string{madeUp(c.Methods[0])}
		r.note(c.Place, "%s names no scope: %q is made up", at, out[0])
	}
	return out, true
}

// ParseResourceBy reads a [ResourceBy].
func ParseResourceBy(s string) (ResourceBy, error) {
	if b := ResourceBy(s); b == ByTag || b == ByPath {
		return b, nil
	}
	return "", errors.New("must be one of tag, path")
}
