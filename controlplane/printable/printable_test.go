package printable_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/printable"
)

func TestLine(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"plain", "Grüße, 世界", "Grüße, 世界"},
		{"nothing", "", ""},
		{"lines", "a\r\nb\tc", "a  b c"},
		{"a terminal's commands", "\x1b]0;owned\x07\x1b[2Ja\u009b1m\x7f", "]0;owned[2Ja1m"},
		{"turned round", "a\u202eb\u2066c\u200bd", "abcd"},
		{"no UTF-8", "a\xffb\xc3", "ab"},
		{"long", strings.Repeat("a", 21), strings.Repeat("a", 20) + "…"},
		{"cut inside of a letter", strings.Repeat("a", 19) + "世", strings.Repeat("a", 19) + "…"},
		{"as long as may be", strings.Repeat("a", 20), strings.Repeat("a", 20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, printable.Line(tt.text, 20))
		})
	}
}
