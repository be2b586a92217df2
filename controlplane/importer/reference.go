package importer

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// documents are the files that were read.
type documents struct {
	files  map[string]*file // by path
	failed map[*value]bool  // each $ref that was wanted and not found
}

func newDocuments(first *file) *documents {
	return &documents{files: map[string]*file{first.path: first}, failed: map[*value]bool{}}
}

// follow gives what a value's $ref stands for, or the value itself. Only files are
// read.
func (d *documents) follow(v *value) (*value, error) {
	for range maxDepth {
		ref := v.get("$ref")
		if ref == nil {
			return v, nil
		}
		next, err := d.find(v.file, ref)
		if err != nil {
			return nil, err
		}
		v = next
	}
	return nil, fmt.Errorf("%s: $ref points at itself", v.at())
}

// find gives what a $ref stands for.
func (d *documents) find(from *file, ref *value) (v *value, err error) {
	defer func() {
		if err != nil {
			d.failed[ref] = true
		}
	}()
	if ref.kind != isText {
		return nil, fmt.Errorf("%s: $ref is not a text", ref.at())
	}
	where, pointer, _ := strings.Cut(ref.text, "#")
	target := from
	if where != "" {
		if strings.Contains(where, ":") || strings.HasPrefix(where, "//") {
			return nil, fmt.Errorf("%s: $ref %q: only files are read; keep a copy beside the document", ref.at(), ref.text)
		}
		path := filepath.FromSlash(unescaped(where))
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(from.path), path)
		}
		if target = d.files[path]; target == nil {
			if len(d.files) >= maxFiles {
				return nil, fmt.Errorf("%s: $ref %q: more than %d files", ref.at(), ref.text, maxFiles)
			}
			data, err := ReadSource(path)
			if err != nil {
				return nil, fmt.Errorf("%s: $ref %q: %w", ref.at(), ref.text, err)
			}
			if target, err = readDocument(path, data); err != nil {
				return nil, fmt.Errorf("%s: $ref %q: %w", ref.at(), ref.text, err)
			}
			d.files[path] = target
		}
	}
	v = target.root
	if pointer == "" {
		return v, nil
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(unescaped(step))
		next := v.get(step)
		if n, err := strconv.Atoi(step); err == nil && v.is(isList) && n >= 0 && n < len(v.items) {
			next = v.items[n]
		}
		if next == nil {
			return nil, fmt.Errorf("%s: $ref %q points at nothing", ref.at(), ref.text)
		}
		v = next
	}
	return v, nil
}
