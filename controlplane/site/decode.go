package site

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/secret"
)

// maxNodes bounds the values of one document, aliases followed, so that a small
// file cannot unfold into a large one.
const maxNodes = 500_000

// Parse reads a document strictly. The name is what faults call the file. The
// error joins a [Fault] for everything that is wrong.
func Parse(name string, data []byte, env Environment) (*File, error) {
	f, err := parse(name, data, env)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// parse returns what it could read, even with an error.
func parse(name string, data []byte, env Environment) (*File, error) {
	d := &decoder{file: name, env: env, positions: positions{}, refused: refused{}, left: maxNodes}
	f := &File{positions: d.positions}
	f.setDefaults()
	root, err := d.load(data)
	if err != nil {
		return f, err
	}
	if read := env.ReadFile; read != nil {
		d.env.ReadFile = func(path string) ([]byte, error) {
			f.Sources = append(f.Sources, path)
			return read(path)
		}
	}
	if root != nil {
		d.value(root, reflect.ValueOf(f).Elem(), "")
	}
	faults := d.faults
	if root == nil {
		faults = append(faults, Fault{File: name, Problem: "the file is empty", Remedy: "see the example in envoy/umagate.yaml"})
	} else {
		v := validator{file: f, name: name, env: env, refused: d.refused}
		v.validate()
		faults = append(faults, v.faults...)
		f.Warnings = append(d.warnings, v.warnings...)
		slices.SortStableFunc(f.Warnings, inOrder)
	}
	if len(faults) > 0 {
		slices.SortStableFunc(faults, inOrder)
		errs := make([]error, len(faults))
		for i, fault := range faults {
			errs[i] = fault
		}
		return f, withSources{error: errors.Join(errs...), sources: f.Sources}
	}
	return f, nil
}

// withSources adds the files that were read to the faults, so that the reloader can
// watch them, too.
type withSources struct { //nolint:errname // it is what it adds
	error

	sources []string
}

// Unwrap returns the faults.
func (w withSources) Unwrap() error { return w.error }

// Sources lists the files that umagate.yaml names for secrets and certificates, as
// they are written there, from what Load or Parse gave.
func Sources(f *File, err error) []string {
	if w, ok := errors.AsType[withSources](err); ok {
		return w.sources
	}
	if f != nil {
		return f.Sources
	}
	return nil
}

type decoder struct {
	file      string
	env       Environment
	positions positions
	faults    []Fault
	warnings  []Fault
	// refused are the paths that have a fault already: the validator adds none.
	refused refused
	left    int
}

// load parses the YAML. A syntax error is a Fault with its place.
func (d *decoder) load(data []byte) (*yaml.Node, error) {
	if blank(data) {
		return nil, nil
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		fault := Fault{File: d.file, Problem: "not YAML: " + err.Error(), Remedy: "check indentation, colons and quotes around this line"}
		if at, ok := errors.AsType[*yaml.LoadError](err); ok {
			fault.Line, fault.Column, fault.Problem = at.Mark.Line, at.Mark.Column, "not YAML: "+at.Message
		}
		return nil, fault
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil, nil
	}
	return root, nil
}

// blank reports whether a document has nothing but comments.
func blank(data []byte) bool {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}

func (d *decoder) fault(n *yaml.Node, path, problem, remedy string) {
	d.refused.add(path)
	d.faults = append(d.faults, Fault{File: d.file, Line: n.Line, Column: n.Column, Path: path, Problem: problem, Remedy: remedy})
}

// defaulter is a struct of the model that has defaults other than zero values.
type defaulter interface{ setDefaults() }

// value decodes n into v, whose value so far is the default.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.positions[path] = position{n.Line, n.Column}
	if d.left--; d.left <= 0 {
		if d.left == 0 {
			d.fault(n, path, "the document unfolds into too many values", "use fewer aliases")
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && v.Type() != reflect.TypeFor[json.RawMessage]() {
		if v.Kind() == reflect.Pointer {
			d.fault(n, path, "has no value", "write {} for all defaults, or leave the key out")
		}
		return // an empty key is as good as none
	}
	switch v.Interface().(type) {
	case secret.Text:
		d.secret(n, v, path)
		return
	case StoreURL:
		if s, ok := d.text(n, path); ok {
			v.Set(reflect.ValueOf(NewStoreURL(s)))
		}
		return
	case json.RawMessage:
		d.raw(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Pointer:
		elem := reflect.New(v.Type().Elem())
		if s, ok := reflect.TypeAssert[defaulter](elem); ok {
			s.setDefaults()
		}
		d.value(n, elem.Elem(), path)
		v.Set(elem)
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			d.enumeration(n, v.Type(), s, path)
			v.SetString(s)
		}
	case reflect.Bool:
		d.boolean(n, v, path)
	case reflect.Int, reflect.Int64:
		d.number(n, v, path)
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Slice {
			d.lists(n, v, path)
		} else {
			d.texts(n, v, path)
		}
	default:
		panic("site: the model has a field of a kind that the decoder does not know: " + v.Kind().String())
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "is "+kindOf(n)+", not a mapping", "write keys and values: "+strings.Join(keysOf(v.Type()), ", "))
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if line, ok := seen[key.Value]; ok {
			d.fault(key, at, "is written twice, first in line "+strconv.Itoa(line), "keep one of them")
			continue
		}
		seen[key.Value] = key.Line
		field, ok := fields[key.Value]
		if !ok {
			d.unknown(key, at, keysOf(v.Type()))
			continue
		}
		d.value(val, v.FieldByIndex(field.Index), at)
		d.inRange(val, v.FieldByIndex(field.Index), at, field.Tag)
		d.filled(val, v.FieldByIndex(field.Index), at, field.Tag)
	}
}

func (d *decoder) unknown(key *yaml.Node, path string, known []string) {
	if key.Value == "<<" {
		d.fault(key, path, "merge keys are not supported", "write the keys out, or use an alias for the whole value")
		return
	}
	if near := nearest(key.Value, known); near != "" {
		// That the key which was meant is missing is the same mistake.
		d.refused.add(strings.TrimSuffix(path, key.Value) + near)
	}
	d.fault(key, path, fmt.Sprintf("unknown key %q", key.Value), withNearest(key.Value, known, "known here: "+strings.Join(known, ", ")))
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, "is "+kindOf(n)+", not a list", "write [a, b] or one \"- \" line for each")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		elem := out.Index(i)
		if s, ok := reflect.TypeAssert[defaulter](elem.Addr()); ok {
			s.setDefaults()
		}
		at := path + "[" + strconv.Itoa(i) + "]"
		if item.Kind == yaml.ScalarNode && item.ShortTag() == "!!null" {
			d.fault(item, at, "is empty", "write a value, or take the entry out")
			continue
		}
		d.value(item, elem, at)
	}
	v.Set(out)
}

// filled refuses a key with an empty list or mapping, or nothing, where the schema asks
// for an entry: to leave such a key out takes nothing away, and who writes it empty may
// mean that nothing will do. Where the key is required, validate says what it is for.
func (d *decoder) filled(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	words := strings.Split(tag.Get("jsonschema"), ",")
	if !slices.Contains(words, "minItems=1") && !slices.Contains(words, "minProperties=1") || slices.Contains(words, "required") {
		return
	}
	if v.Len() > 0 || d.refused[path] {
		return
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // it is there
	}
	d.fault(n, path, "is empty, which is as if it were left out", "write at least one, or leave "+tag.Get("yaml")+" out")
}

// fieldsOf maps the keys of a struct of the model to its fields, those of embedded
// structs too.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, field := range reflect.VisibleFields(t) {
		if key := field.Tag.Get("yaml"); key != "" && key != "-" {
			fields[key] = field
		}
	}
	return fields
}

// keysOf lists the keys of a struct of the model in the order it declares them.
func keysOf(t reflect.Type) []string {
	var keys []string
	for _, field := range reflect.VisibleFields(t) {
		if key := field.Tag.Get("yaml"); key != "" && key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "a single value"
	default:
		return "something else"
	}
}
