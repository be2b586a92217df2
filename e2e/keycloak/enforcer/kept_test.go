package enforcer_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/enforcer"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/plugin/decision"
)

// keptResource is one that a client has at Keycloak.
type keptResource struct {
	Name   string              `json:"name"`
	URIs   []string            `json:"uris"`
	Scopes []map[string]string `json:"scopes"`
}

// keptClient makes a client that has these resources.
func keptClient(t *testing.T, server *keycloak.Server, id string, resources []keptResource) {
	t.Helper()
	require.NoError(t, server.Admin(t.Context(), http.MethodPost, "/clients", map[string]any{
		"clientId": id, "secret": "secret", "serviceAccountsEnabled": true, "authorizationServicesEnabled": true, "publicClient": false,
	}, nil))
	var found []struct {
		ID string `json:"id"`
	}
	require.NoError(t, server.Admin(t.Context(), http.MethodGet, "/clients?clientId="+id, nil, &found))
	scopes := []map[string]string{}
	for _, r := range resources {
		for _, s := range r.Scopes {
			if !slices.ContainsFunc(scopes, func(have map[string]string) bool { return have["name"] == s["name"] }) {
				scopes = append(scopes, s)
			}
		}
	}
	require.NoError(t, server.Admin(t.Context(), http.MethodPost, "/clients/"+found[0].ID+"/authz/resource-server/import", map[string]any{
		"policyEnforcementMode": "ENFORCING", "decisionStrategy": "UNANIMOUS", "allowRemoteResourceManagement": true,
		"resources": resources, "scopes": scopes, "policies": []any{},
	}, nil))
}

// kept reads what Keycloak has, as "umagate plan" does.
func kept(ctx context.Context, t *testing.T, s *site.Site) *registration.Kept {
	t.Helper()
	db, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "umagate.db"), secret.New("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	operation, err := registration.Open(ctx, registration.OperationOptions{Site: s, Store: db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer operation.Close()
	now, _, err := operation.Kept(ctx)
	require.NoError(t, err)
	return now
}

// TestKept: of resources that a real Keycloak keeps, nothing passes that Keycloak's own
// enforcer does not let pass, which loads them from there; and of what it lets pass, most
// does.
func TestKept(t *testing.T) {
	p := start(t)
	server := keycloaktest.Start(t)
	r := rand.New(rand.NewPCG(31, 32))
	compared, passed, same := 0, 0, 0
	for n := range 25 {
		methods := n%3 == 1
		var resources []keptResource
		for _, name := range append(enforcertest.Resources(), "Default Resource") {
			one := keptResource{Name: name, Scopes: []map[string]string{}}
			for range 1 + r.IntN(2) {
				if uri := enforcertest.SomePath(r, n%5 == 4); !slices.Contains(one.URIs, uri) {
					one.URIs = append(one.URIs, uri)
				}
			}
			for _, s := range [][]string{nil, {"s1"}, {"s1", "s2"}, {"GET", "POST"}}[r.IntN(4)] {
				one.Scopes = append(one.Scopes, map[string]string{"name": s})
			}
			resources = append(resources, one)
		}
		client := fmt.Sprintf("kept-%d", n)
		keptClient(t, server, client, resources)
		file, err := site.Parse("umagate.yaml", fmt.Appendf(nil, `
sites:
- name: api
  hosts: [api.example.com]
  authorization_server: {issuer: %q, client: {id: %s, secret: secret}}
  resources_at_as: {http_method_as_scope: %v}
`, server.Issuer(), client, methods), site.Environment{})
		require.NoError(t, err)
		now := kept(t.Context(), t, &file.Sites[0])
		compiled, err := site.Compile(file, map[string]site.Facts{"api": {
			URI: server.Issuer(), Introspection: server.Issuer() + "/i", Permission: server.Issuer() + "/p", Kept: &now.Kept,
		}})
		require.NoError(t, err)
		policy, err := decision.Compile(&compiled)
		require.NoError(t, err)

		var uris []string
		for _, one := range resources {
			uris = append(uris, one.URIs...)
		}
		var requests []enforcer.Request
		for range 15 {
			path := enforcertest.SomeTarget(r, uris, n%5 == 4)
			if strings.ContainsAny(path, " {}") {
				continue
			}
			method := enforcertest.Methods()[r.IntN(len(enforcertest.Methods()))]
			requests = append(requests, enforcer.Request{Method: method, Path: path}, enforcer.Request{Method: method, Path: path, Permissions: []enforcer.Permission{}})
			for _, has := range now.Reading.Resources {
				some := has.Scopes[:r.IntN(len(has.Scopes)+1)]
				if len(has.Scopes) > 0 && len(some) == 0 {
					some = has.Scopes[:1]
				}
				for _, scopes := range [][]string{has.Scopes, some} {
					requests = append(requests, enforcer.Request{Method: method, Path: path, Permissions: []enforcer.Permission{{ResourceID: has.ID, Scopes: append([]string{}, scopes...)}}})
				}
			}
		}
		answers, err := p.Enforce(map[string]any{
			"auth-server-url": server.URL(), "realm": keycloak.Realm, "resource": client, "credentials": map[string]string{"secret": "secret"},
			"http-method-as-scope": methods, "user-managed-access": map[string]any{},
		}, requests)
		require.NoError(t, err)
		for i, req := range requests {
			here := decide(policy, req)
			require.False(t, here && answers[i] != 1, "%+v passes here\n%+v\n%+v", req, resources, now.Resources)
			compared++
			if answers[i] == 1 {
				passed++
			}
			if here {
				same++
			}
		}
	}
	t.Logf("%d requests; the enforcer lets %d pass, and %d of them pass here", compared, passed, same)
	require.Greater(t, 2*same, passed, "it is right and of no use")
}

// decide reports that the filter lets a request pass.
func decide(policy *decision.Policy, req enforcer.Request) bool {
	asked := enforcertest.Request{Method: req.Method, Path: req.Path}
	if req.Permissions != nil {
		asked.Permissions = []enforcertest.Permission{}
	}
	for _, has := range req.Permissions {
		asked.Permissions = append(asked.Permissions, enforcertest.Permission{Resource: has.ResourceID, Scopes: has.Scopes})
	}
	return enforcertest.Passes(policy, asked)
}
