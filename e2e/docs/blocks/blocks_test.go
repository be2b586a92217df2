package blocks

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the repository.
var root = filepath.Join("..", "..", "..")

// block is fenced text of a document.
type block struct{ kind, text string }

var (
	fence = regexp.MustCompile("(?m)^```(.*)\n((?s:.*?))^```$")
	stray = regexp.MustCompile("(?m)^(?:[ \t]+```|~~~).*$")
)

func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "envoy/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		require.NoError(t, err)
		all = append(all, found...)
	}
	require.Greater(t, len(all), 15)
	return all
}

func blocks(t *testing.T, document string) []block {
	t.Helper()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	require.Empty(t, stray.FindString(string(text)), "write each block with ``` at the begin of a line")
	var list []block
	for _, match := range fence.FindAllStringSubmatch(string(text), -1) {
		list = append(list, block{kind: match[1], text: match[2]})
	}
	require.Equal(t, strings.Count("\n"+string(text), "\n```"), 2*len(list), "a block does not end")
	return list
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, document := range documents(t) {
		t.Run(filepath.Base(document), func(t *testing.T) {
			t.Parallel()
			list := blocks(t, document)
			if len(list) == 0 {
				return
			}
			s := newSandbox(t)
			for _, b := range list {
				switch b.kind {
				case "yaml":
					s.configure(b.text)
				case "sh":
					s.run(b.text)
				case "text": // what is printed, or a picture
				default:
					require.Fail(t, "a block of a kind that no test runs", "%q:\n%s", b.kind, b.text)
				}
			}
		})
	}
}
