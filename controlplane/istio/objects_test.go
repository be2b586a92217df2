package istio_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/istio"
	"github.com/umagate/umagate/controlplane/manifest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/e2e/pki"
)

var update = flag.Bool("update", false, "write the golden files anew")

const file = `listen: {xds: "0.0.0.0:18000", xds_tls: {certificate: xds.crt, key: xds.key, client_ca: ca.crt}}
envoy: {xds: "umagate.umagate.svc.cluster.local:18000"}
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "https://as.example.com", client: {id: photos-api, secret: "photos-api-secret"}}
  resources:
  - {name: albums, id: album-1, conditions: [{paths: ["/albums/{id}"], methods: [GET], scopes: [view]}]}
- name: files_2
  hosts: [files.example.com]
  authorization_server: {issuer: "http://keycloak.keycloak.svc.cluster.local:8080/realms/x", insecure_http: true, client: {id: files-api, secret: "files-api-secret"}}
  resources:
  - {name: files, id: file-1, conditions: [{paths: ["/files/**"], methods: [GET], scopes: [view]}]}
- name: private
  hosts: [private.example.com]
  authorization_server: {issuer: "https://192.0.2.7:8443", tls: {ca_file: as.pem}, client: {id: private-api, secret: "private-api-secret"}}
  resources:
  - {name: all, id: all-1, conditions: [{paths: ["/**"], scopes: [view]}]}
`

func input(t *testing.T, text string) envoyconf.Input {
	t.Helper()
	pair := pki.New(t, "test").Issue(t, pki.Leaf{Names: []string{"umagate"}})
	ca, err := os.ReadFile(filepath.Join("testdata", "ca.pem")) // the golden files have it
	require.NoError(t, err)
	parsed, err := site.Parse("umagate.yaml", []byte(text), site.Environment{
		LookupEnv: func(string) (string, bool) { return "secret", true },
		ReadFile: func(name string) ([]byte, error) {
			switch filepath.Base(name) {
			case "xds.key":
				return pair.Key, nil
			case "xds.crt":
				return pair.Certificate, nil
			default:
				return ca, nil
			}
		},
	})
	require.NoError(t, err)
	in := envoyconf.Input{File: parsed, Facts: map[string]site.Facts{}}
	for i := range parsed.Sites {
		issuer := parsed.Sites[i].AuthorizationServer.Issuer
		in.Facts[parsed.Sites[i].Name] = site.Facts{Issuer: issuer, Introspection: issuer + "/introspect", Permission: issuer + "/permission", Token: issuer + "/token"}
	}
	in.Config, err = site.Compile(parsed, in.Facts)
	require.NoError(t, err)
	return in
}

// The golden files are what somebody who knows Istio reads.
func TestObjects(t *testing.T) {
	for name, options := range map[string]istio.Options{
		"sidecar": {Way: istio.Istiod, Sidecars: map[string]string{"app": "photos"}, PullSecret: "registry"},
		"gateway": {Way: istio.Istiod, Gateway: "public", SHA256: strings.Repeat("a", 64)},
		"umagate": {Way: istio.Umagate, Gateways: map[string]string{"istio": "ingressgateway"}},
	} {
		t.Run(name, func(t *testing.T) {
			options.Name, options.Namespace, options.Module = "umagate", "edge", "oci://registry.example.com/umagate-wasm:v1"
			in := input(t, file)
			before := in.Config.Sites[0].AuthorizationServer.Permission.Cluster
			objects, err := istio.Objects(in, options)
			require.NoError(t, err)
			require.Equal(t, before, in.Config.Sites[0].AuthorizationServer.Permission.Cluster, "what was given has changed")
			text, err := manifest.YAML(objects)
			require.NoError(t, err)
			require.NotContains(t, string(text), "api-secret")
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				require.NoError(t, os.WriteFile(golden, text, 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(text), "run go test ./controlplane/istio -update")
		})
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	sidecars := map[string]string{"app": "photos"}
	mcp := strings.Replace(file, `methods: [GET], scopes: [view]}]}
- name: files_2`, `mcp: {tools: [search]}, scopes: [view]}]}
- name: files_2`, 1)
	for name, tt := range map[string]struct {
		options istio.Options
		file    string
		says    string
	}{
		"no proxies":            {options: istio.Options{Module: "oci://r/m"}, says: "in one way"},
		"two ways of proxies":   {options: istio.Options{Module: "oci://r/m", Sidecars: sidecars, Gateway: "public"}, says: "in one way"},
		"a path":                {options: istio.Options{Module: "umagate.wasm", Sidecars: sidecars}, says: "plugin.wasm"},
		"https without sha256":  {options: istio.Options{Module: "https://r/m.wasm", Sidecars: sidecars}, says: "plugin.sha256"},
		"pull secret for https": {options: istio.Options{Module: "https://r/m.wasm", SHA256: "a", PullSecret: "x", Sidecars: sidecars}, says: "oci://"},
		"MCP by istiod":         {options: istio.Options{Module: "oci://r/m", Sidecars: sidecars}, file: mcp, says: "umagate"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.options.Way = istio.Istiod
			if tt.file == "" {
				tt.file = file
			}
			_, err := istio.Objects(input(t, tt.file), tt.options)
			require.ErrorIs(t, err, istio.ErrOptions)
			require.ErrorContains(t, err, tt.says)
		})
	}
}
