package envoygateway_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/envoygateway"
	"github.com/umagate/umagate/controlplane/manifest"
	"github.com/umagate/umagate/controlplane/site"
)

var update = flag.Bool("update", false, "write the golden files anew")

const file = `listen: {xds: "127.0.0.1:18010"}
envoy: {xds: "umagate.umagate.svc.cluster.local:18010"}
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "https://as.example.com", client: {id: photos-api, secret: "photos-api-secret"}}
  resources:
  - {name: albums, id: album-1, conditions: [{paths: ["/albums/{id}"], scopes: [view]}]}
`

func input(t *testing.T, text string) envoyconf.Input {
	t.Helper()
	parsed, err := site.Parse("umagate.yaml", []byte(text), site.Environment{})
	require.NoError(t, err)
	const issuer = "https://as.example.com"
	in := envoyconf.Input{File: parsed, Facts: map[string]site.Facts{
		"photos": {Issuer: issuer, Introspection: issuer + "/introspect", Permission: issuer + "/permission", Token: issuer + "/token"},
	}}
	in.Config, err = site.Compile(parsed, in.Facts)
	require.NoError(t, err)
	return in
}

func TestObjects(t *testing.T) {
	digest := strings.Repeat("a", 64)
	for name, options := range map[string]envoygateway.Options{
		"gateway": {Module: "oci://registry.example.com/umagate-wasm:v1", SHA256: digest, PullSecret: "registry"},
		"route":   {Module: "https://modules.example.com/umagate.wasm", SHA256: digest, Route: "photos"},
	} {
		t.Run(name, func(t *testing.T) {
			options.Name, options.Namespace, options.Gateway = "umagate", "edge", "public"
			objects, err := envoygateway.Objects(input(t, file), options)
			require.NoError(t, err)
			text, err := manifest.YAML(objects)
			require.NoError(t, err)
			require.NotContains(t, string(text), "api-secret")
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				require.NoError(t, os.WriteFile(golden, text, 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(text), "run go test ./controlplane/envoygateway -update")
		})
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	mcp := strings.Replace(file, "scopes: [view]", "mcp: {tools: [search]}, scopes: [view]", 1)
	for name, tt := range map[string]struct {
		options envoygateway.Options
		file    string
		says    string
	}{
		"no Gateway":            {options: envoygateway.Options{Module: "oci://r/m"}, says: "Gateway"},
		"a path":                {options: envoygateway.Options{Gateway: "g", Module: "umagate.wasm"}, says: "plugin.wasm"},
		"https without sha256":  {options: envoygateway.Options{Gateway: "g", Module: "https://r/m.wasm"}, says: "plugin.sha256"},
		"pull secret for https": {options: envoygateway.Options{Gateway: "g", Module: "https://r/m.wasm", SHA256: "a", PullSecret: "x"}, says: "oci://"},
		"MCP":                   {options: envoygateway.Options{Gateway: "g", Module: "oci://r/m"}, file: mcp, says: "MCP"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.file == "" {
				tt.file = file
			}
			_, err := envoygateway.Objects(input(t, tt.file), tt.options)
			require.ErrorIs(t, err, envoygateway.ErrOptions)
			require.ErrorContains(t, err, tt.says)
		})
	}
}
