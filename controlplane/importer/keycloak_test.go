package importer_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
	"github.com/umagate/umagate/controlplane/importer"
)

// has makes a token's permissions: resource, scope, and so on.
func has(pairs ...string) []enforcertest.Permission {
	out := []enforcertest.Permission{}
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, enforcertest.Permission{Resource: pairs[i], Scopes: []string{pairs[i+1]}})
	}
	return out
}

// TestKeycloakRequests: what passes by the imported files, request by request.
func TestKeycloakRequests(t *testing.T) {
	t.Parallel()
	type check struct {
		method, path string
		token        []enforcertest.Permission // nil for none
		passes       bool
	}
	tests := []struct {
		name, file string
		checks     []check
	}{
		{"an ending counts wherever a path ends so", "keycloak-suffix.json", []check{
			{"GET", "/reports/a.pdf", nil, false},
			{"GET", "/reports/a.pdf", has("/reports/*.pdf", "view"), true},
			{"GET", "/elsewhere/b.pdf", nil, false},
			{"GET", "/a/b/c/d/e/f/g.pdf", nil, false},
			{"GET", "/reports/a.html", nil, true},
			{"GET", "/", nil, true},
		}},
		{"an ending is stricter than what is around it", "keycloak-suffix-below.json", []check{
			{"GET", "/reports/a", has("/reports/*", "view"), true},
			{"GET", "/reports/a.pdf", has("/reports/*", "view"), false},
			{"GET", "/reports/a/b.pdf", has("/reports/*", "view"), false},
			{"GET", "/reports/a.pdf", has("/reports/*.pdf", "admin"), true},
		}},
		{"a blank is an encoded one", "keycloak-space.json", []check{
			{"GET", "/api/admin%20area", nil, false},
			{"GET", "/api/admin%20area", has("/api/admin area", "view"), true},
			{"GET", "/api/other", nil, true},
		}},
		{"a whole URL means its path", "keycloak-absolute.json", []check{
			{"GET", "/admin", nil, false},
			{"GET", "/admin", has("https://api.test/admin", "admin"), true},
			{"GET", "/other", nil, true},
		}},
		{"a beginning beside a parameter", "keycloak-prefix.json", []check{
			{"GET", "/files/secret-1", nil, false},
			{"GET", "/files/secret-1", has("/files/secret-*", "admin"), true},
			{"GET", "/files/1", nil, true},
		}},
		{"two stars match nothing at Keycloak", "keycloak-two-stars.json", []check{
			{"GET", "/docs/a", nil, false},
			{"GET", "/docs/a", has("/*", "view"), true},
		}},
		{"all disabled: the server has the rest", "keycloak-all-disabled.json", []check{
			{"GET", "/a", nil, false},
			{"GET", "/a/b", nil, false},
			{"GET", "/q/a", nil, false},
		}},
		{"the first of two that are as long wins", "keycloak-order.json", []check{
			{"GET", "/orders/1", nil, false},
			{"GET", "/orders/1", has("/orders/(id)/*", "view"), true},
			{"GET", "/orders/1/a", nil, false},
		}},
		{"permissive wants an authenticated caller, and api* is a beginning", "keycloak-permissive.json", []check{
			{"GET", "/api/users", nil, false},
			{"GET", "/api/users", has(), false},
			{"GET", "/api/users", has("/api*", "view"), true},
			{"GET", "/apis", has(), false},
			{"GET", "/apis/a/b", has("/api*", "view"), true},
			{"GET", "/other", nil, false},
			{"GET", "/other", has(), true},
		}},
		{"one of a path's scopes is enough", "keycloak-any-scope.json", []check{
			{"GET", "/a", has("/a", "read"), true},
			{"GET", "/a", has("/a", "write"), true},
			{"GET", "/a", has("/a", "other"), false},
			{"GET", "/a", nil, false},
		}},
		{"a path that is there twice", "keycloak-twice.json", []check{
			{"GET", "/a", has("/a", "view"), true},
			{"GET", "/a", has("/a", "view2"), false},
			{"GET", "/a", nil, false},
		}},
		{"a flag as text", "keycloak-text-flag.json", []check{
			{"GET", "/a", has("/a", "GET"), true},
			{"PUT", "/a", has("/a", "GET"), false},
		}},
		{"an issuer that is set elsewhere", "keycloak-placeholder.json", []check{
			{"GET", "/a", has("/a", "view"), true},
			{"GET", "/a", nil, false},
		}},
		{"an authorization export", "keycloak-export.json", []check{
			{"GET", "/a", has("A", "view"), true},
			{"DELETE", "/a/b", has("A", "view"), true},
			{"GET", "/a/b", nil, false},
			{"GET", "/b", has("A", "view"), false},
		}},
		{"an export has no order: each may be the last of three", "keycloak-export-order.json", []check{
			{"GET", "/*/a", has("B", "view"), false},
			{"GET", "/*/a", has("A", "view"), false},
			{"GET", "/x", has("A", "view"), true},
		}},
		{"an ending with a second one in it", "keycloak-export-endings.json", []check{
			{"GET", "/*.pdf/*.pdf", has("B", "view"), false},
			{"GET", "/api/b.pdf", has("B", "view"), true},
		}},
		{"disabled wants an authenticated caller", "keycloak-disabled.json", []check{
			{"GET", "/a", nil, false},
			{"GET", "/a", has(), true},
			{"GET", "/open/a", nil, false},
			{"GET", "/open/a", has(), true},
		}},
		{"a value of one character, behind which a slash counts as one", "keycloak-short-value.json", []check{
			{"GET", "/admin/b/", nil, false},
			{"GET", "/admin/b/", has("/admin/(id)*", "admin"), true},
			{"GET", "/admin/b", nil, false},
			{"GET", "/staff/b/", has("B", "staff"), false}, // it may be either
			{"GET", "/staff/b", has("A", "staff"), true},
		}},
		{"text around a parameter", "keycloak-partial.json", []check{
			{"GET", "/files/1", nil, true},
			{"GET", "/files/1:export", nil, false},
			{"GET", "/files/1:export", has("/files/(id):export", "admin"), true},
			{"GET", "/docs/(1)", nil, false},
			{"GET", "/docs/user-1", nil, false},
			{"GET", "/docs/user-1", has("/docs/user-(id)", "self"), true},
			{"GET", "/diff/a...b", nil, false},
			{"GET", "/data/1.json", nil, false},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("testdata/" + tt.file)
			require.NoError(t, err)
			policy, printed := policyOf(t, text)
			require.NotNil(t, policy)
			for _, c := range tt.checks {
				req := enforcertest.Request{Method: c.method, Path: c.path, Permissions: c.token}
				require.Equal(t, c.passes, enforcertest.Passes(policy, req), "%s\n%s", req, printed)
			}
		})
	}
}

