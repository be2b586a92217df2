package importer

import (
	"regexp"
	"strings"
)

// braces finds {…} in a segment.
func braces() *regexp.Regexp { return regexp.MustCompile(`\{([^{}]*)\}`) }

// literal writes characters that a template takes for its own in their encoded
// form.
func literal(text string) string {
	return strings.NewReplacer("*", "%2A", "{", "%7B", "}", "%7D", "?", "%3F").Replace(text)
}

// variableName makes a name that a template takes of any text.
func variableName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, text)
	if name == "" || ((name[0]|0x20 < 'a' || name[0]|0x20 > 'z') && name[0] != '_') {
		name = "p" + name
	}
	return name
}
