package importer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
)

// TestPingGatewayModel: of random services, no request passes without the scopes that the
// gateway asks for, whichever of the patterns that match it takes.
func TestPingGatewayModel(t *testing.T) {
	t.Parallel()
	type resource struct {
		expression *regexp.Regexp
		scopes     map[string]string // by method
	}
	requests, passed, matched := 0, 0, 0
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 6))
		var resources []resource
		var list []any
		var scopes []string
		taken := map[string]bool{}
		for i := range 1 + r.IntN(4) {
			pattern := ""
			for range 1 + r.IntN(3) {
				pattern += "/" + []string{"a", "b", "a", "[ab]", "a?", "(a|b)", `a\.b`}[r.IntN(7)]
			}
			pattern += []string{"", ".*", "/.*"}[r.IntN(3)]
			if taken[pattern] {
				continue
			}
			taken[pattern] = true
			of := resource{expression: regexp.MustCompile("^(?:" + pattern + ")$"), scopes: map[string]string{}}
			var actions []any
			for _, method := range []string{"GET", "PUT", "HEAD"} {
				if r.IntN(2) == 0 {
					scope := fmt.Sprintf("s%d%s", i, method)
					of.scopes[method], scopes = scope, append(scopes, scope)
					actions = append(actions, map[string]any{"scopes": []string{scope}, "condition": "${request.method == '" + method + "'}"})
				}
			}
			resources, list = append(resources, of), append(list, map[string]any{"pattern": pattern, "actions": actions})
		}
		text, err := json.Marshal(map[string]any{"type": "UmaService", "config": map[string]any{"resources": list}})
		require.NoError(t, err)
		draft, err := importer.PingGateway("route.json", text, importer.Settings{})
		require.NoError(t, err, "%s", text)
		require.NoError(t, draft.Finish())
		served := serve(t, draft)
		for range 60 {
			path := ""
			for range 1 + r.IntN(4) {
				path += "/" + []string{"a", "b", "ab", "a.b", "aab"}[r.IntN(5)]
			}
			method := []string{"GET", "PUT", "HEAD", "POST"}[r.IntN(4)]
			requests++
			require.Equal(t, "denied", served.decide(t, method+" "+path, ""), "seed %d: %s %s\n%s", seed, method, path, text)
			all, complete := []string{}, true
			for _, of := range resources {
				if !of.expression.MatchString(path) {
					continue
				}
				scope := of.scopes[method]
				if complete = complete && scope != ""; scope == "" {
					continue
				}
				all = append(all, scope)
				others := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == scope })
				if len(others) > 0 {
					require.Equal(t, "denied", served.decide(t, method+" "+path, strings.Join(others, " ")), "seed %d: %s %s passes without %s\n%s", seed, method, path, scope, text)
				}
			}
			if len(all) == 1 && complete {
				matched++
				if served.decide(t, method+" "+path, all[0]) == "allowed" {
					passed++
				}
			}
		}
	}
	t.Logf("%d requests, %d of one pattern, of which %d pass", requests, matched, passed)
	require.Greater(t, 3*passed, matched, "it is right and of no use")
}
