// Command schemagen writes the JSON Schema of umagate.yaml from the model's types
// and their comments. "make generate" runs it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

const (
	module = "github.com/umagate/umagate/controlplane/site"
	output = "umagate.schema.json"
)

func main() {
	text, err := generate()
	if err == nil {
		err = os.WriteFile(output, text, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

// generate reads the comments of package site, whose folder is the current one, and
// of the packages that it shares types with.
func generate() ([]byte, error) {
	r := &jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     mapped,
	}
	for _, folder := range []string{".", "../as", "../../plugin/config"} {
		if err := r.AddGoComments(module, folder); err != nil {
			return nil, fmt.Errorf("read comments: %w", err)
		}
	}
	unfold(r.CommentMap)
	schema := r.Reflect(&site.File{})
	schema.ID = "https://github.com/umagate/umagate/umagate.schema.json"
	schema.Title = "umagate.yaml"
	schema.Description = "Configuration of umagate: UMA 2.0 for any API behind Envoy or Istio."
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return append(text, '\n'), nil
}

// unfold joins the lines that a comment was wrapped to.
func unfold(comments map[string]string) {
	for k, text := range comments {
		comments[k] = strings.Join(strings.Fields(text), " ")
	}
}

// mapped describes the types that are written otherwise than Go has them.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[secret.Text]():
		return secretSchema()
	case reflect.TypeFor[site.StoreURL]():
		return &jsonschema.Schema{Type: "string", Pattern: `^(sqlite:.|postgres(ql)?://|\$\{)`}
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^(([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+|0|\$\{.*)$`, Examples: []any{"500ms", "30s", "5m"}}
	case reflect.TypeFor[site.Claims]():
		value := &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "boolean"}, {Type: "integer"}}}
		return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "array", Items: value}}
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{}
	}
	values := site.Values(t)
	if values == nil {
		return nil
	}
	enum := make([]any, len(values))
	for i, v := range values {
		enum[i] = v
	}
	return &jsonschema.Schema{Type: "string", Enum: enum}
}

func secretSchema() *jsonschema.Schema {
	source := func(key, description string) *jsonschema.Schema {
		properties := jsonschema.NewProperties()
		properties.Set(key, &jsonschema.Schema{Type: "string", Description: description})
		return &jsonschema.Schema{
			Type: "object", Properties: properties, Required: []string{key},
			AdditionalProperties: jsonschema.FalseSchema,
		}
	}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Description: "${NAME} takes it from the environment."},
		source("env", "Name of an environment variable."),
		source("file", "Path of a file; a relative one starts beside umagate.yaml."),
	}}
}
