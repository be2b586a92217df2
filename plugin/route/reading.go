package route

import (
	"strings"
	"unicode/utf8"
)

// Odd reports whether servers are known that read the path in another way than it
// is judged, although it is canonical. [Path.Reading] has these ways.
func (p Path) Odd() bool { return p.odd }

// Readings is how many there are.
const Readings = readingsOfLow*readingsOfEnds - 1

// What becomes of characters whose code has a delimiter in its low byte, which
// servers cut off that keep a character in a byte.
const (
	lowKept  = iota
	lowSlash // U+012F is a slash (Tomcat, where it compares with a mapping)
	lowAll   // any delimiter (Node.js, where a path goes on as latin-1)
	readingsOfLow
)

// What becomes of the ends of a segment.
const (
	endsKept    = iota
	endsTrimmed // blanks are cut off (frameworks that trim what they are given)
	endsWindows // dots, blanks and the name of a stream are cut off (file systems)
	endsPrefix  // "a..": what follows the prefix "a" is ".." (nginx's alias)
	readingsOfEnds
)

// Reading is the nth other way to read the path. It is not ok when that makes no
// difference. The segments whose bits are set in fixed stand as they are: they were
// not chosen by who sent the request. moved tells that what stands at one of places
// comes from another segment.
func (p Path) Reading(n int, fixed uint64, places []Place) (other Path, moved, ok bool) {
	low, ends := (n+1)/readingsOfEnds, (n+1)%readingsOfEnds
	if low != lowKept && isASCII(p.decoded) {
		return p, false, false // as with lowKept
	}
	r := reader{ends: ends}
	rest, more := p.decoded, true
	for ; more && !r.cut; r.at++ {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if r.at < 64 && fixed>>r.at&1 != 0 {
			r.slash = false
			r.keep(segment)
			continue
		}
		for part := range strings.SplitSeq(r.lower(segment, low), "/") {
			r.push(part)
		}
	}
	other.decoded = strings.Join(r.kept, "/")
	other.slash = len(r.kept) > 0 && (r.slash || p.slash && !r.cut)
	for _, place := range places {
		moved = moved || place.Segment >= len(r.from) || r.from[place.Segment] != place.Segment
	}
	return other, moved, other.decoded != p.decoded || other.slash != p.slash
}

// reader puts a reading together.
type reader struct {
	ends  int
	at    int // the segment that is read
	kept  []string
	from  []int // of which segment each is
	slash bool  // it ends in a slash so far
	cut   bool  // nothing more counts
}

// keep adds a segment as it is. In line, its two appends would take a KB of the filter.
//
//go:noinline
func (r *reader) keep(s string) { r.kept, r.from = append(r.kept, s), append(r.from, r.at) }

// push adds a segment, and resolves it when it is empty or of dots.
func (r *reader) push(s string) {
	switch r.ends {
	case endsTrimmed:
		s = strings.TrimFunc(s, isBlank)
	case endsWindows:
		if i := strings.Index(s, ":$"); i >= 0 {
			s = strings.TrimRight(s[:i], ":")
		}
		if s != "." && s != ".." {
			s = strings.TrimRightFunc(s, func(c rune) bool { return c == '.' || isBlank(c) })
		}
	case endsPrefix:
		if prefix, ok := strings.CutSuffix(s, ".."); ok && strings.Trim(prefix, ".") != "" {
			r.keep(prefix)
			s = ".."
		}
	}
	switch r.slash = segmentProblem(s) != ""; {
	case !r.slash:
		r.keep(s)
	case s == ".." && len(r.kept) > 0:
		r.kept, r.from = r.kept[:len(r.kept)-1], r.from[:len(r.from)-1]
	}
}

// lower writes the delimiters that a segment has in low bytes.
func (r *reader) lower(s string, low int) string {
	if low == lowKept {
		return s
	}
	out := make([]byte, 0, len(s))
	begin := 0 // of what is a segment in out
	matrix := false
	for i := 0; i < len(s); {
		c, size := lowByte(s[i:])
		plain := size == 1
		if low == lowAll && c == '%' {
			if e, n := lowEscape(s[i+size:]); n > 0 {
				c, size, plain = e, size+n, false
			}
		}
		inside := len(out) > begin
		switch {
		case !plain && (c == '/' || low == lowAll && c == '\\'):
			out = append(out, '/')
			begin, matrix = len(out), false
		case matrix:
		case plain || low != lowAll:
			out = append(out, s[i:i+size]...)
		case c == '.':
			out = append(out, '.')
		case inside && c == ';':
			matrix = true
		case inside && (c == '?' || c == '#' || c <= ' '):
			// What follows is a query, or lost at a line end or NUL. A word that begins
			// with such a character is more likely a word.
			r.cut = true
			return string(out)
		default:
			out = append(out, s[i:i+size]...)
		}
		i += size
	}
	return string(out)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// lowByte is the low byte of the first character; of one beyond 16 bits, of the
// half that has a delimiter.
func lowByte(s string) (c byte, size int) {
	r, size := utf8.DecodeRuneInString(s)
	if r > 0xFFFF {
		if high := byte((r - 0x10000) >> 10 & 0xFF); high == '/' || high == '\\' || high == '.' {
			return high, size
		}
	}
	return byte(r & 0xFF), size
}

// lowEscape decodes two hexadecimal digits; size is 0 when there are none.
func lowEscape(s string) (c byte, size int) {
	if s == "" {
		return 0, 0
	}
	high, n := lowByte(s)
	if len(s) == n {
		return 0, 0
	}
	low, m := lowByte(s[n:])
	if !isHex(high) || !isHex(low) {
		return 0, 0
	}
	return hexValue(high)<<4 | hexValue(low), n + m
}

// isBlank reports whether the trim of some language takes the character off.
func isBlank(r rune) bool {
	switch r {
	case ' ', 0xA0, 0x1680, 0x202F, 0x205F, 0x3000, 0xFEFF:
		return true
	}
	return r >= 0x2000 && r <= 0x200B
}
