package site_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
)

// TestWarningsOfModes: what is said of a site's mode is what the filter does.
func TestWarningsOfModes(t *testing.T) {
	t.Parallel()
	condition := func(more string) string { return `    conditions: [{paths: ["/a"], ` + more + `}]` }
	const at, inner = "sites[0].mode", "sites[0].resources[0].conditions[0].mode"
	tests := []struct {
		name, settings, condition string
		want                      map[string]string // path: part of the problem
	}{
		{"monitor", "  mode: monitor", "scopes: [v]", map[string]string{at: "nothing is enforced at this site"}},
		{"monitor, in so many words", "  mode: monitor", "scopes: [v], mode: monitor", map[string]string{at: "nothing is enforced at this site", inner: "not enforced"}},
		{"public asks for nothing", "  mode: monitor", "public: true, mode: enforce", map[string]string{at: "nothing is enforced at this site"}},
		{"a condition is enforced", "  mode: monitor", "scopes: [v], mode: enforce", map[string]string{
			at: "as resources[0].conditions[0] is enforced, ambiguous paths, and paths and methods that no condition names are denied",
		}},
		{"a condition is enforced, unmatched paths pass", "  mode: monitor\n  unmatched: allow", "scopes: [v], mode: enforce", map[string]string{
			at: "as resources[0].conditions[0] is enforced, ambiguous paths and methods that no condition covers are denied", "sites[0].unmatched": "passes without",
		}},
		{"a condition is enforced, unmatched paths need a token", "  mode: monitor\n  unmatched: authenticated", "scopes: [v], mode: enforce", map[string]string{
			at: "ambiguous paths, methods that no condition covers and, without an active token, paths that none names are denied", "sites[0].unmatched": "any active token",
		}},
		{"off", `  mode: "off"`, "scopes: [v]", map[string]string{at: "nothing is enforced at this site"}},
		{"off for all conditions", `  mode: "off"`, "scopes: [v], mode: enforce", map[string]string{
			at: "nothing is enforced at this site, nor what resources[0].conditions[0] says", inner: "has no effect",
		}},
		{"enforce", "  mode: enforce", "scopes: [v], mode: enforce", nil},
		{"a condition that is off", "", `scopes: [v], mode: "off"`, map[string]string{inner: "not enforced"}},
		{"shaped locations", "  override_headers: keep", "scopes: [v]", map[string]string{"sites[0].override_headers": "X-Forwarded-Prefix"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := site.Parse("umagate.yaml", []byte(around("", tt.settings, condition(tt.condition))), environment(nil))
			require.NoError(t, err)
			require.Len(t, f.Warnings, len(tt.want), f.Warnings)
			for _, w := range f.Warnings {
				require.NotEmpty(t, tt.want[w.Path], w.Path)
				require.Contains(t, w.Problem, tt.want[w.Path])
				require.NotEmpty(t, w.Remedy)
				require.Positive(t, w.Line)
			}
		})
	}
}

// TestWarningOfShapedLocation: with headers that the API may build its URLs with, a
// client may say what it has made.
func TestWarningOfShapedLocation(t *testing.T) {
	t.Parallel()
	text := around("", "  override_headers: keep", "    on_create: register\n    conditions: [{paths: [\"/a/{id}\"], scopes: [v]}]")
	f, err := site.Parse("umagate.yaml", []byte(strings.Replace(text, "name: albums", "name: a-{id}", 1)), environment(nil))
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(f.Warnings, func(w site.Fault) bool {
		return w.Path == "sites[0].resources[0].on_create" && strings.Contains(w.Problem, "X-Forwarded-Prefix")
	}), f.Warnings)
}
