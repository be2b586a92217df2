package importer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
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

// anyMethod is AWS API Gateway's name of an operation for the methods that have none.
const anyMethod = "x-amazon-apigateway-any-method"

// OpenAPI reads an OpenAPI 3 or Swagger 2.0 document from path; what it refers to is
// read from files only. Of the document only what says who may do what is read: a
// fault elsewhere is a note.
func OpenAPI(path string, by ResourceBy, settings Settings) (*Draft, error) {
	data, err := ReadSource(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	document, err := readDocument(path, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, path, err)
	}
	return openAPI(document, by, settings)
}

// ReadSource reads a file, of [MaxSource] bytes at most.
func ReadSource(path string) ([]byte, error) {
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

	document  *value
	documents *documents
	by        ResourceBy
	settings  Settings
	claims    *claims
	schemes   map[string]*value
	operation int // how many were read
	broken    int // how many paths could not be
}

func openAPI(document *file, by ResourceBy, settings Settings) (*Draft, error) {
	root := document.root
	switch version, old := root.string("openapi"), root.string("swagger"); {
	case strings.HasPrefix(version, "3."), version == "" && (old == "2.0" || old == "2"):
	case version == "" && old == "":
		return nil, fmt.Errorf("%w: it has neither openapi nor swagger; is it an OpenAPI document?", ErrSource)
	default:
		return nil, fmt.Errorf("%w: the version is %q; 2.0, 3.0, 3.1 and 3.2 are read", ErrSource, version+old)
	}
	r := &reading{
		Draft: newDraft(settings, document.path), document: root, documents: newDocuments(document),
		by: by, settings: settings, claims: newClaims(),
	}
	if hooks := root.get("webhooks"); hooks.is(isObject) && len(hooks.keys) > 0 {
		r.note("webhooks", "%d of them: they are calls that the API makes, not calls to it", len(hooks.keys))
	}
	r.readSchemes()
	if len(r.Hosts) == 0 {
		r.Hosts = r.hosts()
	}
	if err := r.paths(); err != nil {
		return nil, err
	}
	switch {
	case r.operation == 0 && r.broken > 0:
		return nil, fmt.Errorf("%w: no path of it can be read%s", ErrSource, r.reasons())
	case len(r.claims.origins) == 0:
		return nil, fmt.Errorf("%w: no operation in paths%s", ErrNothing, r.reasons())
	}
	r.put(r.claims)
	r.faultsElsewhere()
	return r.Draft, nil
}

