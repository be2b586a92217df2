package importer_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
	"github.com/umagate/umagate/controlplane/site"
)

var update = flag.Bool("update", false, "write the golden files anew")

// readers are the importers by the kind of their files.
func readers() map[string]func(string, []byte, importer.Settings) (*importer.Draft, error) {
	return map[string]func(string, []byte, importer.Settings) (*importer.Draft, error){
		"apisix":        importer.APISIX,
		"authorization": importer.KeycloakAuthorization,
		"gatekeeper":    importer.Gatekeeper,
		"gluu":          importer.Gluu,
		"istio":         importer.Istio,
		"keycloak":      importer.KeycloakEnforcer,
		"pinggateway":   importer.PingGateway,
		"quarkus":       importer.Quarkus,
		"spring":        importer.Spring,
	}
}

// read imports a file by the kind that its name begins with.
func read(path string) (*importer.Draft, error) {
	name := filepath.Base(path)
	if strings.HasPrefix(name, "openapi") {
		by := importer.ByTag
		if strings.Contains(name, "orders") {
			by = importer.ByPath
		}
		return importer.OpenAPI(path, by, importer.Settings{})
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var settings importer.Settings
	if strings.Contains(name, "-with-settings") { // the enforcer's file that Keycloak has settings for
		settings.Authorization = "testdata/authorization-photoz.json"
	}
	kind, _, _ := strings.Cut(strings.TrimSuffix(name, filepath.Ext(name)), "-")
	return readers()[kind](path, data, settings)
}

// check finishes and prints a draft, and judges what is printed as "umagate
// validate" does.
func check(t *testing.T, d *importer.Draft) string {
	t.Helper()
	var out bytes.Buffer
	_, err := d.WriteTo(&out)
	require.NoError(t, err)
	_, err = site.Parse("imported.yaml", out.Bytes(), site.Environment{LookupEnv: func(name string) (string, bool) {
		return "secret", name == "CLIENT_SECRET"
	}})
	require.NoError(t, err, out.String())
	return out.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("testdata/*-*.*")
	require.NoError(t, err)
	golden := map[string]bool{}
	for _, source := range sources {
		if strings.HasSuffix(source, ".golden") {
			golden[source] = true
		}
	}
	for _, source := range sources {
		if strings.HasSuffix(source, ".golden") {
			continue
		}
		require.True(t, *update || golden[source+".golden"], "no golden file for %s: run with -update", source)
		delete(golden, source+".golden")
		t.Run(filepath.Base(source), func(t *testing.T) {
			t.Parallel()
			draft, err := read(source)
			require.NoError(t, err)
			require.NoError(t, draft.Finish())
			got := check(t, draft)
			require.NotContains(t, got, "not-to-be-copied")
			if *update {
				require.NoError(t, os.WriteFile(source+".golden", []byte(got), 0o600))
				return
			}
			want, err := os.ReadFile(source + ".golden")
			require.NoError(t, err)
			require.Equal(t, string(want), got)
		})
	}
	require.Empty(t, golden, "stale golden files")
}

// TestRefused: what is no source of the kind is told, not guessed.
func TestRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, kind, text string
		want             error
	}{
		{"swagger 2.0 without a path", "openapi", `{"swagger": "2.0", "info": {"title": "a", "version": "1"}, "paths": {}}`, importer.ErrNothing},
		{"swagger 1.2", "openapi", `{"swagger": "1.2", "apis": []}`, importer.ErrSource},
		{"no OpenAPI document", "openapi", `{"a": 1}`, importer.ErrSource},
		{"paths of another kind", "openapi", `{"openapi": "3.0.0", "paths": ["/a"]}`, importer.ErrSource},
		{"no path", "openapi", `{"openapi": "3.0.0", "info": {"title": "a", "version": "1"}, "paths": {}}`, importer.ErrNothing},
		{"a reference to elsewhere", "openapi", `{"openapi": "3.0.0", "info": {"title": "a", "version": "1"}, "paths": {"/a": {"$ref": "http://127.0.0.1:1/a.json"}}}`, importer.ErrSource},
		{"no keycloak.json", "keycloak", `{"a": 1}`, importer.ErrSource},
		{"a keycloak.json without paths", "keycloak", `{"policy-enforcer": {}}`, importer.ErrNothing},
		{"a list", "keycloak", `[]`, importer.ErrSource},
		{"no oxd document", "gluu", `{"a": 1}`, importer.ErrSource},
		{"resources of another kind", "gluu", `{"resources": 3}`, importer.ErrSource},
		{"no resource", "gluu", `{"resources": []}`, importer.ErrNothing},
		{"no configuration of Gatekeeper", "gatekeeper", `{"a": 1}`, importer.ErrSource},
		{"a path of Gatekeeper without a slash", "gatekeeper", `{"resources": [{"uri": "a"}]}`, importer.ErrSource},
		{"a method that Gatekeeper does not know", "gatekeeper", `{"resources": [{"uri": "/a", "methods": ["get"]}]}`, importer.ErrSource},
		{"a resource of Gatekeeper with an unknown word", "gatekeeper", `{"resources": ["uri=/a|role=b"]}`, importer.ErrSource},
		{"a claim that no expression is for", "gatekeeper", `{"resources": [], "match-claims": {"a": "("}}`, importer.ErrSource},
		{"a flag of Gatekeeper that is neither", "gatekeeper", `{"resources": [], "enable-uma": "perhaps"}`, importer.ErrSource},
		{"no policy of Istio", "istio", `{"kind": "Service"}`, importer.ErrSource},
		{"a policy for a Gateway", "istio", istioPolicies(`{"targetRefs": [{"kind": "Gateway"}]}`), importer.ErrSource},
		{"policies for two workloads", "istio", istioPolicies(`{"selector": {"matchLabels": {"app": "a"}}}`, `{"selector": {"matchLabels": {"app": "b"}}}`), importer.ErrSource},
		{"an empty list of paths", "istio", istioPolicies(`{"rules": [{"to": [{"operation": {"paths": []}}]}]}`), importer.ErrSource},
		{"an action that Istio does not have", "istio", istioPolicies(`{"action": "BLOCK"}`), importer.ErrSource},
		{"a member of a rule that is unknown", "istio", istioPolicies(`{"rules": [{"form": [{}]}]}`), importer.ErrSource},
		{"not JSON", "gluu", `{`, importer.ErrSource},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), tt.kind+".json")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			draft, err := read(path)
			if err == nil {
				err = draft.Finish()
			}
			require.ErrorIs(t, err, tt.want)
		})
	}
}

