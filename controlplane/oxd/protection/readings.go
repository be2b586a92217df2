package protection

import (
	"errors"
	"strings"

	"github.com/umagate/umagate/plugin/route"
)

// maxDecodings bounds how often a path is decoded: it may have been encoded as often.
const maxDecodings = 4

// Readings returns the canonical paths that an API may read a request's target as,
// where it has no one reading: decoded once or more, with dot segments and empty
// segments resolved or taken for segments, and with odd characters as ordinary
// ones. ok is false where there may be others: then nobody knows what it is.
func Readings(target string) (paths []string, ok bool) {
	path, _, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		if _, rest, absolute := strings.Cut(path, "://"); absolute { // RFC 9112 section 3.2.2
			_, path, _ = strings.Cut(rest, "/")
		}
		path = "/" + path
	}
	seen := map[string]bool{}
	add := func(p string) {
		if parsed, err := route.ParsePath(p, "", false); err == nil && !seen[parsed.Target] {
			seen[parsed.Target] = true
			paths = append(paths, parsed.Target)
		}
	}
	for range maxDecodings {
		add(ordinary(path, true))
		add(ordinary(path, false))
		parsed, err := route.ParsePath(path, "", true)
		if err == nil {
			add(parsed.Target)
		} else if !decodable(err) {
			return nil, false
		}
		next := decodeOnce(path)
		if next == path {
			return paths, true
		}
		// A question mark that was encoded begins a query for some.
		path, _, _ = strings.Cut(next, "?")
		add(ordinary(next, true))
	}
	return nil, false // it is encoded more often than anybody does
}

// decodable reports whether a path has no canonical form, and one when it is decoded.
func decodable(err error) bool {
	e, ok := errors.AsType[*route.PathError](err)
	return ok && (e.Problem == route.ProblemEscape || e.Problem == route.ProblemDoubleEncoding || e.Problem == route.ProblemEncDelimiter)
}

// decodeOnce decodes every escape, and keeps what is none as a percent sign.
func decodeOnce(path string) string {
	// What cannot stand on the wire is escaped again: it is the same in every reading.
	return route.Escape(route.Unescape(path), func(c byte) bool { return c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>^{|}`+"`", c) >= 0 })
}

// ordinary takes what is odd in a segment for a letter, so that the segment is one
// like any other. Empty segments are left out, or are segments, too.
func ordinary(path string, merge bool) string {
	const letter = "x"
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		switch {
		case s == "" && i == len(segments)-1, s == "" && merge:
			continue
		case s == "" || s == "." || s == "..":
			out = append(out, letter)
			continue
		}
		if _, err := route.ParsePath("/"+s, "", false); err == nil {
			out = append(out, s)
			continue
		}
		var b strings.Builder
		for j := range len(s) {
			c := s[j]
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("-._~", c) < 0 {
				c = letter[0]
			}
			b.WriteByte(c)
		}
		out = append(out, b.String())
	}
	return "/" + strings.Join(out, "/")
}