// TestKeycloakTold: what the reader of a file is told of it.
func TestKeycloakTold(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, told string }{
		{"an issuer that is set elsewhere", `{"realm":"r","auth-server-url":"${KEYCLOAK_URL}","paths":[{"path":"/a","scopes":["s"]}]}`, "give its issuer with --issuer"},
		{"a client that is set elsewhere", `{"resource":"${CLIENT}","paths":[{"path":"/a","scopes":["s"]}]}`, "the client is named where the application runs"},
		{"a mark of the byte order", "\xEF\xBB\xBF" + `{"paths":[{"path":"/a","scopes":["s"]}]}`, `"/a"`},
		{"all disabled", `{"paths":[{"path":"/*","enforcement-mode":"DISABLED"}]}`, "Export the client's authorization settings"},
		{"all disabled, what to write", `{"paths":[{"path":"/*","enforcement-mode":"DISABLED"}]}`, "TODO: enforcement-mode is DISABLED: public: true, once"},
		{"lazily loaded", `{"lazy-load-paths":"true","paths":[{"path":"/a/*","scopes":["s"]}]}`, "another resource may be asked for"},
		{"permissive, and lazily loaded", `{"enforcement-mode":"PERMISSIVE","path-cache":{},"paths":[{"path":"/a/*","scopes":["s"]}]}`, "what no path names is denied after all"},
		{"taken for no request", `{"paths":[{"path":"/*","scopes":["s"]},{"path":"/docs/**","enforcement-mode":"DISABLED"}]}`, `Keycloak's matcher takes "/docs/**" for no request`},
		{"hidden by another", `{"paths":[{"path":"/a/{x}","enforcement-mode":"DISABLED"},{"path":"/a/{y}","scopes":["s"]}]}`, `is public at Keycloak; by /a/{x} it is s on "/a/{y}" here`},
		{"a method in lower case", `{"paths":[{"path":"/a","methods":[{"method":"put","scopes":["s"]}]}]}`, "Keycloak compares methods as they are written"},
		{"two methods", `{"paths":[{"path":"/a","methods":[{"method":"PUT","scopes":["s"]},{"method":"PUT","scopes":["t"]}]}]}`, "PUT is listed before: the first holds"},
		{"a client's export", `{"clientId":"api","authorizationSettings":{"resources":[{"name":"A","uris":["/a"],"scopes":[{"name":"view"}]}]}}`, `client: {id: "api"`},
		{"two resources of one URI", `{"policies":[],"resources":[{"name":"A","uris":["/a"],"scopes":[{"name":"s"}]},{"name":"B","uris":["/a","/b"],"scopes":[{"name":"s"}]}]}`, "it is denied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			draft, err := importer.KeycloakEnforcer("keycloak.json", []byte(tt.text), importer.Settings{})
			require.NoError(t, err)
			require.NoError(t, draft.Finish())
			require.Contains(t, check(t, draft), tt.told)
		})
	}
}

// TestKeycloakRefused: what cannot be known, or what Keycloak fails on.
func TestKeycloakRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, told string }{
		{"a path that is set elsewhere", `{"paths":[{"path":"${CONTEXT}/a","scopes":["s"]}]}`, "write its value"},
		{"a brace that is open", `{"paths":[{"path":"/a/{x","scopes":["s"]}]}`, "a brace too few or too many"},
		{"braces around a slash", `{"paths":[{"path":"/*","enforcement-mode":"DISABLED"},{"path":"/{x/}/a","scopes":["s"]}]}`, "a brace too few or too many"},
		{"no boolean", `{"http-method-as-scope":"perhaps","paths":[{"path":"/a"}]}`, "neither true nor false"},
		{"an export without URIs", `{"policies":[],"resources":[{"name":"A"}]}`, "no resource with a URI"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			draft, err := importer.KeycloakEnforcer("keycloak.json", []byte(tt.text), importer.Settings{})
			if err == nil {
				err = draft.Finish()
			}
			require.ErrorContains(t, err, tt.told)
		})
	}
}
