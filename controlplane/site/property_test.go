package site_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// examples are the files that users are shown, and those that show every key.
func examples(t testing.TB) []string {
	t.Helper()
	list, err := filepath.Glob("testdata/examples/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, list)
	shown, err := filepath.Glob("../../envoy/*umagate.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, shown)
	return append(list, shown...)
}

// anyEnvironment has a value for every variable.
func anyEnvironment() site.Environment {
	return site.Environment{
		LookupEnv:   func(name string) (string, bool) { return "", strings.HasSuffix(name, "_UNSET") },
		SkipSecrets: true,
	}
}

func factsOfAll(f *site.File) map[string]site.Facts {
	facts := map[string]site.Facts{}
	for i := range f.Sites {
		ids := map[string]string{}
		for _, r := range f.Sites[i].Resources {
			ids[r.Name] = "id-of-" + r.Name
		}
		facts[f.Sites[i].Name] = site.Facts{
			Introspection: "https://as.example.com/introspect", Permission: "https://as.example.com/permission", ResourceIDs: ids,
		}
	}
	return facts
}

func requireFilterTakes(t *testing.T, f *site.File, facts map[string]site.Facts) config.Config {
	t.Helper()
	compiled, err := site.Compile(f, facts)
	require.NoError(t, err)
	document, err := config.Encode(&compiled)
	require.NoError(t, err)
	read, err := config.Parse(document)
	require.NoError(t, err, "%s", document)
	require.Equal(t, &compiled, read, "what the filter reads is what was meant")
	_, err = decision.Compile(read)
	require.NoError(t, err, "%s", document)
	return compiled
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for _, path := range examples(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			f, err := site.LoadIn(path, anyEnvironment())
			require.NoError(t, err)
			requireFilterTakes(t, f, factsOfAll(f))
		})
	}
}

// FuzzParse: whatever is parsed without a fault, the filter takes, and nothing
// that is written makes the parser panic or place a fault outside of the file.
func FuzzParse(f *testing.F) {
	for _, path := range examples(f) {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(string(text))
	}
	for _, seed := range []string{
		"", "sites: [", "- a", "a: &a [*a]", "a: &a {b: *a}", "sites: &s [*s]", "sites: {a: b}", "? a\n: b", "<<: {a: b}",
		"sites:\n- name: a\n  hosts: [\"*\"]\n  authorization_server: {issuer: \"https://a\", client: {register: {}}}\n  resources: [{name: r, conditions: [{paths: [\"/\"], scope_expression: {rule: {\"!\": {var: 0x0}}, data: [a]}}]}]\n",
		"a: !!binary aGk=", "store: ${A:-${B}}", "sites: [{token: {max_ttl: 9999999999h}}]", "%YAML 1.2\n---\nsites: []\n...", "\xff\xfe", "a\t: b", "listen: \"\\u0000\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := site.Parse("f", []byte(text), anyEnvironment())
		if err == nil {
			requireFilterTakes(t, file, factsOfAll(file))
			return
		}
		require.ErrorIs(t, err, site.ErrInvalid)
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + strings.Count(text, "\u0085") + 2
		for _, fault := range site.Faults(err) {
			require.NotEmpty(t, fault.Problem)
			require.LessOrEqual(t, fault.Line, lines)
			require.GreaterOrEqual(t, fault.Line, 0)
		}
	})
}

func TestCompileIsDeterministic(t *testing.T) {
	t.Parallel()
	for _, path := range examples(t) {
		first, err := site.LoadIn(path, anyEnvironment())
		require.NoError(t, err)
		second, err := site.LoadIn(path, anyEnvironment())
		require.NoError(t, err)
		a, b := requireFilterTakes(t, first, factsOfAll(first)), requireFilterTakes(t, second, factsOfAll(second))
		require.Equal(t, a, b)
		require.Len(t, a.Revision, 16)
		second.Sites[0].Realm = "changed"
		require.NotEqual(t, a.Revision, requireFilterTakes(t, second, factsOfAll(second)).Revision)
	}
}

