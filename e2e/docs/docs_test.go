// Package docs keeps the documents true: what they name must be there.
package docs

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:generate go -C ../../.tools tool d2 --layout dagre --pad 16 ../docs/umagate.d2 ../docs/umagate.svg

var (
	// named finds the paths of this repository that a document sets in backquotes.
	named = regexp.MustCompile("`((?:plugin|controlplane|envoy|e2e|docs)/[A-Za-z0-9_./-]+)`")
	// linked finds the targets of links and pictures.
	linked  = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)">`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// documents are the texts of all documents, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "envoy/*.md"} {
		found, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		require.NoError(t, err)
		for _, path := range found {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			texts[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = string(text)
		}
	}
	require.Greater(t, len(texts), 15)
	return texts
}

// anchors are the fragments that a link to a document may have, as GitHub makes
// them of headings.
func anchors(text string) map[string]bool {
	list := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		list[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")] = true
	}
	for _, match := range anchor.FindAllStringSubmatch(text, -1) {
		list[match[1]] = true
	}
	return list
}

// isThere reports whether the repository has a path.
func isThere(path string) bool {
	_, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(path)))
	return err == nil
}

func TestDocumentsNameWhatIsThere(t *testing.T) {
	texts := documents(t)
	for document, text := range texts {
		t.Run(document, func(t *testing.T) {
			for _, match := range named.FindAllStringSubmatch(text, -1) {
				assert.True(t, isThere(match[1]), "there is no %s", match[1])
			}
			for _, match := range linked.FindAllStringSubmatch(text, -1) {
				path, fragment, _ := strings.Cut(match[1], "#")
				if strings.Contains(path, "://") {
					continue
				}
				target := document
				if path != "" {
					target = filepath.ToSlash(filepath.Join(filepath.Dir(document), path))
				}
				assert.True(t, isThere(target), "there is no %s", target)
				assert.True(t, fragment == "" || anchors(texts[target])[fragment], "%s has no %s", target, fragment)
			}
		})
	}
}

// TestDocumentsAreFound: a reader of README comes to every page of docs.
func TestDocumentsAreFound(t *testing.T) {
	texts := documents(t)
	for page := range maps.Keys(texts) {
		if strings.HasPrefix(page, "docs/") {
			assert.Contains(t, texts["README.md"], "("+page+")")
		}
	}
}
