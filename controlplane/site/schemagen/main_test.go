package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/site"
)

func TestCommittedSchemaIsCurrent(t *testing.T) {
	t.Chdir("..") // the folder that go generate runs in
	want, err := generate()
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, site.JSONSchema()), "the committed schema is not the model's; run: make generate")
}

func TestEveryKeyIsDescribed(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties map[string]map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(site.JSONSchema(), &schema))
	require.Greater(t, len(schema.Defs), 10)
	for name, def := range schema.Defs {
		for key, property := range def.Properties {
			require.NotEmpty(t, property["description"], "%s.%s needs a comment", name, key)
		}
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(site.JSONSchema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("umagate.schema.json", document))
	schema, err := c.Compile("umagate.schema.json")
	require.NoError(t, err)
	return schema
}

// instance is a YAML text as a JSON Schema validator takes it.
func instance(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	require.NoError(t, yaml.Load(text, &v))
	asJSON, err := json.Marshal(v)
	require.NoError(t, err)
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	return out
}

func TestExamplesSatisfyTheSchema(t *testing.T) {
	schema := compiled(t)
	files, err := filepath.Glob("../testdata/examples/*.yaml")
	require.NoError(t, err)
	shown, err := filepath.Glob("../../../envoy/*umagate.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, shown)
	for _, path := range append(files, shown...) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, schema.Validate(instance(t, text)))
		})
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := compiled(t)
	good, err := os.ReadFile("../../../envoy/umagate.yaml")
	require.NoError(t, err)
	require.NoError(t, schema.Validate(instance(t, good)))
	tests := []struct{ name, old, replacement string }{
		{"unknown key", "sites:", "sitess: []\nsites:"},
		{"unknown nested key", "methods:", "methds:"},
		{"enumeration", "upstream:", "mode: strict\n  upstream:"},
		{"missing name", "- name: photos ", "- realm: photos "},
		{"duration", "upstream:", "token: {max_ttl: 60}\n  upstream:"},
		{"secret", "register: {}", "register: {initial_access_token: {vault: x}}"},
		{"list", "methods: [GET]", "methods: GET"},
		{"empty list", "methods: [GET]", "methods: []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(string(good), tt.old, tt.replacement, 1)
			require.NotEqual(t, string(good), bad)
			require.Error(t, schema.Validate(instance(t, []byte(bad))))
		})
	}
}
