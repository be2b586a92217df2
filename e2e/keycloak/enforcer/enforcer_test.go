package enforcer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	model "github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
	"github.com/umagate/umagate/e2e/keycloak/enforcer"
)

// start runs the real policy enforcer, or leaves the test out where there is none.
func start(t *testing.T) *enforcer.Process {
	t.Helper()
	if os.Getenv("UMAGATE_WITHOUT_REAL") == "1" {
		t.Skip("UMAGATE_WITHOUT_REAL=1")
	}
	p, err := enforcer.Start(t.Context())
	if errors.Is(err, enforcer.ErrNotInstalled) && os.Getenv("UMAGATE_REQUIRE_REAL") != "1" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := p.Stop(); err != nil && t.Context().Err() == nil {
			t.Log(err)
		}
	})
	return p
}

// TestMatcher: the model of Keycloak's matcher takes what Keycloak's own takes.
func TestMatcher(t *testing.T) {
	p := start(t)
	r := rand.New(rand.NewPCG(1, 2))
	compared, taken := 0, 0
	for i := range 4000 {
		var paths, targets []string
		for range 1 + r.IntN(5) {
			if path := enforcertest.SomePath(r, i%2 == 1); !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
		for range 20 {
			targets = append(targets, enforcertest.SomeTarget(r, paths, i%2 == 1))
		}
		keycloak, err := p.Match(paths, targets)
		require.NoError(t, err)
		require.Len(t, keycloak, len(targets))
		for k, target := range targets {
			require.Equal(t, keycloak[k], model.Paths(paths).Choose(target), "%q of %q", target, paths)
			compared++
			if keycloak[k] >= 0 {
				taken++
			}
		}
	}
	require.Greater(t, taken, compared/4, "too few are taken to say anything")
	t.Logf("%d targets compared, of which %d are taken", compared, taken)
}

// startServer answers what the enforcer asks of Keycloak: each resource is there by
// its name, which is its id, and none by a URI.
func startServer(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	answer := func(w http.ResponseWriter, value any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(value); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /realms/r/.well-known/uma2-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{
			"issuer": server.URL + "/realms/r", "token_endpoint": server.URL + "/token", "resource_registration_endpoint": server.URL + "/resource_set",
			"permission_endpoint": server.URL + "/permission",
		})
	})
	part := func(claims map[string]any) string {
		text, err := json.Marshal(claims)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	token := part(map[string]any{"alg": "none"}) + "." + part(map[string]any{"exp": time.Now().Add(time.Hour).Unix()}) + "."
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	})
	mux.HandleFunc("GET /resource_set", func(w http.ResponseWriter, r *http.Request) {
		found := []map[string]any{}
		if name := r.URL.Query().Get("name"); name != "" {
			found = append(found, map[string]any{"_id": name, "name": name, "uris": []string{}})
		}
		answer(w, found)
	})
	return server.URL
}

// TestEnforcer: the whole enforcer lets pass what the model does: paths that are
// there twice, modes, methods, scopes.
func TestEnforcer(t *testing.T) {
	p := start(t)
	server := startServer(t)
	r := rand.New(rand.NewPCG(5, 6))
	compared, passed := 0, 0
	for i := range 300 {
		c := enforcertest.SomeConfig(r, i%2 == 1)
		c.Server = server
		var requests []enforcer.Request
		var wanted []bool
		for range 10 {
			path := enforcertest.SomeTarget(r, c.PathsOf(), i%2 == 1)
			for _, req := range enforcertest.SomeRequests(r, path) {
				asked := enforcer.Request{Method: req.Method, Path: req.Path}
				if req.Permissions != nil {
					asked.Permissions = []enforcer.Permission{}
				}
				for _, has := range req.Permissions {
					asked.Permissions = append(asked.Permissions, enforcer.Permission{ResourceID: has.Resource, Scopes: has.Scopes})
				}
				requests, wanted = append(requests, asked), append(wanted, c.Allows(req))
			}
		}
		answers, err := p.Enforce(asked(t, &c), requests)
		require.NoError(t, err)
		require.Len(t, answers, len(requests))
		for k := range requests {
			require.Equal(t, wanted[k], answers[k] == 1, "%+v of %+v", requests[k], c)
			compared++
			if wanted[k] {
				passed++
			}
		}
	}
	require.Greater(t, passed, compared/10, "too few pass to say anything")
	t.Logf("%d requests compared, of which %d pass", compared, passed)
}

// asked is the configuration with what the enforcer needs besides. With
// user-managed-access it asks nobody whether a token that lacks a permission may
// have it.
func asked(t *testing.T, c *enforcertest.Config) map[string]any {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	out := map[string]any{}
	require.NoError(t, json.Unmarshal(text, &out))
	out["credentials"], out["user-managed-access"] = map[string]string{"secret": "secret"}, map[string]any{}
	return out
}
