package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/umagate/umagate/controlplane/secret"
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
// characters from 1. path is what stands there, as a [site.Fault] names it.
func printExcerpt(w io.Writer, text []string, path string, line, column int) {
	if line < 1 || line > len(text) {
		return
	}
	content := strings.ReplaceAll(strings.TrimRight(text[line-1], "\r"), "\t", " ")
	content = withoutSecrets(content, path, column)
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

// withoutSecrets ends a line where a secret begins that stands in it, for what is
// printed goes to logs.
func withoutSecrets(line, path string, column int) string {
	end := len(line)
	for _, at := range secretKey().FindAllStringIndex(line, -1) {
		if !harmless().MatchString(line[at[0]:]) && line[at[1]:] != "" {
			end = min(end, at[1])
		}
	}
	// The key may stand on the line before.
	if runes := []rune(line); secretKey().MatchString(path+":") && column > 0 && column <= len(runes) {
		if at := len(string(runes[:column-1])); !harmless().MatchString("key: " + line[at:]) {
			end = min(end, at)
		}
	}
	if end == len(line) {
		return line
	}
	return line[:end] + secret.Redacted
}

// secretKey matches a key whose value may be a secret, well spelled or not.
func secretKey() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(secret|token|key|password|statement|store)["']?\s*:\s*`)
}

// harmless matches a key whose value names a source of secrets, or is no secret: also
// one that can only be true or false, such as protect_commands_with_access_token.
func harmless() *regexp.Regexp {
	return regexp.MustCompile(`(?i)^[^:]*:\s*(\{\s*["']?(env|file)["']?\s*:|["']?\$\{\w+\}|[|>&*#,}]|$|(true|false|yes|no|on|off|null|~)\s*([,}#]|$))|^token["']?\s*:\s*\{`)
}
