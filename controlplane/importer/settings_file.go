package importer

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// readDocuments reads a file of YAML documents, or one of JSON.
func readDocuments(path string, data []byte) ([]*file, error) {
	data = withoutMark(data)
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		one, err := readDocument(path, data)
		return []*file{one}, err
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	var out []*file
	for {
		var document yaml.Node
		err := loader.Load(&document)
		if isEnd(err) {
			return out, nil
		}
		if err != nil {
			return nil, yamlFault(err)
		}
		if len(out) == maxFiles {
			return nil, fmt.Errorf("more than %d documents", maxFiles)
		}
		if len(document.Content) == 0 {
			continue
		}
		f := &file{path: path}
		c := converter{file: f, known: map[*yaml.Node]*value{}}
		f.root = c.value(document.Content[0], 0)
		if c.tooDeep {
			return nil, fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if f.root.kind != isNull {
			out = append(out, f)
		}
	}
}

// readSettings reads the settings of an application, properties or YAML: each document
// as a tree.
func readSettings(path string, data []byte) ([]*value, error) {
	data = withoutMark(data)
	kind := strings.ToLower(filepath.Ext(path))
	if kind == ".properties" || kind != ".yaml" && kind != ".yml" && kind != ".json" && regexp.MustCompile(`(?m)^\s*[%"\w.-]+(\[\d+\])?(\.[%"\w.-]+(\[\d+\])?)+\s*=`).Match(data) {
		return propertyTrees(path, data)
	}
	documents, err := readDocuments(path, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	var out []*value
	for _, f := range documents {
		if f.root.kind != isObject {
			return nil, fmt.Errorf("%w: %s: it is %s, not an object", ErrSource, f.root.at(), f.root.kind)
		}
		out = append(out, spread(f.root, 0))
	}
	return out, nil
}

// propertyTrees reads properties. "#---" begins a further document in those of Spring.
func propertyTrees(path string, data []byte) ([]*value, error) {
	f := &file{path: path}
	var out []*value
	line := 0
	for _, part := range regexp.MustCompile(`(?m)^[#!]---[ \t]*\r?$`).Split(string(data), -1) {
		list, err := readProperties([]byte(part))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSource, err)
		}
		s := settings{root: &value{kind: isObject, file: f}}
		for _, p := range list {
			s.put(p.key, &value{kind: isText, text: p.text, line: p.line + line, file: f})
		}
		out = append(out, s.root)
		line += strings.Count(part, "\n")
	}
	return out, nil
}

// newObject is an object that no file has as it is.
func newObject(line int, pairs ...any) *value {
	out := &value{kind: isObject, line: line}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, _ := pairs[i].(string)
		switch v := pairs[i+1].(type) {
		case *value:
			if v == nil {
				continue
			}
			out.keys, out.items = append(out.keys, key), append(out.items, v)
		case string:
			out.keys, out.items = append(out.keys, key), append(out.items, &value{kind: isText, text: v, line: line})
		}
	}
	return out
}

// upper is a text in upper case, as the names of modes are.
func upper(v *value) *value {
	if !v.is(isText) {
		return v
	}
	return &value{kind: isText, text: strings.ToUpper(strings.TrimSpace(v.text)), line: v.line}
}

// prefixed puts a text before every path.
func (d *Draft) prefixed(prefix string) {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" || prefix == "/" {
		return
	}
	for i := range d.Resources {
		for j := range d.Resources[i].Conditions {
			c := &d.Resources[i].Conditions[j]
			for k, path := range c.Paths {
				c.Paths[k] = prefix + path
			}
		}
	}
}
