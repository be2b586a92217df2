package importer

import "strings"

// literal writes characters that a template takes for its own in their encoded
// form.
func literal(text string) string {
	return strings.NewReplacer("*", "%2A", "{", "%7B", "}", "%7D", "?", "%3F").Replace(text)
}
