package site

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/secret"
)

// secret decodes ${NAME}, {env: NAME}, {file: PATH}, or, with a warning, the
// value itself.
func (d *decoder) secret(n *yaml.Node, v reflect.Value, path string) {
	const remedy = "write ${NAME}, {env: NAME} or {file: PATH}"
	switch n.Kind {
	case yaml.ScalarNode:
		s, missing, replaced := d.env.expand(n.Value)
		switch {
		case len(missing) > 0:
			d.unresolved(n, v, path, "environment variable "+strings.Join(missing, ", ")+" is not set", "set it")
		case replaced:
			d.resolved(n, v, path, s)
		default:
			d.warnings = append(d.warnings, Fault{
				File: d.file, Line: n.Line, Column: n.Column, Path: path,
				Problem: "the secret stands in the file", Remedy: remedy,
			})
			d.resolved(n, v, path, s)
		}
	case yaml.MappingNode:
		if len(n.Content) != 2 {
			d.fault(n, path, "names more or less than one source", remedy)
			return
		}
		key, val := n.Content[0], n.Content[1]
		at := join(path, key.Value)
		switch key.Value {
		case "env":
			if name, ok := d.text(val, at); ok {
				if s, ok := d.env.lookup(name); ok {
					d.resolved(n, v, path, s)
				} else {
					d.unresolved(val, v, at, "environment variable "+name+" is not set", "set it")
				}
			}
		case "file":
			if file, ok := d.text(val, at); ok {
				d.secretFile(val, v, at, file)
			}
		default:
			d.unknown(key, at, []string{"env", "file"})
		}
	default:
		d.fault(n, path, "is "+kindOf(n)+", not a secret", remedy)
	}
}

func (d *decoder) secretFile(n *yaml.Node, v reflect.Value, path, file string) {
	if d.env.ReadFile == nil {
		d.unresolved(n, v, path, "files cannot be read here", "write {env: NAME}")
		return
	}
	data, err := d.env.ReadFile(file)
	if err != nil {
		d.unresolved(n, v, path, "the secret's file cannot be read: "+err.Error(), "check its name, beside the configuration, and who may read it")
		return
	}
	// Editors and "echo" end a file with a newline that is not part of the secret.
	d.resolved(n, v, path, strings.TrimRight(string(data), "\r\n"))
}

func (d *decoder) resolved(n *yaml.Node, v reflect.Value, path, value string) {
	if value == "" {
		d.unresolved(n, v, path, "the secret is empty", "put a value there, or leave the key out")
		return
	}
	v.Set(reflect.ValueOf(secret.New(value)))
}

func (d *decoder) unresolved(n *yaml.Node, v reflect.Value, path, problem, remedy string) {
	if d.env.SkipSecrets {
		v.Set(reflect.ValueOf(secret.New("unresolved")))
		return
	}
	d.fault(n, path, problem, remedy)
}

// raw decodes any value into its JSON form, keys in the order of the file.
func (d *decoder) raw(n *yaml.Node, v reflect.Value, path string) {
	var b strings.Builder
	if d.writeJSON(&b, n, path, 0) {
		v.SetBytes([]byte(b.String()))
	}
}

// maxDepth bounds how deep a value without a model may nest.
const maxDepth = 64

func (d *decoder) writeJSON(b *strings.Builder, n *yaml.Node, path string, depth int) bool {
	if d.left--; d.left <= 0 || depth > maxDepth {
		d.fault(n, path, "is nested too deeply or unfolds into too many values", "make it smaller")
		return false
	}
	switch n.Kind {
	case yaml.AliasNode:
		return d.writeJSON(b, n.Alias, path, depth+1)
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			key := n.Content[i].Value
			b.Write(quoteJSON(key))
			b.WriteByte(':')
			if !d.writeJSON(b, n.Content[i+1], join(path, key), depth+1) {
				return false
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if !d.writeJSON(b, item, fmt.Sprintf("%s[%d]", path, i), depth+1) {
				return false
			}
		}
		b.WriteByte(']')
	case yaml.ScalarNode:
		b.Write(scalarJSON(n))
	default:
		d.fault(n, path, "is not a value", "write a mapping, a list, a number or a text")
		return false
	}
	return true
}

func scalarJSON(n *yaml.Node) []byte {
	switch n.ShortTag() {
	case "!!null":
		return []byte("null")
	case "!!bool":
		return []byte(strconv.FormatBool(strings.EqualFold(n.Value, "true")))
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return []byte(n.Value)
		}
	}
	return quoteJSON(n.Value)
}

func quoteJSON(s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // cannot be: a string always marshals
		return []byte(`""`)
	}
	return quoted
}
