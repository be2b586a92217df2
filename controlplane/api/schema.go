package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// schemas collects the schemas of types, under the names that the document gives
// them.
type schemas struct {
	reflector  *jsonschema.Reflector
	components map[string]any
	// owners tells two types of the same name apart.
	owners map[string]reflect.Type
}

func newSchemas() *schemas {
	s := &schemas{components: map[string]any{}, owners: map[string]reflect.Type{}}
	s.reflector = &jsonschema.Reflector{
		Anonymous: true, Namer: componentName,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t == reflect.TypeFor[Code]() {
				return codeSchema()
			}
			if t == reflect.TypeFor[time.Duration]() {
				return &jsonschema.Schema{Type: "string", Description: "a duration such as 1h30m"}
			}
			return nil
		},
	}
	return s
}

// componentName is the type's name; that of a generic one has its argument's
// before it: Page[Site] is SitePage.
func componentName(t reflect.Type) string {
	name, argument, generic := strings.Cut(strings.TrimSuffix(t.Name(), "]"), "[")
	if !generic {
		return upperFirst(name)
	}
	return upperFirst(argument[strings.LastIndexAny(argument, "./")+1:]) + upperFirst(name)
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// of gives the schema of a type, a reference where it has a name.
func (s *schemas) of(t reflect.Type) (any, error) {
	root, err := s.plain(s.reflector.ReflectFromType(t))
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t, err)
	}
	object, ok := root.(map[string]any)
	if !ok {
		return root, nil
	}
	definitions, _ := object["$defs"].(map[string]any)
	maps.Copy(s.components, definitions)
	delete(object, "$defs")
	delete(object, "$schema")
	delete(object, "$id")
	if owner, ok := s.owners[componentName(t)]; ok && owner != t && t.Kind() == reflect.Struct {
		return nil, fmt.Errorf("two types are called %s in the document: %s and %s", componentName(t), owner, t)
	}
	s.owners[componentName(t)] = t
	return object, nil
}

// parameter gives the schema of a parameter with the constraints of its tag.
func (s *schemas) parameter(f reflect.StructField) (any, error) {
	wrapped := reflect.StructOf([]reflect.StructField{{
		Name: "Value", Type: f.Type, Tag: reflect.StructTag(`json:"value" jsonschema:"` + f.Tag.Get("jsonschema") + `"` + ` jsonschema_description:"` + f.Tag.Get("doc") + `"`),
	}})
	r := *s.reflector
	r.ExpandedStruct, r.DoNotReference = true, true
	schema := r.ReflectFromType(wrapped)
	property, ok := schema.Properties.Get("value")
	if !ok {
		return nil, fmt.Errorf("parameter %s has no schema", f.Name)
	}
	return s.plain(property)
}

// plain turns a schema into plain values, with the document's references.
func (*schemas) plain(schema *jsonschema.Schema) (any, error) {
	text, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	text = []byte(strings.ReplaceAll(string(text), `"#/$defs/`, `"#/components/schemas/`))
	var out any
	return out, json.Unmarshal(text, &out)
}

func codeSchema() *jsonschema.Schema {
	out := &jsonschema.Schema{Type: "string", Description: "the stable name of what went wrong"}
	for _, c := range Codes() {
		out.Enum = append(out.Enum, c)
	}
	return out
}

// Codes lists every code that a problem may have.
func Codes() []Code {
	return []Code{
		CodeInvalidRequest, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeMethodNotAllowed, CodeConflict, CodeNotLeader, CodeTooLarge,
		CodeUnsupportedMediaType, CodeMisdirected, CodeTooManyRequests, CodeInternal, CodeAuthorizationServer, CodeUnavailable,
	}
}
