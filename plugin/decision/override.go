package decision

import (
	"strings"

	"github.com/umagate/umagate/plugin/internal/ascii"
)

// namesOtherMethod reports whether the query of a target asks for another method than
// the request's own. Frameworks allow that to forms, which can only GET and POST: by
// "_method" (Rails, Laravel, Symfony, Spring, WordPress) or by the name of a header
// for it. "&" and ";" separate fields.
func namesOtherMethod(target, method string) bool {
	_, query, _ := strings.Cut(target, "?")
	begin := 0 // of the field
	for i := 0; i <= len(query); i++ {
		if i < len(query) && query[i] != '&' && query[i] != ';' {
			continue
		}
		field := query[begin:i]
		begin = i + 1
		if len(field) <= len("_method=") {
			continue // of which there can be tens of thousands
		}
		name, value, _ := strings.Cut(field, "=")
		var room [64]byte
		if !isMethodField(unescape(room[:0], name, true)) {
			continue
		}
		if text := unescape(room[:0], value, false); len(text) > 0 && !ascii.EqualFold(string(text), method) {
			return true
		}
	}
	return false
}

// isMethodField reports whether a field of a query is for the method. PHP turns '.', ' '
// and '[' at the beginning of a name into '_'; "_method[]" is a list.
func isMethodField(name []byte) bool {
	var room [64]byte
	folded := foldName(room[:0], string(name))
	if len(name) > len("_method") && (name[len("_method")] == '[' || name[len("_method")] == 0) {
		folded = folded[:len("_method")]
	}
	return string(folded) == "-method" || isOverride(folded) && strings.Contains(string(folded), "method")
}

// unescape decodes a part of a query into the room of dst, which is more than any
// method and any name of an override takes. Of a name, blanks at the beginning do
// not count.
func unescape(dst []byte, s string, name bool) []byte {
	for i := 0; i < len(s) && len(dst) < cap(dst); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s):
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high < 16 && low < 16 {
				c = high<<4 | low
				i += 2
			}
		}
		if name && len(dst) == 0 && c <= ' ' {
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// hexDigit is the value of a hexadecimal digit, and 16 of anything else.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}
