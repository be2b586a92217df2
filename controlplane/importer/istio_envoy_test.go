package importer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// istioPermission is what Istio configures Envoy's RBAC filter with for a path of a policy.
func istioPermission(path string) map[string]any {
	url := func(matcher map[string]any) map[string]any {
		return map[string]any{"url_path": map[string]any{"path": matcher}}
	}
	switch {
	case strings.Contains(path, "{"):
		template := strings.NewReplacer("{*}", "*", "{**}", "**").Replace(path)
		return map[string]any{"uri_template": map[string]any{
			"name": "uri-template",
			"typed_config": map[string]any{
				"@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template": template,
			},
		}}
	case path == "*":
		return url(map[string]any{"safe_regex": map[string]any{"regex": ".+"}})
	case strings.HasPrefix(path, "*"):
		return url(map[string]any{"suffix": path[1:]})
	case strings.HasSuffix(path, "*"):
		return url(map[string]any{"prefix": strings.TrimSuffix(path, "*")})
	}
	return url(map[string]any{"exact": path})
}

// istioEnvoy runs an Envoy whose RBAC filter allows, at host pN, what is a request for the
// Nth of the paths.
func istioEnvoy(t *testing.T, paths []string) (base string) {
	t.Helper()
	const rbac = "envoy.filters.http.rbac"
	var hosts []any
	for i, path := range paths {
		hosts = append(hosts, map[string]any{
			"name": fmt.Sprint(i), "domains": []string{fmt.Sprintf("p%d", i)},
			"routes": []any{map[string]any{"match": map[string]any{"prefix": "/"}, "direct_response": map[string]any{"status": 200}}},
			"typed_per_filter_config": map[string]any{rbac: map[string]any{
				"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
				"rbac": map[string]any{"rules": map[string]any{"action": "ALLOW", "policies": map[string]any{
					"path": map[string]any{"permissions": []any{istioPermission(path)}, "principals": []any{map[string]any{"any": true}}},
				}}},
			}},
		})
	}
	bootstrap, err := json.Marshal(map[string]any{"static_resources": map[string]any{"listeners": []any{map[string]any{
		"name": "api", "address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}},
		"filter_chains": []any{map[string]any{"filters": []any{map[string]any{
			"name": "envoy.filters.network.http_connection_manager",
			"typed_config": map[string]any{
				"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
				"stat_prefix": "api", "route_config": map[string]any{"virtual_hosts": hosts},
				"http_filters": []any{
					map[string]any{"name": rbac, "typed_config": map[string]any{"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"}},
					map[string]any{"name": "envoy.filters.http.router", "typed_config": map[string]any{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
				},
			},
		}}}},
	}}}})
	require.NoError(t, err)
	process := envoytest.Start(t, envoy.Options{Binary: envoytest.Binary(t), Bootstrap: bootstrap})
	return "http://" + envoytest.Address(t.Context(), t, process, "api")
}

// TestIstioPathsAtEnvoy: paths of policies mean what a real Envoy makes of what Istio
// configures for them: an ALLOW rule opens nothing that Envoy does not match, and a DENY
// rule denies whatever it matches. The model of Istio's own matching says the same.
func TestIstioPathsAtEnvoy(t *testing.T) {
	t.Parallel()
	envoytest.Binary(t)
	r := rand.New(rand.NewPCG(51, 52))
	segment := func(of ...string) string { return of[r.IntN(len(of))] }
	paths := []string{"/*", "*", "/{*}", "/{**}", "/a/{*}", "/a/{**}", "/{*}/a", "/{*}/{**}", "/a/{*}/b/{**}", "*/a", "*.c", "/a*", "/a/", "/"}
	for len(paths) < 120 {
		path := ""
		for range 1 + r.IntN(3) {
			path += "/" + segment("a", "b", "ab", "d.c", "{*}", "{*}")
		}
		if strings.Contains(path, "{") {
			path += segment("", "", "/{**}")
		} else {
			path = segment("", "", "*") + path + segment("", "*", "/*", "/", "/{*}", "/{**}")
		}
		if !strings.HasPrefix(path, "*") || !strings.ContainsAny(path[1:], "*{") {
			paths = append(paths, path)
		}
	}
	base := istioEnvoy(t, paths)
	compared, matched, allowed := 0, 0, 0
	for i, path := range paths {
		allow := importIstio(t, fmt.Sprintf(`{"rules": [{"to": [{"operation": {"paths": [%q]}}]}]}`, path))
		deny := importIstio(t, fmt.Sprintf(`{"action": "DENY", "rules": [{"to": [{"operation": {"paths": [%q]}}]}]}`, path))
		for range 40 {
			target := ""
			for range 1 + r.IntN(4) {
				target += "/" + segment("a", "b", "ab", "d.c", "x", "a~b", "a,b", "a:b", "a@b", "%7Ea", "")
			}
			target += segment("", "", "/")
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+target, http.NoBody)
			require.NoError(t, err)
			req.Host = fmt.Sprintf("p%d", i)
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Contains(t, []int{200, 403}, resp.StatusCode)
			matches := resp.StatusCode == 200
			require.Equal(t, matches, istioText(path, target), "the model: %q of %q", target, path)
			opens := allow.admit(t, "GET "+target, nil)
			require.False(t, opens && !matches, "ALLOW %q opens %q", path, target)
			require.False(t, matches && deny.admit(t, "GET "+target, nil), "DENY %q leaves %q open", path, target)
			compared++
			if matches {
				matched++
			}
			if opens {
				allowed++
			}
		}
	}
	t.Logf("%d requests; Envoy matches %d, of which %d are open here", compared, matched, allowed)
	require.Greater(t, 2*allowed, matched, "it is right and of no use")
}

// importIstio imports one policy.
func importIstio(t *testing.T, spec string) *imported {
	t.Helper()
	draft, err := importer.Istio("list.json", []byte(istioPolicies(spec)), importer.Settings{})
	require.NoError(t, err)
	require.NoError(t, draft.Finish())
	return serve(t, draft)
}
