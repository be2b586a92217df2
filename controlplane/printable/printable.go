// Package printable makes what a peer said fit to be shown: in a log, on a terminal, on a
// page.
package printable

import (
	"strings"
	"unicode"
)

// Line makes one line of at most so many bytes of a text, with nothing in it that a
// terminal would act on. One that was longer ends with "…".
func Line(s string, most int) string {
	end := ""
	if len(s) > most {
		s, end = s[:most], "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")) + end
}
