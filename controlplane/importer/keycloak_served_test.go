package importer_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
	"github.com/umagate/umagate/controlplane/importer"
)

// exported writes the resources of a server as Keycloak exports them.
func exported(t *testing.T, resources []enforcertest.Resource) string {
	t.Helper()
	var list []any
	for _, r := range resources {
		var scopes []any
		for _, s := range r.Scopes {
			scopes = append(scopes, map[string]string{"name": s})
		}
		list = append(list, map[string]any{"name": r.Name, "uris": r.URIs, "scopes": scopes})
	}
	text, err := json.Marshal(map[string]any{"resources": list, "policies": []any{}})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "settings.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// TestKeycloakServedOpensNothing: of random configurations whose enforcer asks a server,
// nothing passes that it does not let pass, whatever the order of the server's
// resources; and of what it lets pass, most does.
func TestKeycloakServedOpensNothing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(21, 22))
	requests, allowed, kept := 0, 0, 0
	for range 150 {
		c := enforcertest.SomeServed(r)
		text, err := json.Marshal(c.Config)
		require.NoError(t, err)
		if c.Lazy {
			text = append([]byte(`{"lazy-load-paths":true,`), text[1:]...)
		}
		export := exported(t, c.Resources)
		draft, err := importer.KeycloakEnforcer("keycloak.json", text, importer.Settings{Authorization: export})
		policy, printed := policyOfDraft(t, text, draft, err)
		if policy == nil {
			continue
		}
		known := c.PathsOf()
		for _, of := range c.Resources {
			known = append(known, of.URIs...)
		}
		if len(known) == 0 {
			continue
		}
		for range 20 {
			path := enforcertest.SomeTarget(r, known, false)
			if strings.ContainsAny(path, " {}") {
				continue
			}
			for _, req := range enforcertest.SomeRequests(r, path) {
				requests++
				here := enforcertest.Passes(policy, req)
				always := true
				for range 4 {
					r.Shuffle(len(c.Resources), func(i, k int) { c.Resources[i], c.Resources[k] = c.Resources[k], c.Resources[i] })
					for i := range c.Resources {
						slices.Reverse(c.Resources[i].URIs)
					}
					source := c.Allows(req)
					require.False(t, here && !source, "%s passes here\n%s\n%v\n%s", req, text, c.Resources, printed)
					always = always && source
				}
				if always {
					allowed++
				}
				if always && here {
					kept++
				}
			}
		}
	}
	t.Logf("%d requests; the enforcer lets %d pass, and %d of them pass here", requests, allowed, kept)
	require.Greater(t, 100*kept, 50*allowed, "it is right and of no use")
}

// TestKeycloakSettingsRequests: what passes with Keycloak's settings beside the file.
func TestKeycloakSettingsRequests(t *testing.T) {
	t.Parallel()
	type check struct {
		method, path string
		token        []enforcertest.Permission
		passes       bool
	}
	tests := []struct {
		file   string
		checks []check
	}{
		{"authorization-photoz.json", []check{
			{"GET", "/album/2", has("Album", "album:view"), true},
			{"GET", "/album/1", has("Album", "album:view"), false},
			{"GET", "/album/1", has("Front page album", "album:view"), true},
			{"GET", "/admin/x", has("Administration", "admin:manage"), true},
			{"GET", "/admin/audit", has("Administration", "admin:manage"), false},
			{"GET", "/admin/audit", has("Audit", "admin:audit"), true},
			{"GET", "/x", has("Only a name", "x"), false},
		}},
		{"keycloak-with-settings.json", []check{
			{"GET", "/health", nil, true},
			{"GET", "/album/2", has("Album", "album:view"), true},
			{"DELETE", "/album/2", has("Album", "album:view"), false},
			{"GET", "/album/1", has("Album", "album:view"), false},
			{"GET", "/album/1", has("Front page album", "album:view"), true},
			{"GET", "/admin/x", has("Administration", "admin:manage"), true}, // no policy reads claims
			{"GET", "/admin/audit", has("Administration", "admin:manage"), false},
			{"GET", "/admin/audit", has("Audit", "admin:audit"), true},
			{"GET", "/elsewhere", has("Album", "album:view"), false},
		}},
		{"keycloak-with-settings-only.json", []check{
			{"GET", "/album/2", has("Album", "album:view"), true},
			{"GET", "/album/2", nil, false},
		}},
		{"quarkus-shop.properties", []check{
			{"GET", "/q/health", nil, true},
			{"GET", "/old", nil, false}, // newer versions do not read it
			{"GET", "/orders/1", has("Orders", "order:list"), true},
			{"POST", "/orders/1", has("Orders", "order:list"), false},
			{"POST", "/orders/1", has("Orders", "order:create"), true},
			{"GET", "/elsewhere", has("Orders", "order:view"), false},
		}},
		{"quarkus-guarded.yaml", []check{
			{"GET", "/open", nil, false}, // all paths want a token besides
			{"GET", "/orders", has("Orders", "view"), true},
			{"PUT", "/orders", has("Orders", "PUT"), true},
			{"PUT", "/orders", has("Orders", "view"), false},
			{"GET", "/elsewhere", has(), false},
		}},
		{"spring-cars.properties", []check{
			{"POST", "/shop/cars/create", has("Car Resource", "car:create"), true},
			{"POST", "/cars/create", has("Car Resource", "car:create"), false},
			{"GET", "/shop/cars/1", has("/cars/(id)", "car:view"), true},
			{"GET", "/shop/cars/1", has(), false},
			{"GET", "/shop/elsewhere", has(), false}, // it would be so outside of /shop, too
			{"GET", "/shop/elsewhere", nil, false},
		}},
		{"spring-cars.yaml", []check{
			{"GET", "/open/a", nil, false},
			{"GET", "/cars/1", has("Cars", "car:view"), true},
			{"GET", "/cars/1", nil, false},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			draft, err := read("testdata/" + tt.file)
			policy, printed := policyOfDraft(t, nil, draft, err)
			require.NotNil(t, policy)
			for _, c := range tt.checks {
				req := enforcertest.Request{Method: c.method, Path: c.path, Permissions: c.token}
				if got := enforcertest.Passes(policy, req); got != c.passes {
					t.Errorf("%s: %v\n%s", req, got, printed)
				}
			}
		})
	}
}
