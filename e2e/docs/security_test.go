package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/decision"
)

// TestSecurityHasEveryReason: an operator who meets a code finds what it means.
func TestSecurityHasEveryReason(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "SECURITY.md"))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), "\n## Fail closed\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	for reason := range decision.Reasons {
		require.Contains(t, section, "`"+reason.String()+"`")
	}
}
