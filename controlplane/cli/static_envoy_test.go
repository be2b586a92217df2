package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/sampleapi"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// run runs the command line in the test's own process.
func run(t *testing.T, vars map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Run(t.Context(), cli.Environment{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err,
		LookupEnv: func(name string) (string, bool) {
			v, ok := vars[name]
			return v, ok
		},
	}, args)
	return code, out.String(), err.String()
}

// file writes a umagate.yaml for the test.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func module(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	require.FileExists(t, path, "run: make wasm")
	return path
}

// TestStaticEnvoy takes what "umagate render envoy" prints to a real Envoy, without
// any control plane, and walks the client's side with "umagate rpt".
func TestStaticEnvoy(t *testing.T) {
	binary := envoytest.Binary(t)
	dialects := map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()}
	for name, dialect := range dialects {
		t.Run(name, func(t *testing.T) {
			server, err := devas.New(devas.Options{
				Dialect: dialect, SkipConsent: true, RPTFormat: devas.FormatJWT,
				Users:   []devas.User{{Name: "alice", Password: "pw"}, {Name: "bob", Password: "pw"}},
				Clients: []devas.Client{{ID: "app", Secret: "app-secret"}, {ID: "rs", Secret: "rs:secret %"}},
			})
			require.NoError(t, err)
			stop, err := server.Start(t.Context())
			require.NoError(t, err)
			t.Cleanup(func() { stop() })
			registerAlbums(t, server)
			_, err = server.Permit(devas.Policy{Resource: "albums", Scopes: []string{"view"}, Subjects: []string{"alice"}})
			require.NoError(t, err)
			api, err := sampleapi.New().Start(t.Context(), "127.0.0.1:0", nil)
			require.NoError(t, err)
			t.Cleanup(api.Stop)

			config := file(t, `
plugin: {wasm: `+module(t)+`}
envoy: {listener: "127.0.0.1:0", admin: "127.0.0.1:0", access_log: "`+filepath.Join(t.TempDir(), "access.log")+`"}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://`+api.Address+`
  authorization_server:
    issuer: `+server.Issuer()+`
    client: {id: rs, secret: "${RS_SECRET}"}
  resources:
  - name: albums
    conditions:
    - {paths: ["/albums/{id}"], methods: [GET], scopes: [view]}
    - {paths: ["/albums/{id}"], methods: [DELETE], scopes: [delete]}
  - {name: health, conditions: [{paths: ["/healthz"], public: true}]}
`)
			vars := map[string]string{"RS_SECRET": "rs:secret %", "UMAGATE_CLIENT_SECRET": "app-secret", "UMAGATE_PASSWORD": "pw"}
			code, bootstrap, stderr := run(t, vars, "render", "envoy", "-c", config)
			require.Equal(t, cli.ExitOK, code, stderr)
			process := envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: []byte(bootstrap)})
			base := "http://" + envoytest.Address(t.Context(), t, process, "umagate")

			rpt := func(args ...string) (int, string, string) {
				return run(t, vars, append([]string{"rpt", "--client", "app", "-H", "Host: photos.example.com"}, args...)...)
			}
			code, body, stderr := rpt("--user", "alice", base+"/albums/1")
			require.Equal(t, cli.ExitOK, code, stderr)
			require.True(t, json.Valid([]byte(body)), body)
			require.Contains(t, stderr, "UMA realm=")
			code, _, stderr = rpt("--user", "bob", base+"/albums/1")
			require.Equal(t, cli.ExitDenied, code, stderr)
			code, _, stderr = rpt("--user", "alice", "-X", "DELETE", base+"/albums/1")
			require.Equal(t, cli.ExitDenied, code, stderr)
			code, _, stderr = rpt(base + "/healthz")
			require.Equal(t, cli.ExitOK, code, stderr)

			code, token, stderr := rpt("--user", "alice", "--print-token", base+"/albums/1")
			require.Equal(t, cli.ExitOK, code, stderr)
			vars["UMAGATE_TOKEN"] = strings.TrimSpace(token)
			code, out, stderr := run(t, vars, "check", "-c", config, "--host", "photos.example.com", "--path", "/albums/1", "-o", "json")
			require.Equal(t, cli.ExitOK, code, out+stderr)
			code, out, stderr = run(t, vars, "check", "-c", config, "--host", "photos.example.com", "--path", "/albums/1", "-X", "DELETE")
			require.Equal(t, cli.ExitDenied, code, out+stderr)

			dump, err := process.ConfigDump(t.Context())
			require.NoError(t, err)
			require.NotContains(t, dump, "rs:secret")
			require.NotContains(t, dump, "cnMlM0FzZWNyZXQ", "the same in base64")
			metrics, err := process.Prometheus(t.Context())
			require.NoError(t, err)
			require.Contains(t, metrics, "umagate_")
		})
	}
}

func registerAlbums(t *testing.T, server *devas.Server) {
	t.Helper()
	client, err := as.New(as.Config{Issuer: server.Issuer()})
	require.NoError(t, err)
	known, err := client.Discover(t.Context())
	require.NoError(t, err)
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, "rs", secret.New("rs:secret %"), nil)
	require.NoError(t, err)
	pat, err := known.PAT(t.Context(), auth)
	require.NoError(t, err)
	_, err = known.Protection(as.NewPATSource(pat, nil, nil, nil)).Create(t.Context(), as.Resource{Name: "albums", Scopes: []string{"view", "delete"}})
	require.NoError(t, err)
}