func (r *reading) paths() error {
	for _, paths := range r.document.all("paths") {
		paths, err := r.documents.follow(paths)
		if err != nil {
			return fmt.Errorf("%w: paths: %w", ErrSource, err)
		}
		if paths.kind == isNull {
			continue
		}
		if paths.kind != isObject {
			return fmt.Errorf("%w: %s: paths is %s, not an object", ErrSource, paths.at(), paths.kind)
		}
		for _, i := range sortedKeys(paths) {
			path, item := paths.keys[i], paths.items[i]
			if strings.HasPrefix(path, "x-") || path == "$ref" || item.kind == isNull {
				continue
			}
			if err := r.path(path, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// routed is a path of the document with all that is said of it.
type routed struct {
	path, place string
	items       []*value // the path item, and what it refers to
}

func (r *reading) path(path string, item *value) error {
	at := routed{path: path, place: "paths." + path}
	for v := item; ; {
		if v.kind != isObject {
			return r.unreadable(at, fmt.Sprintf("%s: it is %s, not an object", v.at(), v.kind))
		}
		at.items = append(at.items, v)
		if v.get("$ref") == nil || len(at.items) > maxDepth {
			break
		}
		next, err := r.documents.find(v.file, v.get("$ref"))
		if err != nil {
			if err := r.unreadable(at, err.Error()); err != nil {
				return err
			}
			break
		}
		v = next
	}
	for _, item := range at.items {
		for i, key := range item.keys {
			method, ok := operationMethod(key)
			if ok && item.items[i].kind != isNull {
				if err := r.operate(at, method, key, item.items[i]); err != nil {
					return err
				}
			}
		}
		more := item.get("additionalOperations")
		for i := range more.size() {
			if err := r.operate(at, strings.ToUpper(more.keys[i]), more.keys[i], more.items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// size is how many members an object has.
func (v *value) size() int {
	if !v.is(isObject) {
		return 0
	}
	return len(v.keys)
}

func operationMethod(key string) (method string, ok bool) {
	switch key {
	case "get", "put", "post", "delete", "options", "head", "patch", "trace", "query":
		return strings.ToUpper(key), true
	case anyMethod:
		return "", true
	}
	return "", false
}

// unreadable guards a path of which it is not known what is said.
func (r *reading) unreadable(at routed, why string) error {
	r.broken++
	r.noteNarrowed(at.place, "it cannot be read (%s). Every method of it is denied now", why)
	return r.claim(at, "", claim{place: at.place, need: nobody(), resource: r.name(at.path, nil)}, nil)
}

func (r *reading) operate(at routed, method, key string, op *value) error {
	r.operation++
	c := claim{place: at.place + "." + strings.ToLower(key)}
	if !enforcer.IsForwarded(method) {
		r.noteNarrowed(c.place, "it is left out: umagate refuses each request of this method")
		return nil
	}
	described, err := r.documents.follow(op)
	switch {
	case err != nil:
		r.noteNarrowed(c.place, "it cannot be read (%v). It is denied now", err)
		c.need, described = nobody(), nil
	case described.kind != isObject:
		r.noteNarrowed(c.place, "it cannot be read (%s: it is %s, not an object). It is denied now", described.at(), described.kind)
		c.need, described = nobody(), nil
	default:
		c.need = r.requirement(c.place, method, described)
		c.comment = title(described)
	}
	c.resource = r.name(at.path, described)
	return r.claim(at, method, c, described)
}

// claim enters what is said of a method, under each form of the path below each
// server.
func (r *reading) claim(at routed, method string, c claim, op *value) error {
	servers := r.document.all("servers")
	from := "servers"
	for _, item := range at.items {
		if own := item.all("servers"); len(own) > 0 && !emptyList(own[0]) {
			servers, from = own, at.place+".servers"
		}
	}
	if own := op.all("servers"); len(own) > 0 && !emptyList(own[0]) {
		servers, from = own, c.place+".servers"
	}
	bases, err := r.bases(from, servers)
	if err != nil {
		return err
	}
	for _, base := range bases {
		reader := pathReader{}
		for _, f := range reader.forms(base + "/" + strings.TrimPrefix(at.path, "/")) {
			template := f.pattern.template()
			switch err := f.pattern.problem(); {
			case err != nil:
				r.noteNarrowed(at.place, "%q is left out: %v. umagate refuses each request for it", template, err)
			case !r.claims.add(at.path, f, nil, method, c):
				r.noteNarrowed(c.place, "%q is left out: it cannot be written exactly, and it is public. Without another condition a request such as %q is denied", template, f.pattern.example())
			}
		}
		for _, p := range reader.problems {
			r.noteNarrowed(at.place, "%s", p)
		}
		for _, p := range reader.read {
			r.note(at.place, "%s", p)
		}
	}
	return nil
}

func emptyList(v *value) bool { return v.kind == isNull || v.kind == isList && len(v.items) == 0 }

func title(op *value) string {
	text := op.string("operationId")
	if summary := op.string("summary"); summary != "" {
		text = strings.TrimPrefix(text+": "+summary, ": ")
	}
	return text
}

// name is that of the resource of an operation.
func (r *reading) name(path string, op *value) string {
	if r.by == ByPath {
		return path
	}
	if tags := op.get("tags"); tags.is(isList) {
		for _, tag := range tags.items {
			if tag.kind == isText && strings.TrimSpace(tag.text) != "" {
				return tag.text
			}
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "" && !strings.ContainsAny(segment, "{?#") {
			return segment
		}
	}
	return "root"
}

// ParseResourceBy reads a [ResourceBy].
func ParseResourceBy(s string) (ResourceBy, error) {
	if b := ResourceBy(s); b == ByTag || b == ByPath {
		return b, nil
	}
	return "", errors.New("must be one of tag, path")
}
