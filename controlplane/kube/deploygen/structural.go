package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schema is a part of the JSON Schema of umagate.yaml, or of a definition's.
type schema = map[string]any

// model is the JSON Schema of umagate.yaml.
type model struct{ definitions map[string]schema }

var errModel = errors.New("the schema of umagate.yaml has what a definition cannot have")

func readModel(text []byte) (*model, error) {
	var document struct {
		Definitions map[string]schema `json:"$defs"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	return &model{document.Definitions}, nil
}

// object makes the structural schema of a definition of the model: no references, no
// alternatives, no defaults but those given, and references to Secrets in place of
// secrets and files.
func (m *model) object(name string) (schema, error) {
	from, ok := m.definitions[name]
	if !ok {
		return nil, fmt.Errorf("%w: no %s", errModel, name)
	}
	properties := schema{}
	for key, value := range asSchema(from["properties"]) {
		made, err := m.value(name, key, asSchema(value))
		if err != nil {
			return nil, err
		}
		properties[key] = made
	}
	out := schema{"type": "object", "properties": properties}
	if required, ok := from["required"].([]any); ok {
		out["required"] = required
	}
	if rules := rulesOf(name); rules != nil {
		out["x-kubernetes-validations"] = rules
	}
	return out, nil
}

func asSchema(v any) schema {
	s, _ := v.(schema)
	return s
}

// value makes the schema of a key.
func (m *model) value(definition, key string, from schema) (out schema, err error) {
	switch {
	case from["$ref"] != nil:
		out, err = m.object(strings.TrimPrefix(fmt.Sprint(from["$ref"]), "#/$defs/"))
	case isSecret(from), strings.HasSuffix(key, "_file"):
		out = secretReference()
	case from["type"] == nil, from["oneOf"] != nil:
		out = schema{"x-kubernetes-preserve-unknown-fields": true}
	case from["type"] == "array":
		out, err = m.list(definition, key, from)
	case from["type"] == "object" && from["additionalProperties"] != nil:
		out = schema{"type": "object"}
		out["additionalProperties"], err = m.value(definition, "", asSchema(from["additionalProperties"]))
	case from["type"] == "string", from["type"] == "integer", from["type"] == "boolean":
		out = scalar(from)
	default:
		err = fmt.Errorf("%w: %s.%s", errModel, definition, key)
	}
	if err != nil {
		return nil, err
	}
	if text, ok := from["description"].(string); ok {
		out["description"] = text
	}
	return out, nil
}

func (m *model) list(definition, key string, from schema) (schema, error) {
	items, err := m.value(definition, "", asSchema(from["items"]))
	if err != nil {
		return nil, err
	}
	out := schema{"type": "array", "items": items}
	if from["minItems"] != nil {
		out["minItems"] = from["minItems"]
	}
	if most := bounds(definition, key); most > 0 {
		out["maxItems"] = most
	}
	if definition+"."+key == "Site.resources" { // of each name one
		out["x-kubernetes-list-type"], out["x-kubernetes-list-map-keys"] = "map", []string{"name"}
	}
	return out, nil
}

// scalar keeps what a structural schema can have; an environment has no variables here.
func scalar(from schema) schema {
	out := schema{"type": from["type"]}
	if values, ok := from["enum"].([]any); ok {
		out["enum"] = values
	}
	if pattern, ok := from["pattern"].(string); ok {
		out["pattern"] = strings.ReplaceAll(pattern, `|\$\{.*`, "")
	}
	for _, key := range []string{"minimum", "maximum"} {
		if from[key] != nil {
			out[key] = from[key]
		}
	}
	return out
}

// isSecret reports whether a key has a secret: one of several sources.
func isSecret(from schema) bool {
	alternatives, _ := from["oneOf"].([]any)
	return slices.ContainsFunc(alternatives, func(one any) bool {
		return slices.Contains(slices.Collect(maps.Keys(asSchema(asSchema(one)["properties"]))), "env")
	})
}

func secretReference() schema {
	return schema{
		"type": "object", "required": []string{"secretKeyRef"},
		"properties": schema{"secretKeyRef": schema{
			"type": "object", "required": []string{"name", "key"}, "description": "A key of a Secret in the namespace of this object. The controller reads it, and copies it nowhere.",
			"properties": schema{
				"name": schema{"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
				"key":  schema{"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[-._a-zA-Z0-9]+$"},
			},
		}},
	}
}
