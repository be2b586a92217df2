package glob_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/glob"
)

func TestCovers(t *testing.T) {
	t.Parallel()
	const v = glob.Variable
	for _, tt := range []struct {
		big, small string
		want       bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{v, "a", true},
		{v, "", false},
		{"a" + v, "a", false},
		{"a" + v, "ab", true},
		{v + ".pdf", "x.pdf", true},
		{v + ".pdf", v, false},
		{v + "-" + v, "a-b", true},
		{v + "-" + v, "-b", false},
	} {
		require.Equal(t, tt.want, glob.Covers(tt.big, tt.small), "%q %q", tt.big, tt.small)
	}
}

func TestMeet(t *testing.T) {
	t.Parallel()
	const v = glob.Variable
	require.True(t, glob.Meet("a"+v, v+"b"))
	require.False(t, glob.Meet("a"+v, "b"+v))
	require.False(t, glob.Meet(v, ""))
}
