package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
)

func TestImport(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind, source string
		note         string
	}{
		{"openapi", "openapi-photos.yaml", "note (changed): paths./search.get: a token is optional"},
		{"keycloak-enforcer", "keycloak-photoz.json", "has no path"},
		{"keycloak-authorization", "authorization-photoz.json", "are not carried over"},
		{"quarkus", "quarkus-shop.properties", "newer versions of Quarkus do not read path"},
		{"spring", "spring-cars.yaml", "keycloak.security-constraints (line 6) may guard paths, too"},
		{"apisix", "apisix-orders.yaml", "lazy_load_paths: the plugin asks Keycloak"},
		{"pinggateway", "pinggateway-guides.json", "Shares are not carried over"},
		{"gatekeeper", "gatekeeper-docs.yaml", "note (narrowed): resources[9] (line 43): headers"},
		{"istio", "istio-httpbin.yaml", "notIpBlocks is not looked at"},
		{"gluu", "gluu-protect.json", "Every method of \"/empty\" is denied now"},
		{"gluu", "gluu-gateway.json", "matches nothing in the gateway"},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			t.Parallel()
			source := filepath.Join("../importer/testdata", tt.source)
			path := filepath.Join(t.TempDir(), "umagate.yaml")
			code, out, stderr := run(t, nil, "import", tt.kind, source, "--out", path)
			require.Equal(t, cli.ExitOK, code, stderr)
			require.Empty(t, out)
			require.Contains(t, stderr, tt.note)
			code, out, stderr = run(t, map[string]string{"CLIENT_SECRET": "s"}, "validate", "-c", path)
			require.Equal(t, cli.ExitOK, code, out+stderr)

			// Not over what somebody may have worked on.
			code, _, stderr = run(t, nil, "import", tt.kind, source, "--out", path)
			require.Equal(t, cli.ExitFailed, code)
			require.Contains(t, stderr, "--force")
			code, _, stderr = run(t, nil, "import", tt.kind, source, "--out", path, "--force", "--site", "other", "--host", "h.example.com", "--issuer", "https://x.example.com")
			require.Equal(t, cli.ExitOK, code, stderr)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(text), "- name: \"other\"\n  hosts: [\"h.example.com\"]\n  # upstream: http://127.0.0.1:8080 # TODO: the API, as Envoy reaches it, for umagate render\n  authorization_server:\n    issuer: \"https://x.example.com\"\n")
		})
	}
	code, _, stderr := run(t, nil, "import", "gluu", "../importer/testdata/openapi-photos.yaml")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "cannot be imported")
}

// TestImportReport: --output json has every note, and the file.
func TestImportReport(t *testing.T) {
	t.Parallel()
	source := filepath.Join("../importer/testdata", "openapi-servers.yaml")
	type report struct {
		File                  string
		Resources, Conditions int
		Notes                 []struct{ Severity, Place, Text string }
	}
	read := func(text string) (r report) {
		require.NoError(t, json.Unmarshal([]byte(text), &r), text)
		return r
	}
	args := []string{"import", "openapi", source, "--output", "json", "--document-url", "https://docs.example.com/api/openapi.yaml", "--server-variable", "v=v1"}
	code, out, stderr := run(t, nil, args...)
	require.Equal(t, cli.ExitOK, code, stderr)
	r := read(out)
	require.Contains(t, r.File, `"/v1/a", "/api/v3/a", "/api/v4/a", "/v5/a", "/a"`)
	require.Equal(t, 1, r.Conditions)
	require.Len(t, r.Notes, 1)
	require.Equal(t, "narrowed", r.Notes[0].Severity)

	path := filepath.Join(t.TempDir(), "umagate.yaml")
	code, out, stderr = run(t, nil, append(args, "--out", path)...)
	require.Equal(t, cli.ExitOK, code, stderr)
	require.Empty(t, read(out).File)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, r.File, string(text))
}

// TestImportOXD: print, put into a configuration, and bring the RPs over.
func TestImportOXD(t *testing.T) {
	t.Parallel()
	const source = "../oxd/legacy/testdata/v3"
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	code, out, stderr := run(t, nil, "import", "oxd", source, "--out", path)
	require.Equal(t, cli.ExitOK, code, stderr)
	require.Empty(t, out)
	require.Contains(t, stderr, "umagate: 2 RPs found")
	require.Contains(t, stderr, "trust_all_certs")
	code, out, stderr = run(t, nil, "validate", "-c", path)
	require.Equal(t, cli.ExitOK, code, out+stderr)
	for _, want := range []string{"2 RPs brought over with 3 resources, 0 there already", "0 RPs brought over with 0 resources, 2 there already"} {
		code, out, stderr = run(t, nil, "import", "oxd", source, "--into", path)
		require.Equal(t, cli.ExitOK, code, stderr)
		require.Empty(t, out)
		require.Contains(t, stderr, want)
	}
	// What applications have made is shown, and is not taken for what the file has lost.
	code, out, stderr = run(t, nil, "plan", "-c", path, "--output", "json")
	require.Equal(t, cli.ExitOK, code, stderr)
	var plan struct {
		Applications []struct {
			Site, Issuer          string
			Resources, Registered int
		}
		Left []any `json:"left_alone"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &plan))
	require.NotEmpty(t, plan.Applications, out)
	registered := 0
	for _, a := range plan.Applications {
		registered += a.Registered
		require.Equal(t, a.Resources, a.Registered)
		require.NotEmpty(t, a.Issuer)
	}
	require.Equal(t, 3, registered)
	require.Empty(t, plan.Left, out)
	code, out, stderr = run(t, nil, "plan", "-c", path)
	require.Equal(t, cli.ExitOK, code, stderr)
	require.Contains(t, out, "Site "+plan.Applications[0].Site+" at ")
	require.Contains(t, out, "was made by an application")
	code, _, stderr = run(t, nil, "import", "oxd", t.TempDir())
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "oxd-conf.json")
}