func TestCompile(t *testing.T) {
	t.Parallel()
	parse := func(t *testing.T, top, server, resource string) *site.File {
		t.Helper()
		f, err := site.Parse("f", []byte(around(top, server, resource)), environment(nil))
		require.NoError(t, err)
		return f
	}
	facts := site.Facts{Introspection: "https://as.example.com/i?a=b", Permission: "https://as.example.com:8443/p", ResourceIDs: map[string]string{"albums": "r1"}}

	t.Run("ticket", func(t *testing.T) {
		t.Parallel()
		f := parse(t, "", "", "    conditions:\n    - {paths: [\"/a\"], scopes: [view]}\n    - {paths: [\"/b\"], scopes: [view], ticket_scopes: [view, edit]}\n"+
			"    - {paths: [\"/c\"], scopes: [view], ticket: [{resource: other, scopes: [x]}]}\n    - {paths: [\"/d\"], public: true}\n  - {name: other, conditions: [{paths: [\"/e\"], scopes: [x]}]}")
		c, err := site.Compile(f, map[string]site.Facts{"photos": facts})
		require.NoError(t, err)
		got := c.Sites[0].Resources[0].Conditions
		require.Nil(t, got[0].Ticket, "the filter's default says the same")
		require.Equal(t, []config.Permission{{ResourceID: "r1", ResourceScopes: []string{"view", "edit"}}}, got[1].Ticket)
		require.Equal(t, []config.Permission{{ResourceID: "r1", ResourceScopes: []string{"view"}}, {ResourceID: "", ResourceScopes: []string{"x"}}}, got[2].Ticket,
			"an id that is not known stays empty, for which the filter asks for no ticket")
		require.Nil(t, got[3].Ticket)
		require.Empty(t, c.Sites[0].Resources[1].ID)
	})
	t.Run("endpoints", func(t *testing.T) {
		t.Parallel()
		c, err := site.Compile(parse(t, "", "    timeout: 1500ms", conditions), map[string]site.Facts{"photos": facts})
		require.NoError(t, err)
		as := c.Sites[0].AuthorizationServer
		require.Equal(t, config.Endpoint{Cluster: "umagate/photos/introspection", Scheme: "https", Authority: "as.example.com", Path: "/i?a=b", TimeoutMS: 1500}, as.Introspection.Endpoint)
		require.Equal(t, config.Endpoint{Cluster: "umagate/photos/protection", Scheme: "https", Authority: "as.example.com:8443", Path: "/p", TimeoutMS: 1500}, *as.Permission)
		require.Equal(t, "https://as.example.com", as.URI)
	})
	t.Run("the file wins over facts", func(t *testing.T) {
		t.Parallel()
		given := facts
		given.TokenTypeHint, given.Claims = "a", config.ClaimsFromToken
		c, err := site.Compile(parse(t, "", "    endpoints: {introspection: \"https://other.example.com\"}\n    introspection: {token_type_hint: b, claims: response}", "    id: mine\n"+conditions), map[string]site.Facts{"photos": given})
		require.NoError(t, err)
		in := c.Sites[0].AuthorizationServer.Introspection
		require.Equal(t, []string{"other.example.com", "/", "b", "response"}, []string{in.Authority, in.Path, in.TokenTypeHint, string(in.Claims)})
		require.Equal(t, "mine", c.Sites[0].Resources[0].ID)
	})
	t.Run("never believed without asking", func(t *testing.T) {
		t.Parallel()
		c, err := site.Compile(parse(t, "", "  token: {max_ttl: 0s, negative_ttl: 0s}", conditions), map[string]site.Facts{"photos": facts})
		require.NoError(t, err)
		require.Equal(t, []int{-1, -1}, []int{c.Sites[0].Token.MaxTTLMS, c.Sites[0].Token.NegativeTTLMS})
	})
	t.Run("a site that is not known yet is there, denies, and is named", func(t *testing.T) {
		t.Parallel()
		for _, lacking := range []site.Facts{{}, {Introspection: "https://as"}, {Introspection: "ftp://as", Permission: "https://as"}, {Introspection: "https://as", Permission: ":"}} {
			c, err := site.Compile(parse(t, "", "", conditions), map[string]site.Facts{"photos": lacking})
			require.ErrorIs(t, err, site.ErrIncomplete)
			require.ErrorContains(t, err, "site photos")
			require.Equal(t, config.AuthorizationServer{Unknown: true}, c.Sites[0].AuthorizationServer)
			_, err = decision.Compile(&c)
			require.NoError(t, err)
		}
	})
	t.Run("registered scopes", func(t *testing.T) {
		t.Parallel()
		f := parse(t, "", "", "    conditions:\n    - {paths: [\"/a\"], scopes: [a, b], ticket_scopes: [c]}\n    - {paths: [\"/b\"], scope_expression: {rule: {var: 0}, data: [b, d]}}")
		require.Equal(t, []string{"a", "b", "c", "d"}, f.Sites[0].Resources[0].RegisteredScopes())
	})
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	f, err := site.Parse("f", []byte(strings.Replace(around("store: \"postgres://u:hunter2@h/d?password=hunter2\"\nstore_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "", conditions), "{register: {}}", "{id: a, secret: \"${S}\"}", 1)),
		environment(map[string]string{"S": "hunter2"}))
	require.NoError(t, err)
	require.Equal(t, "hunter2", f.Sites[0].AuthorizationServer.Client.Secret.Reveal())
	require.Contains(t, f.Store.Reveal(), "hunter2")
	for _, text := range slices.Collect(maps.Values(formats(f))) {
		require.NotContains(t, text, "hunter2")
	}
}

// BenchmarkParse/10k_resources is what a control plane does at a start or reload.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	text.WriteString(strings.TrimSuffix(around("", "", conditions), "\n"))
	for i := range 10_000 {
		n := strconv.Itoa(i)
		text.WriteString("\n  - {name: r" + n + ", conditions: [{paths: [\"/r/" + n + "/{id}\"], methods: [GET], scopes: [view]}, {paths: [\"/r/" + n + "/{id}\"], methods: [PUT], scopes: [edit], ticket_scopes: [edit, view]}]}")
	}
	b.Run("10k_resources", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, err := site.Parse("f", []byte(text.String()), environment(nil))
			require.NoError(b, err)
			_, err = site.Compile(f, factsOfAll(f))
			require.NoError(b, err)
		}
	})
}
