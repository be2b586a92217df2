package importer_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
)

// TestKeycloakIDs: an export without ids, as of Keycloak 26, and the list that has them.
func TestKeycloakIDs(t *testing.T) {
	t.Parallel()
	const export = `{"policies":[],"resources":[{"name":"A","uris":["/a"],"scopes":[{"name":"s"}]},{"name":"B","uris":["/b"],"scopes":[{"name":"s"}]}]}`
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	settings := write("settings.json", export)
	for _, tt := range []struct {
		name, list string
		a, b       string
		told       string
	}{
		{"none", "", "", "", `the export has no id of "A", "B"`},
		{"both", `[{"name":"A","_id":"1"},{"name":"B","_id":"2"},{"name":"C","_id":"3"}]`, "1", "2", "by their id"},
		{"one is of two owners", `[{"name":"A","_id":"1"},{"name":"B","_id":"2"},{"name":"B","_id":"3"}]`, "1", "", `the export has no id of "B"`},
		{"one is not there", `[{"name":"B","_id":"2"}]`, "", "2", `the export has no id of "A"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var with importer.Settings
			if tt.list != "" {
				with.ResourceIDs = write("resources.json", tt.list)
			}
			alone, err := importer.KeycloakAuthorization("settings.json", []byte(export), with)
			require.NoError(t, err)
			with.Authorization = settings
			beside, err := importer.KeycloakEnforcer("keycloak.json", []byte(`{"realm":"r","resource":"api"}`), with)
			require.NoError(t, err)
			for _, draft := range []*importer.Draft{alone, beside} {
				require.NoError(t, draft.Finish())
				ids := map[string]string{}
				for _, r := range draft.Resources {
					ids[r.Name] = r.ID
				}
				require.Equal(t, map[string]string{"A": tt.a, "B": tt.b, "denied": ""}, ids) // /a/ and /b/, which Keycloak refuses
				require.Contains(t, check(t, draft), tt.told)
			}
		})
	}
	for name, list := range map[string]string{"an object": `{"name":"A"}`, "a list of texts": `["A"]`, "no JSON": `[`, "two ids": `[{"name":"A","_id":"1","_id":"2"}]`} {
		_, err := importer.KeycloakAuthorization("settings.json", []byte(export), importer.Settings{ResourceIDs: write("resources.json", list)})
		require.ErrorIs(t, err, importer.ErrSource, name)
		require.ErrorContains(t, err, "resources.json", name)
	}
}

// TestKeycloakLazy: what the enforcer would find at Keycloak is named, where it is not here.
func TestKeycloakLazy(t *testing.T) {
	t.Parallel()
	settings := filepath.Join(t.TempDir(), "settings.json")
	require.NoError(t, os.WriteFile(settings, []byte(`{"policies":[],"resources":[
		{"_id":"1","name":"A","uris":["/a"],"scopes":[{"name":"s"}]},{"_id":"2","name":"B","uris":["/b/*"],"scopes":[{"name":"s"}]}]}`), 0o600))
	draft, err := importer.KeycloakEnforcer("keycloak.json", []byte(`{"realm":"r","resource":"api","lazy-load-paths":true,"paths":[{"path":"/a","scopes":["s"]}]}`),
		importer.Settings{Authorization: settings})
	require.NoError(t, err)
	require.NoError(t, draft.Finish())
	told := check(t, draft)
	require.Contains(t, told, `"/b/*" of "B" is in no path of the file`)
	require.NotContains(t, told, `"/a" of "A"`)
}
