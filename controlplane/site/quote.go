package site

import (
	"encoding/json"
	"strings"
	"unicode"
)

// Quote writes a string for umagate.yaml. JSON's form is one of YAML's; "${" would be
// taken for a variable. What an import prints is written so.
func Quote(s string) string {
	text, err := json.Marshal(strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "${", "$${"))
	if err != nil {
		return `""` // a string always encodes
	}
	return string(text)
}

// QuoteList writes strings as a list.
func QuoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Comment is text on one line that cannot end a comment of umagate.yaml.
func Comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}
