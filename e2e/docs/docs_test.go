// Package docs keeps the documents true: what they name must be there.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// named finds the paths of this repository that a document sets in backquotes or
// links to.
var named = regexp.MustCompile("[`(]((?:plugin|controlplane|envoy|e2e)/[A-Za-z0-9_./-]+)[`)]")

func TestDocumentsNameWhatIsThere(t *testing.T) {
	root := filepath.Join("..", "..")
	documents, err := filepath.Glob(filepath.Join(root, "*.md"))
	require.NoError(t, err)
	more, err := filepath.Glob(filepath.Join(root, "envoy", "*.md"))
	require.NoError(t, err)
	for _, document := range append(documents, more...) {
		t.Run(filepath.Base(document), func(t *testing.T) {
			text, err := os.ReadFile(document)
			require.NoError(t, err)
			for _, match := range named.FindAllStringSubmatch(string(text), -1) {
				_, err := os.Stat(filepath.Join(root, match[1]))
				require.NoError(t, err, "%s names %s", document, match[1])
			}
		})
	}
}
