package ascii_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/internal/ascii"
)

func TestEqualFold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"Bearer", "bEARER", true},
		{"100-Continue", "100-continue", true},
		{"http", "https", false},
		{"@", "`", false},
		{"[", "{", false},
		{"http\u017f", "https", false},
		{"https", "http\u017f", false},
		{"\u212a", "k", false},
		{"é", "É", false},
	} {
		require.Equal(t, c.want, ascii.EqualFold(c.a, c.b), "%q %q", c.a, c.b)
	}
}
