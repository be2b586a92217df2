package mcp

import (
	"strings"

	"github.com/umagate/umagate/plugin/route"
)

// PlainURI reports whether a URI is in the one form that all who take it apart agree on (RFC
// 3986 section 6.2.2): of the characters that a URI has, scheme and host in lower case, no
// fragment, no dot segment, and percent-encoded only what has to be. What follows another
// scheme than one with an authority is looked at as a path all the same: servers open
// "notes:a/../b".
func PlainURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" || hasUpper(scheme) || !plainText(s) {
		return false
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		if host := after[:end]; hasUpper(host) || strings.ContainsAny(host, "@%") {
			return false
		}
		rest = after[end:]
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	_, err := route.ParsePath(rest, "", false)
	return err == nil
}

// PlainPattern reports whether a pattern can match a URI that [PlainURI] takes, as far as
// what is written around its "*" shows.
func PlainPattern(s string) bool {
	text := strings.ReplaceAll(s, "*", "x")
	return PlainURI(text) || s != text && PlainURI("x:"+text)
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

// foreign are the visible characters of ASCII that no URI has (RFC 3986 appendix A): they are
// there percent-encoded or not at all.
const foreign = "\"<>\\^`{|}"

// plainText reports whether each character is written in the one way that it can be.
func plainText(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7F || c == '#' || strings.IndexByte(foreign, c) >= 0 {
			return false
		}
		if c != '%' {
			continue
		}
		if len(s)-i < 3 || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
			return false
		}
		if b := hexValue(s[i+1])<<4 | hexValue(s[i+2]); b > ' ' && b < 0x7F && b != '%' && strings.IndexByte(foreign, b) < 0 {
			return false
		}
		i += 2
	}
	return true
}

func isUpperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'A' + 10
}