// TestNothingMadeLax: what cannot be written exactly is not made laxer.
func TestNothingMadeLax(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, kind, text, lax string
	}{
		{
			"a regular expression takes nothing from a stricter condition", "gluu",
			`{"uma_scope_expression": [{"path": "/a/{\\d+}", "conditions": [{"httpMethods": ["GET"], "scopes": ["weak"]}]},
				{"path": "/a/??", "conditions": [{"httpMethods": ["GET"], "scopes": ["strong"]}]}]}`, `"weak"]}`,
		},
		{
			"a query that is cut off does not open the path", "openapi",
			`{"openapi": "3.0.0", "info": {"title": "a", "version": "1"}, "paths": {"/a?x=1": {"get": {"security": [], "responses": {"200": {"description": ""}}}},
				"/b": {"get": {"responses": {"200": {"description": ""}}}}}}`, "public: true}",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), tt.kind+".json")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			draft, err := read(path)
			require.NoError(t, err)
			require.NoError(t, draft.Finish())
			out := check(t, draft)
			_, conditions, _ := strings.Cut(out, "resources:")
			require.NotContains(t, conditions, tt.lax, out)
			require.Regexp(t, "is left out|needs what all of them ask for", out)
		})
	}
}

// TestManyPaths: a large source is read in notes that grow with
// it, and not with its square.
func TestManyPaths(t *testing.T) {
	t.Parallel()
	var entries []string
	const n = 500
	for i := range n {
		entries = append(entries, fmt.Sprintf(`{"name":"n%d","path":"/a%d/*{x}/b*","scopes":["s%d"]},{"name":"m","path":"/m","methods":[{"method":"GET","scopes":["s%d"]}]}`, i, i%7, i, i))
	}
	text := `{"realm":"r","auth-server-url":"https://as.example.com","resource":"c","policy-enforcer":{"paths":[` + strings.Join(entries, ",") + `]}}`
	draft, err := importer.KeycloakEnforcer("keycloak.json", []byte(text), importer.Settings{})
	require.NoError(t, err)
	if err := draft.Finish(); err != nil {
		require.ErrorIs(t, err, importer.ErrNothing)
	}
	length := 0
	for _, note := range draft.Notes {
		length += len(note.Text)
	}
	require.Less(t, length, 4*n*1000)
}

func fuzz(f *testing.F, kind string) {
	f.Helper()
	seeds, err := filepath.Glob("testdata/" + kind + "-*.*")
	require.NoError(f, err)
	for _, s := range seeds {
		if !strings.HasSuffix(s, ".golden") {
			data, err := os.ReadFile(s)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), kind+".json")
		if kind == "quarkus" || kind == "spring" {
			path = filepath.Join(t.TempDir(), kind) // by what is in it
		}
		require.NoError(t, os.WriteFile(path, data, 0o600))
		draft, err := read(path)
		if err == nil {
			err = draft.Finish()
		}
		if err != nil {
			require.True(t, errors.Is(err, importer.ErrSource) || errors.Is(err, importer.ErrNothing), fmt.Sprint(err))
			return
		}
		check(t, draft)
	})
}

func FuzzOpenAPI(f *testing.F)               { fuzz(f, "openapi") }
func FuzzKeycloak(f *testing.F)              { fuzz(f, "keycloak") }
func FuzzAPISIX(f *testing.F)                { fuzz(f, "apisix") }
func FuzzKeycloakAuthorization(f *testing.F) { fuzz(f, "authorization") }
func FuzzPingGateway(f *testing.F)           { fuzz(f, "pinggateway") }
func FuzzQuarkus(f *testing.F)               { fuzz(f, "quarkus") }
func FuzzSpring(f *testing.F)                { fuzz(f, "spring") }
func FuzzGatekeeper(f *testing.F)            { fuzz(f, "gatekeeper") }
func FuzzIstio(f *testing.F)                 { fuzz(f, "istio") }
func FuzzGluu(f *testing.F)                  { fuzz(f, "gluu") }
