package enforcer_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
)

// TestPossible: whatever the order of the paths, what is chosen is one of those that
// are said to be possible.
func TestPossible(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	several := 0
	for i := range 1000 {
		var paths enforcer.Paths
		for range 1 + r.IntN(8) {
			if path := enforcertest.SomePath(r, i%2 == 1); !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
		for range 10 {
			target := enforcertest.SomeTarget(r, paths, i%2 == 1)
			var possible []string
			for _, outcome := range paths.Possible(target) {
				possible = append(possible, name(paths, outcome))
			}
			if len(possible) > 1 {
				several++
			}
			for range 10 {
				turned := slices.Clone(paths)
				r.Shuffle(len(turned), func(i, k int) { turned[i], turned[k] = turned[k], turned[i] })
				require.Contains(t, possible, name(turned, turned.Choose(target)), "%q of %q", target, turned)
			}
		}
	}
	require.Greater(t, several, 100, "the order decides too seldom to say anything")
}

func name(paths enforcer.Paths, outcome int) string {
	switch outcome {
	case enforcer.None:
		return "none"
	case enforcer.Fault:
		return "a fault"
	}
	return "path " + paths[outcome]
}

// TestPossibleIsNoMore: what no order gives is not possible.
func TestPossibleIsNoMore(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, target string
		paths        enforcer.Paths
		want         []int
	}{
		{"the longer one", "/a/b", enforcer.Paths{"/*", "/a/*"}, []int{1}},
		{"the longest of many", "/a/b/c/d/e/f", enforcer.Paths{"/*", "/a/*", "/a/b/*", "/a/b/c/*", "/a/b/c/d/*", "/a/b/c/d/e/*", "/a/b/c/{x}/*"}, []int{5}},
		{"two that are as long", "/a/b", enforcer.Paths{"/a/{x}", "/{x}/b"}, []int{0, 1}},
		{"none", "/b", enforcer.Paths{"/a"}, []int{enforcer.None}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, tt.paths.Possible(tt.target))
		})
	}
}
