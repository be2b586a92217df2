package envoyconf_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/e2e/pki"
)

var update = flag.Bool("update", false, "write the golden files anew")

const golden = "testdata/golden"

// input compiles a file of testdata, with facts that lack nothing.
func input(t testing.TB, path string) envoyconf.Input {
	t.Helper()
	ca := pki.New(t, "test")
	pair := ca.Issue(t, pki.Leaf{Names: []string{"xds"}})
	files := map[string][]byte{"crt": pair.Certificate, "key": pair.Key, "ca": ca.PEM}
	f, err := site.LoadIn(path, site.Environment{
		LookupEnv: func(name string) (string, bool) { return "value-of-" + name, name != "DATABASE_URL" },
		ReadFile: func(path string) ([]byte, error) {
			if content, ok := files[path]; ok {
				return content, nil
			}
			return os.ReadFile(path)
		},
	})
	require.NoError(t, err)
	facts := map[string]site.Facts{}
	for i := range f.Sites {
		s := &f.Sites[i]
		ids := map[string]string{}
		for _, r := range s.Resources {
			ids[r.Name] = "id-of-" + r.Name
		}
		facts[s.Name] = site.Facts{
			Token: s.AuthorizationServer.Issuer + "/token", Introspection: s.AuthorizationServer.Issuer + "/introspect",
			Permission: s.AuthorizationServer.Issuer + "/permission", ResourceIDs: ids, IntrospectionCredential: as.CredentialClient,
			PATScopes: []string{"uma_protection"},
		}
	}
	in := envoyconf.Input{File: f, Facts: facts}
	in.Config, err = site.Compile(f, facts)
	require.NoError(t, err)
	return in
}

// built is everything that is made of an input, by the name of its golden file.
func built(t testing.TB, name string, in envoyconf.Input) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	write := func(kind string, messages ...proto.Message) {
		var text []byte
		for _, m := range messages {
			part, err := envoyconf.YAML(m)
			require.NoError(t, err)
			text = append(append(text, "---\n"...), part...)
		}
		out[name+"."+kind+".yaml"] = text
	}
	clusters, err := envoyconf.Clusters(in)
	require.NoError(t, err)
	var messages []proto.Message
	for _, c := range clusters {
		messages = append(messages, c)
	}
	write("clusters", messages...)
	upstreams, err := envoyconf.Upstreams(in.File)
	require.NoError(t, err)
	messages = nil
	for _, c := range upstreams {
		messages = append(messages, c)
	}
	write("upstreams", messages...)
	listener, err := envoyconf.Listener(in.File)
	require.NoError(t, err)
	write("listener", listener)
	write("routes", envoyconf.Routes(in.File))
	filter, err := envoyconf.Filter(in)
	require.NoError(t, err)
	write("filter", filter)
	dynamic, err := envoyconf.Dynamic(in.File)
	require.NoError(t, err)
	write("dynamic", dynamic)
	static, err := envoyconf.Static(in)
	require.NoError(t, err)
	write("static", static)
	if in.File.Listen.XDSTLS != nil {
		secrets, err := envoyconf.XDSSecrets(in.File)
		require.NoError(t, err)
		write("xds-secrets", secrets["certificate.yaml"], secrets["ca.yaml"])
	}
	return out
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	all := map[string][]byte{}
	for _, path := range inputs {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		maps.Copy(all, built(t, name, input(t, path)))
	}
	if *update {
		require.NoError(t, os.RemoveAll(golden))
		require.NoError(t, os.MkdirAll(golden, 0o750))
		for file, text := range all {
			require.NoError(t, os.WriteFile(filepath.Join(golden, file), text, 0o600))
		}
	}
	var want, have []string
	for file := range all {
		want = append(want, file)
	}
	entries, err := os.ReadDir(golden)
	require.NoError(t, err)
	for _, e := range entries {
		have = append(have, e.Name())
	}
	sort.Strings(want)
	require.Equal(t, want, have, "stale or missing golden files; run: go test ./controlplane/envoyconf -update")
	for file, text := range all {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			committed, err := os.ReadFile(filepath.Join(golden, file))
			require.NoError(t, err)
			require.Equal(t, string(committed), string(text), "run: go test ./controlplane/envoyconf -update, and read the difference")
		})
	}
}

// TestNoSecretWhereItIsShown: neither the filter's configuration nor a cluster
// holds a secret; a static bootstrap has them in its secrets alone, which Envoy
// redacts.
func TestNoSecretWhereItIsShown(t *testing.T) {
	t.Parallel()
	in := input(t, "testdata/pat.yaml")
	for file, text := range built(t, "x", in) {
		require.NotContains(t, withoutSecrets(t, file, in, string(text)), "value-of-", file)
	}
}

func withoutSecrets(t *testing.T, file string, in envoyconf.Input, text string) string {
	t.Helper()
	if !strings.Contains(file, "static") {
		return text
	}
	static, err := envoyconf.Static(in)
	require.NoError(t, err)
	static = proto.CloneOf[*bootstrapv3.Bootstrap](static)
	require.NotEmpty(t, static.GetStaticResources().GetSecrets())
	static.StaticResources.Secrets = nil
	rest, err := envoyconf.YAML(static)
	require.NoError(t, err)
	return string(rest)
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	got := envoyconf.Secrets(map[string]envoyconf.Credentials{
		"b": {PAT: envoyconf.Bearer(secret.New("pat"))},
		"a": {PAT: envoyconf.Bearer(secret.New("pat")), Introspection: envoyconf.Basic("c:d", secret.New("p%q r"))},
		"c": {},
	})
	var names, values []string
	for _, s := range got {
		names = append(names, s.GetName())
		values = append(values, s.GetGenericSecret().GetSecret().GetInlineString())
	}
	require.Equal(t, []string{"umagate/a/introspection", "umagate/a/pat", "umagate/b/pat"}, names)
	require.Equal(t, []string{"Basic YyUzQWQ6cCUyNXErcg==", "Bearer pat", "Bearer pat"}, values, "form-encoded before base64")
	require.True(t, envoyconf.Bearer(secret.Text{}).IsZero())
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(f *site.File)
		want   string
	}{
		{"no upstream", func(f *site.File) { f.Sites[0].Upstream = "" }, "no upstream"},
		{"no client", func(f *site.File) { f.Sites[0].AuthorizationServer.Client.ID = "" }, "nobody registers the client"},
		{"no listener", func(f *site.File) { f.Envoy.Listener = "10000" }, "envoy.listener"},
		{"no sum", func(f *site.File) { f.Plugin = site.Plugin{Wasm: "https://example.com/umagate.wasm"} }, "plugin.sha256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := input(t, "testdata/pat.yaml")
			tt.change(in.File)
			_, err := envoyconf.Static(in)
			require.ErrorIs(t, err, envoyconf.ErrInput)
			require.ErrorContains(t, err, tt.want)
		})
	}
	t.Run("no token endpoint", func(t *testing.T) {
		t.Parallel()
		in := input(t, "testdata/pat.yaml")
		in.Facts = nil
		_, err := envoyconf.Static(in)
		require.ErrorContains(t, err, "endpoints.token")
	})
}
