package filter

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/decision"
)

// TestAsHeaders: the SDK's pairs and the core's headers have the same layout.
func TestAsHeaders(t *testing.T) {
	pairs := [][2]string{{":path", "/a"}, {"x", ""}, {"", "y"}}
	require.Equal(t, []decision.Header{{Name: ":path", Value: "/a"}, {Name: "x"}, {Value: "y"}}, asHeaders(pairs))
	require.Empty(t, asHeaders(nil))
	require.Empty(t, asHeaders([][2]string{}))
}
