package importer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
)

// apisixRoute is a route, with the scope that it asks for; empty for none.
type apisixRoute struct {
	uri     string
	methods []string
	scope   string
}

// asked gives the route that APISIX takes: one that has the very path, or the longest
// beginning of it, of those that have the method.
func asked(routes []apisixRoute, method, path string) (scope string, found bool) {
	longest := -1
	for _, r := range routes {
		if len(r.methods) > 0 && !slices.Contains(r.methods, method) {
			continue
		}
		prefix, open := strings.CutSuffix(r.uri, "*")
		switch {
		case !open && path == r.uri:
			return r.scope, true
		case open && strings.HasPrefix(path, prefix) && len(prefix) > longest:
			longest, scope, found = len(prefix), r.scope, true
		}
	}
	return scope, found
}

// TestAPISIXModel: of random routes, no request passes without the scope that its route
// asks for.
func TestAPISIXModel(t *testing.T) {
	t.Parallel()
	requests, narrowed, passed := 0, 0, 0
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 5))
		var routes []apisixRoute
		var list []any
		var scopes []string
		taken := map[string]bool{}
		for i := range 2 + r.IntN(5) {
			uri := ""
			for range 1 + r.IntN(3) {
				uri += "/" + []string{"a", "b", "ab", ""}[r.IntN(4)]
			}
			uri = strings.ReplaceAll(uri, "//", "/")
			uri += []string{"", "*", "/*"}[r.IntN(3)]
			if uri = strings.ReplaceAll(uri, "//", "/"); taken[uri] {
				continue
			}
			taken[uri] = true
			route := apisixRoute{uri: uri, methods: [][]string{nil, {"GET"}, {"GET", "PUT"}, {"HEAD"}}[r.IntN(4)]}
			one := map[string]any{"uri": uri, "methods": route.methods}
			if route.methods == nil {
				delete(one, "methods")
			}
			if i == 0 || r.IntN(4) > 0 {
				route.scope = fmt.Sprintf("s%d", i)
				scopes = append(scopes, route.scope)
				one["plugins"] = map[string]any{"authz-keycloak": map[string]any{
					"discovery": "https://as.example.com/realms/r/.well-known/uma2-configuration", "client_id": "c", "permissions": []string{"r#" + route.scope},
				}}
			}
			routes, list = append(routes, route), append(list, one)
		}
		text, err := json.Marshal(map[string]any{"routes": list})
		require.NoError(t, err)
		draft, err := importer.APISIX("apisix.json", text, importer.Settings{})
		require.NoError(t, err, "%s", text)
		require.NoError(t, draft.Finish())
		served := serve(t, draft)
		for range 80 {
			path := ""
			for range 1 + r.IntN(4) {
				path += "/" + []string{"a", "b", "ab", "abc", "c"}[r.IntN(5)]
			}
			path += []string{"", "", "/"}[r.IntN(3)]
			method := []string{"GET", "PUT", "HEAD", "POST"}[r.IntN(4)]
			want, found := asked(routes, method, path)
			requests++
			anonymous := served.decide(t, method+" "+path, "")
			if !found {
				// The filter takes a path with a slash at the end for one without, and the other way
				// round, where nothing else is said of it.
				turned := path + "/"
				if cut, ok := strings.CutSuffix(path, "/"); ok {
					turned = cut
				}
				if scope, ok := asked(routes, method, turned); ok && scope == "" {
					continue
				}
			}
			if !found || want != "" {
				require.Equal(t, "denied", anonymous, "seed %d: %s %s\n%s", seed, method, path, text)
			} else if anonymous == "denied" {
				narrowed++
			}
			others := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == want })
			if want != "" && len(others) > 0 {
				require.Equal(t, "denied", served.decide(t, method+" "+path, strings.Join(others, " ")), "seed %d: %s %s passes without %s\n%s", seed, method, path, want, text)
			}
			if want != "" {
				if served.decide(t, method+" "+path, want) == "denied" {
					narrowed++
				} else {
					passed++
				}
			}
		}
	}
	require.Less(t, narrowed*3, requests, "too much is narrowed")
	t.Logf("%d requests, %d pass with their scope, %d narrowed", requests, passed, narrowed)
}
