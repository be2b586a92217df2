package config

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/strictjson"
)

// Parse reads the plugin configuration. It is strict: a member that is not
// known, is there twice or has the wrong type is a fault, and the error is
// [Faults] with all of them. What the values mean is checked when they are
// compiled (plugin/decision).
func Parse(document []byte) (*Config, error) {
	if !strictjson.Valid(document) {
		return nil, Faults{{"", "the configuration is not valid JSON, or nested too deep"}}
	}
	p := parser{names: map[reflect.Type][]string{}}
	var c Config
	p.value(gjson.ParseBytes(document), reflect.ValueOf(&c).Elem())
	if len(p.faults) > 0 {
		return nil, p.faults
	}
	if c.Version != Version {
		return nil, Faults{{"version", "this filter reads version 1 of the configuration; use a control plane of the same release"}}
	}
	return &c, nil
}

// parser knows where it is, and writes that down only when there is a fault: a
// worker's traffic waits while it parses.
type parser struct {
	faults Faults
	at     []place
	seen   []string                  // members of the objects around, the innermost last
	names  map[reflect.Type][]string // of the fields of structs, see field

	cut   []string // sites that were taken out of the document, see ParseKnown
	known func(text string) bool
}

// place is a member of an object or an element of a list.
type place struct {
	name  string
	list  bool
	index int
}

// fault records what is wrong here.
func (p *parser) fault(problem string) {
	path := ""
	for _, at := range p.at {
		switch {
		case at.list:
			path = Index(path, at.index)
		case path == "":
			path = at.name
		default:
			path += "." + at.name
		}
	}
	p.faults.Add(path, problem)
}

func (p *parser) enter(at place) { p.at = append(p.at, at) }
func (p *parser) leave()         { p.at = p.at[:len(p.at)-1] }

// object calls member for each member of an object. member returns false for a
// name it does not know.
func (p *parser) object(v gjson.Result, member func(name string, v gjson.Result) bool) {
	if !v.IsObject() {
		p.fault("must be an object")
		return
	}
	outer := len(p.seen)
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.Str
		p.enter(place{name: name})
		defer p.leave()
		if slices.Contains(p.seen[outer:], name) {
			p.fault("is there twice")
			return true
		}
		if !member(name, value) {
			p.fault("is not known to this filter; remove it, or use a filter of the control plane's release")
			return true
		}
		p.seen = append(p.seen, name)
		return true
	})
	p.seen = p.seen[:outer]
}

// value reads a member into a field. The field's type says what the member must
// be, and the json tags what the members of an object are called, as for [Encode].
func (p *parser) value(v gjson.Result, to reflect.Value) {
	switch to.Kind() {
	case reflect.String:
		if v.Type != gjson.String {
			p.fault("must be a string")
			return
		}
		to.SetString(v.Str)
	case reflect.Bool:
		if !v.IsBool() {
			p.fault("must be true or false")
			return
		}
		to.SetBool(v.Bool())
	case reflect.Int:
		if v.Type != gjson.Number || v.Num != math.Trunc(v.Num) || math.Abs(v.Num) > math.MaxInt32 {
			p.fault("must be a whole number")
			return
		}
		to.SetInt(int64(v.Num))
	case reflect.Int64:
		if v.Type != gjson.Number || v.Num != math.Trunc(v.Num) || v.Num < 0 || v.Num > maxTime {
			p.fault("must be a whole number of seconds since 1970")
			return
		}
		to.SetInt(int64(v.Num))
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		p.value(v, to.Elem())
	case reflect.Slice:
		p.list(v, to)
	case reflect.Map:
		to.Set(reflect.ValueOf(p.texts(v)))
	default:
		p.members(v, to)
	}
}

// members reads an object into a struct.
func (p *parser) members(v gjson.Result, to reflect.Value) {
	if to.Type() == reflect.TypeFor[Site]() {
		var known bool
		if v, known = p.uncut(v); known {
			return
		}
	}
	p.object(v, func(name string, v gjson.Result) bool {
		field, ok := p.field(to, name)
		if ok {
			p.value(v, field)
		}
		return ok
	})
}

// field returns the field of a struct that has the name in its tag, also one of a
// struct that it embeds.
func (p *parser) field(of reflect.Value, name string) (reflect.Value, bool) {
	names, ok := p.names[of.Type()]
	if !ok {
		for i := range of.NumField() {
			names = append(names, memberName(of.Type().Field(i).Tag))
		}
		p.names[of.Type()] = names
	}
	for i := range names {
		if names[i] != "" {
			if names[i] == name {
				return of.Field(i), true
			}
		} else if field, ok := p.field(of.Field(i), name); ok {
			return field, true
		}
	}
	return reflect.Value{}, false
}

// memberName returns the name in a json tag; empty for an embedded struct, which has
// none. [reflect.StructTag.Get] would add 14 KB to the module.
func memberName(tag reflect.StructTag) string {
	quoted, ok := strings.CutPrefix(string(tag), `json:"`)
	if !ok {
		return ""
	}
	return quoted[:strings.IndexAny(quoted, `,"`)]
}

// list reads an array, or, where the field takes any JSON, what is there.
func (p *parser) list(v gjson.Result, to reflect.Value) {
	if to.Type() == reflect.TypeFor[json.RawMessage]() {
		to.SetBytes([]byte(v.Raw))
		return
	}
	if !v.IsArray() {
		p.fault("must be an array")
		return
	}
	to.Grow(1) // an empty list is not none
	v.ForEach(func(_, item gjson.Result) bool {
		i := to.Len()
		to.Grow(1)
		to.SetLen(i + 1)
		p.enter(place{list: true, index: i})
		p.value(item, to.Index(i))
		p.leave()
		return true
	})
}

// texts reads an object of strings by any names.
func (p *parser) texts(v gjson.Result) map[string]string {
	texts := map[string]string{}
	p.object(v, func(name string, v gjson.Result) bool {
		var text string
		p.value(v, reflect.ValueOf(&text).Elem())
		texts[name] = text
		return true
	})
	return texts
}
