package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/umagate/umagate/controlplane/site"
)

func TestCommittedDefinitionsAreCurrent(t *testing.T) {
	files, err := generate(site.JSONSchema())
	require.NoError(t, err)
	require.Len(t, files, 4)
	files["chart/rules.yaml"], err = rules("../../../envoy/monitoring")
	require.NoError(t, err)
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "deploy", name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s is not the model's; run: make generate", name)
	}
}

// specOf returns the properties of a committed definition's spec.
func specOf(t *testing.T, file string) schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "crds", file))
	require.NoError(t, err)
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	require.NoError(t, yaml.Unmarshal(text, &crd))
	return asSchema(asSchema(asSchema(crd.Spec.Versions[0].Schema.OpenAPIV3Schema["properties"])["spec"])["properties"])
}

// TestDefaultsAreTheModels: what the API server writes into an object is what umagate.yaml
// means where the key is left out.
func TestDefaultsAreTheModels(t *testing.T) {
	model := site.New()
	compare := func(file string, of reflect.Value) int {
		found := 0
		for key, property := range specOf(t, file) {
			want, ok := asSchema(property)["default"]
			if !ok {
				continue
			}
			found++
			got := ""
			for _, field := range reflect.VisibleFields(of.Type()) {
				if field.Tag.Get("yaml") == key {
					got = of.FieldByIndex(field.Index).String()
				}
			}
			require.Equal(t, want, got, "%s of %s", key, file)
		}
		return found
	}
	require.Equal(t, 7, compare("protectedapis.yaml", reflect.ValueOf(model)))
	require.Equal(t, 2, compare("authorizationservers.yaml", reflect.ValueOf(model.AuthorizationServer)))
}

// TestSiteIsWhole: every key of a site in umagate.yaml is in one of the objects.
func TestSiteIsWhole(t *testing.T) {
	m, err := readModel(site.JSONSchema())
	require.NoError(t, err)
	api, server := specOf(t, "protectedapis.yaml"), specOf(t, "authorizationservers.yaml")
	for key := range asSchema(m.definitions["Site"]["properties"]) {
		if key != "name" && key != "authorization_server" {
			require.Contains(t, api, key)
		}
	}
	for key := range asSchema(m.definitions["AuthorizationServer"]["properties"]) {
		require.Contains(t, server, key)
	}
}

func TestModelThatNoDefinitionCanHave(t *testing.T) {
	for _, text := range []string{
		`{`, `{"$defs": {}}`,
		`{"$defs": {"Site": {"properties": {"x": {"$ref": "#/$defs/Gone"}}}}}`,
		`{"$defs": {"Site": {"properties": {"x": {"type": "null"}}}}}`,
		`{"$defs": {"Site": {"properties": {"x": {"type": "array", "items": {"type": "null"}}}}}}`,
	} {
		_, err := generate([]byte(text))
		require.Error(t, err, text)
	}
}
