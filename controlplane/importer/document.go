package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// Bounds of a document and what it refers to.
const (
	maxDepth = 500
	maxFiles = 1000
)

// value is a value of a JSON or YAML document, with its line. A fault in a part
// that nobody asks for is no fault here: kinds are looked at when they are used.
type value struct {
	kind  kind
	text  string // of a scalar
	keys  []string
	items []*value // of a list, or the values of keys
	line  int
	file  *file
}

type kind uint8

const (
	isNull kind = iota
	isText      // also a number or a boolean, as it is written
	isList
	isObject
)

func (k kind) String() string {
	return [...]string{"nothing", "a scalar", "a list", "an object"}[k&3]
}

// file is a document that was read.
type file struct {
	path string
	root *value
}

// at names a place in messages.
func (v *value) at() string {
	if v == nil || v.line == 0 {
		return ""
	}
	return "line " + strconv.Itoa(v.line)
}

// is reports whether a value is there and of the kind.
func (v *value) is(k kind) bool { return v != nil && v.kind == k }

// all are the values of a key: more than one where a key stands twice.
func (v *value) all(key string) (out []*value) {
	if v.is(isObject) {
		for i, k := range v.keys {
			if k == key {
				out = append(out, v.items[i])
			}
		}
	}
	return out
}

// get is the first value of a key that is not null.
func (v *value) get(key string) *value {
	for _, one := range v.all(key) {
		if one.kind != isNull {
			return one
		}
	}
	return nil
}

// keysOf are the keys of an object.
func (v *value) keysOf() []string {
	if !v.is(isObject) {
		return nil
	}
	return v.keys
}

// string is the text of a scalar member, empty when there is none.
func (v *value) string(key string) string {
	if one := v.get(key); one.is(isText) {
		return one.text
	}
	return ""
}

// readDocument reads JSON or YAML. A byte order mark is no part of either.
func readDocument(path string, data []byte) (*file, error) {
	f := &file{path: path}
	data = withoutMark(data)
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	var ofJSON error
	if len(trimmed) > 0 && trimmed[0] == '{' {
		f.root, ofJSON = fromJSON(f, data)
		if ofJSON == nil {
			return f, nil
		}
	}
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		if ofJSON != nil {
			return nil, ofJSON
		}
		return nil, yamlFault(err)
	}
	if len(document.Content) == 0 {
		return nil, errors.New("the file is empty")
	}
	converted := converter{file: f, known: map[*yaml.Node]*value{}}
	f.root = converted.value(document.Content[0], 0)
	if converted.tooDeep {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	return f, nil
}

// yamlFault names the line of what is no YAML.
func yamlFault(err error) error {
	if at, ok := errors.AsType[*yaml.LoadError](err); ok {
		return fmt.Errorf("line %d: neither YAML nor JSON: %s", at.Mark.Line, at.Message)
	}
	return fmt.Errorf("neither YAML nor JSON: %w", err)
}

// isEnd reports that there is no further document.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// withoutMark takes off a byte order mark.
func withoutMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\uFEFF")) }

// converter makes values of YAML. What an alias stands for is one value.
type converter struct {
	file    *file
	known   map[*yaml.Node]*value
	tooDeep bool
}

func (c *converter) value(n *yaml.Node, depth int) *value {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if v := c.known[n]; v != nil {
		return v
	}
	v := &value{line: n.Line, file: c.file}
	c.known[n] = v
	if depth > maxDepth {
		c.tooDeep = true
		return v
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag != "!!null" {
			v.kind, v.text = isText, n.Value
		}
	case yaml.SequenceNode:
		v.kind = isList
		for _, item := range n.Content {
			v.items = append(v.items, c.value(item, depth+1))
		}
	case yaml.MappingNode:
		v.kind = isObject
		var merged []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			for key.Kind == yaml.AliasNode && key.Alias != nil {
				key = key.Alias
			}
			if key.Tag == "!!merge" || key.Value == "<<" && key.Style == 0 {
				merged = append(merged, n.Content[i+1])
				continue
			}
			v.keys = append(v.keys, key.Value)
			v.items = append(v.items, c.value(n.Content[i+1], depth+1))
		}
		for _, m := range merged {
			c.merge(v, m, depth)
		}
	case yaml.DocumentNode, yaml.AliasNode, yaml.StreamNode: // none is inside of a document
	}
	return v
}

// merge adds what "<<" brings and is not there.
func (c *converter) merge(into *value, from *yaml.Node, depth int) {
	source := c.value(from, depth+1)
	sources := []*value{source}
	if source.kind == isList {
		sources = source.items
	}
	for _, s := range sources {
		if s == into || s.kind != isObject {
			continue
		}
		for i, k := range s.keys {
			if len(into.all(k)) == 0 {
				into.keys, into.items = append(into.keys, k), append(into.items, s.items[i])
			}
		}
	}
}

// jsonReader makes values of JSON.
type jsonReader struct {
	*json.Decoder

	file *file
	data []byte
	seen int // bytes whose lines are counted
	line int
}

func fromJSON(f *file, data []byte) (*value, error) {
	r := &jsonReader{Decoder: json.NewDecoder(bytes.NewReader(data)), file: f, data: data, line: 1}
	r.UseNumber()
	v, err := r.value(0)
	if err == nil {
		if _, after := r.Token(); after == nil {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: not JSON: %w", r.here(), err)
	}
	return v, nil
}

// here is the line that the reader has come to.
func (r *jsonReader) here() int {
	offset := min(int(r.InputOffset()), len(r.data))
	r.line += bytes.Count(r.data[r.seen:offset], []byte{'\n'})
	r.seen = offset
	return r.line
}

func (r *jsonReader) value(depth int) (*value, error) {
	token, err := r.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	v := &value{line: r.here(), file: r.file}
	switch t := token.(type) {
	case nil:
	case string:
		v.kind, v.text = isText, t
	case json.Delim:
		v.kind = isList
		if t == '{' {
			v.kind = isObject
		}
		for r.More() {
			if v.kind == isObject {
				key, err := r.Token()
				if err != nil {
					return nil, err
				}
				v.keys = append(v.keys, fmt.Sprint(key))
			}
			item, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, item)
		}
		if _, err := r.Token(); err != nil {
			return nil, err
		}
	default:
		v.kind, v.text = isText, fmt.Sprint(t)
	}
	return v, nil
}
