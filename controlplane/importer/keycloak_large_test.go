package importer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
)

// TestKeycloakLarge: a file of two hundred paths, of which four guard an ending
// wherever it is, can be compared, and opens nothing.
func TestKeycloakLarge(t *testing.T) {
	t.Parallel()
	c := enforcertest.Config{Realm: "r", Client: "api", Server: "https://as.example.com"}
	for _, ending := range []string{"pdf", "xml", "csv", "json"} {
		c.Paths = append(c.Paths, enforcertest.Path{Name: "r1", Path: "/reports/*." + ending, Scopes: []string{"s1"}})
	}
	for i := 0; len(c.Paths) < 199; i++ {
		for _, shape := range []string{"/api/a%d", "/api/a%d/{id}", "/api/a%d/{id}/b/*", "/api/v%d*", "/a%d/*", "/api/a%d/{id}/c/{x}"} {
			p := enforcertest.Path{Name: "r2", Path: fmt.Sprintf(shape, i), Methods: []enforcertest.Method{{Method: "GET", Scopes: []string{"s2"}}}}
			if shape == "/a%d/*" {
				p.Mode, p.Methods = "DISABLED", nil
			}
			c.Paths = append(c.Paths, p)
		}
	}
	c.Paths = append(c.Paths, enforcertest.Path{Name: "r3", Path: "/*", Mode: "DISABLED"})
	text, err := json.Marshal(c)
	require.NoError(t, err)
	policy, _ := policyOf(t, text)
	require.NotNil(t, policy, "it is refused")
	r := rand.New(rand.NewPCG(9, 10))
	allowed, kept := 0, 0
	for range 500 {
		path := enforcertest.SomeTarget(r, c.PathsOf(), false)
		if r.IntN(4) == 0 {
			path += ".pdf"
		}
		for _, req := range enforcertest.SomeRequests(r, path) {
			source, here := c.Allows(req), enforcertest.Passes(policy, req)
			require.False(t, here && !source, "%s passes here", req)
			if source {
				allowed++
			}
			if here {
				kept++
			}
		}
	}
	require.Greater(t, 4*kept, allowed, "it is right and of no use")
}
