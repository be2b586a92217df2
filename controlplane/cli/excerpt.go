package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// source is the file's lines, or nothing when it cannot be read: then faults are
// printed without an excerpt.
func source(path string) []string {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil
	}
	return strings.Split(string(data), "\n")
}

// maxExcerpt bounds the columns shown of a line.
const maxExcerpt = 110

// printExcerpt shows a line with a caret under the column. Columns count
// characters from 1.
func printExcerpt(w io.Writer, text []string, line, column int) {
	if line < 1 || line > len(text) {
		return
	}
	content := strings.ReplaceAll(strings.TrimRight(text[line-1], "\r"), "\t", " ")
	if strings.TrimSpace(content) == "" || !utf8.ValidString(content) {
		return
	}
	runes := []rune(content)
	start := 0
	if column-1 > maxExcerpt/2 && len(runes) > maxExcerpt {
		start = column - 1 - maxExcerpt/2
	}
	end := min(len(runes), start+maxExcerpt)
	if start > end {
		return
	}
	_, _ = fmt.Fprintf(w, "%5d | %s\n", line, string(runes[start:end]))
	if at := column - 1 - start; at >= 0 && at <= end-start {
		_, _ = fmt.Fprintf(w, "      | %s^\n", strings.Repeat(" ", at))
	}
}
