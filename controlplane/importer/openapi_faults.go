package importer

import "strings"

// faultsElsewhere notes faults of parts that say nothing of who may do what: they
// change nothing here.
func (r *reading) faultsElsewhere() {
	w := faultWalker{reading: r, seen: map[*value]bool{}}
	w.walk(r.document, "", false)
}

type faultWalker struct {
	*reading

	seen map[*value]bool
}

// named reports whether the members of an object are named by the author, so that none
// of them is a keyword.
func named(key string) bool {
	switch key {
	case "properties", "patternProperties", "definitions", "schemas", "parameters", "responses", "paths", "securitySchemes",
		"securityDefinitions", "examples", "headers", "variables", "scopes", "mapping", "callbacks", "links", "requestBodies":
		return true
	}
	return false
}

// opaque reports whether what stands under a key is anything.
func opaque(key string) bool {
	switch key {
	case "example", "examples", "default", "enum", "const", "value":
		return true
	}
	return strings.HasPrefix(key, "x-")
}

func (w *faultWalker) walk(v *value, place string, names bool) {
	if w.seen[v] {
		return
	}
	w.seen[v] = true
	if v.kind == isList {
		for _, item := range v.items {
			w.walk(item, place, false)
		}
		return
	}
	for i := range v.size() {
		key, member := v.keys[i], v.items[i]
		at := strings.TrimPrefix(place+"."+key, ".")
		if names {
			w.walk(member, at, false)
			continue
		}
		if opaque(key) {
			continue
		}
		w.keyword(v, key, member, at)
		w.walk(member, at, named(key) && member.kind == isObject)
	}
}

// keyword looks at one member.
func (w *faultWalker) keyword(of *value, key string, v *value, place string) {
	want := kind(0)
	switch key {
	case "$ref":
		if !w.documents.failed[v] && v.kind == isText && strings.HasPrefix(v.text, "#") {
			if _, err := w.documents.find(v.file, v); err != nil {
				w.note(place, "%v. What it stands for says nothing of who may do what", err)
			}
			return
		}
		want = isText
	case "description", "summary", "title", "operationId":
		want = isText
	case "tags", "allOf", "anyOf", "oneOf":
		want = isList
	case "properties", "responses", "content":
		want = isObject
	case "required":
		if of.get("in") != nil || of.get("content") != nil || of.get("schema") != nil {
			return // of a parameter, a body, a header: a boolean
		}
		want = isList
	default:
		return
	}
	if v.kind != isNull && v.kind != want {
		w.note(place, "%s: it is %s, and should be %s. It says nothing of who may do what", v.at(), v.kind, want)
	}
}
