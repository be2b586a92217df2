package route

import (
	"strings"
	"unicode/utf8"
)

// Problem names what makes a path ambiguous. The values are stable: they appear
// in logs and in `umagate check`.
type Problem string

// The problems of a path. Those marked with "mends" are rewritten where the site
// says `ambiguous_paths: normalize`; the others are always refused.
const (
	ProblemForm           Problem = "not_origin_form"      // neither "/…" nor, mends, absolute-form of the same host
	ProblemFragment       Problem = "fragment"             // raw '#'; mends
	ProblemControl        Problem = "control_byte"         // raw or encoded control character, NUL or space
	ProblemEscape         Problem = "invalid_escape"       // '%' without two hexadecimal digits
	ProblemDoubleEncoding Problem = "double_encoding"      // %25 before two hexadecimal digits
	ProblemUTF8           Problem = "invalid_utf8"         // bytes that are no UTF-8, raw or encoded
	ProblemRawNonASCII    Problem = "raw_non_ascii"        // raw byte above 0x7F; mends
	ProblemConfusable     Problem = "confusable_character" // a character that compatibility folding turns into one of . / \ ; % ? #
	ProblemDotSegment     Problem = "dot_segment"          // "." or ".."; mends
	ProblemEmptySegment   Problem = "empty_segment"        // "//"; mends
	ProblemMatrix         Problem = "matrix_parameter"     // raw ';'; mends
	ProblemBackslash      Problem = "backslash"            // raw '\'; mends
	ProblemEncSlash       Problem = "encoded_slash"        // %2F; mends
	ProblemEncBackslash   Problem = "encoded_backslash"    // %5C; mends
	ProblemEncDot         Problem = "encoded_dot"          // %2E; mends
	ProblemEncUnreserved  Problem = "encoded_unreserved"   // a letter, digit, '-', '_' or '~' encoded; mends
	ProblemEncDelimiter   Problem = "encoded_delimiter"    // %3B, %3F, %23
	ProblemTooLong        Problem = "too_long"             // more than MaxPath bytes, or MaxOddPath
	ProblemTrailingSlash  Problem = "trailing_slash"       // a slash at the end selects another condition
	ProblemSecondReading  Problem = "second_reading"       // some servers read another path, which selects another condition
	ProblemTwoTemplates   Problem = "two_templates"        // two templates match, of which none is more specific
)

// MaxPath bounds the length of a path in bytes; Envoy's own default bound on all
// headers together is 60 KiB.
const MaxPath = 16 << 10

// MaxOddPath bounds the length of a path that is [Path.Odd], in bytes. All of its
// readings are matched: one of 16 KiB took a worker a hundred times as long as any
// other path.
const MaxOddPath = 4 << 10

// PathError is why a path was refused.
type PathError struct {
	Problem Problem
	// Offset is the byte of the path where the problem begins.
	Offset int
}

// Error implements error.
func (e *PathError) Error() string { return "ambiguous path: " + string(e.Problem) }

// Path is a canonical path.
type Path struct {
	// Target is what is forwarded: the path and, when there was one, the query.
	Target string
	// Rewritten tells that Target differs from what came in.
	Rewritten bool

	decoded string // percent-decoded, without the leading slash and a trailing one
	slash   bool   // there was a trailing slash
	odd     bool
}

// ParsePath reads the :path of a request. With normalize, problems that have one
// canonical form are rewritten to it. authority is the request's :authority; an
// absolute-form target must name the same.
//
// The error is a *[PathError].
func ParsePath(target, authority string, normalize bool) (Path, error) {
	path, query := target, ""
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i:]
	}
	problem, at, form := strictScan(path)
	if problem == "" {
		if at = strings.IndexByte(query, '#'); at >= 0 {
			problem, at = ProblemFragment, len(path)+at
		} else if at = controlByte(query); at >= 0 {
			return Path{}, &PathError{ProblemControl, len(path) + at}
		}
	}
	if problem == "" {
		return newPath(target, path, form, false), nil
	}
	if !normalize {
		return Path{}, &PathError{problem, at}
	}
	path, query, err := rewrite(target, authority)
	if err != nil {
		return Path{}, err
	}
	// Whatever was rewritten must now hold under the strict reading, or two
	// readings are left.
	problem, at, form = strictScan(path)
	if problem != "" {
		return Path{}, &PathError{problem, at}
	}
	return newPath(path+query, path, form, true), nil
}

// Clone is the path in memory of its own.
func (p Path) Clone() Path {
	if p.Target == "" {
		return p
	}
	p.Target = strings.Clone(p.Target)
	if strings.HasPrefix(p.Target[1:], p.decoded) { // nothing was escaped
		p.decoded = p.Target[1 : 1+len(p.decoded)]
	}
	return p
}

func newPath(target, path string, f form, rewritten bool) Path {
	p := Path{Target: target, Rewritten: rewritten, decoded: path[1:], odd: f.odd}
	if n := len(p.decoded); n > 0 && p.decoded[n-1] == '/' {
		p.slash = true
		p.decoded = p.decoded[:n-1]
	}
	if f.escaped {
		p.decoded = Unescape(p.decoded)
	}
	return p
}

// form is what else is seen of a path that has no problem.
type form struct {
	escaped bool // it has percent escapes, all of them valid
	odd     bool // that, or a segment ends in a dot or names a stream of a file
}

// strictScan finds the first problem of a path that has no query.
func strictScan(path string) (problem Problem, at int, f form) {
	if len(path) > MaxPath {
		return ProblemTooLong, MaxPath, f
	}
	if path == "" || path[0] != '/' {
		return ProblemForm, 0, f
	}
	segment := 1 // where the current segment begins
	for i := 1; i < len(path); i++ {
		switch c := path[i]; {
		case c == '/':
			if p := segmentProblem(path[segment:i]); p != "" {
				return p, segment, f
			}
			f.odd = f.odd || path[i-1] == '.'
			segment = i + 1
		case c == '$':
			f.odd = f.odd || path[i-1] == ':'
		case c <= ' ' || c == 0x7F:
			return ProblemControl, i, f
		case c == ';':
			return ProblemMatrix, i, f
		case c == '\\':
			return ProblemBackslash, i, f
		case c == '#':
			return ProblemFragment, i, f
		case c >= utf8.RuneSelf:
			return ProblemRawNonASCII, i, f
		case c == '%':
			f.escaped = true
			n, p := scanEscape(path[i:])
			if p != "" {
				return p, i, f
			}
			i += n - 1
		}
	}
	// The last segment may be empty: a trailing slash.
	if last := path[segment:]; last != "" {
		if p := segmentProblem(last); p != "" {
			return p, segment, f
		}
		f.odd = f.odd || last[len(last)-1] == '.'
	}
	if f.odd = f.odd || f.escaped; f.odd && len(path) > MaxOddPath {
		return ProblemTooLong, MaxOddPath, f
	}
	return "", 0, f
}

func segmentProblem(segment string) Problem {
	switch segment {
	case "":
		return ProblemEmptySegment
	case ".", "..":
		return ProblemDotSegment
	}
	return ""
}

// scanEscape judges the escape at the start of s, which begins with '%', and
// tells how many bytes it spans: a character above ASCII takes several escapes.
func scanEscape(s string) (n int, problem Problem) {
	c, ok := escapedByte(s)
	if !ok {
		return 0, ProblemEscape
	}
	switch {
	case c < ' ' || c == 0x7F:
		return 0, ProblemControl
	case c == '/':
		return 0, ProblemEncSlash
	case c == '\\':
		return 0, ProblemEncBackslash
	case c == '.':
		return 0, ProblemEncDot
	case c == ';' || c == '?' || c == '#':
		return 0, ProblemEncDelimiter
	case c == '%':
		if len(s) >= 5 && isHex(s[3]) && isHex(s[4]) {
			return 0, ProblemDoubleEncoding
		}
	case isUnreserved(c):
		return 0, ProblemEncUnreserved
	case c >= utf8.RuneSelf:
		return scanEscapedRune(s)
	}
	return 3, ""
}

// scanEscapedRune judges one UTF-8 character written as consecutive escapes.
func scanEscapedRune(s string) (n int, problem Problem) {
	var buf [utf8.UTFMax]byte
	for size := 1; size <= utf8.UTFMax; size++ {
		c, ok := escapedByte(s[n:])
		if !ok {
			if n < len(s) && s[n] == '%' {
				return 0, ProblemEscape
			}
			return 0, ProblemUTF8
		}
		buf[size-1] = c
		n += 3
		if utf8.FullRune(buf[:size]) {
			r, width := utf8.DecodeRune(buf[:size])
			if r == utf8.RuneError && width <= 1 {
				return 0, ProblemUTF8
			}
			return n, runeProblem(r)
		}
	}
	return 0, ProblemUTF8
}

// runeProblem judges a decoded character above ASCII.
func runeProblem(r rune) Problem {
	switch {
	case r >= 0x80 && r <= 0x9F, r == 0x2028, r == 0x2029:
		return ProblemControl
	case isConfusable(r):
		return ProblemConfusable
	}
	return ""
}

// isConfusable tells that compatibility or canonical normalisation (Unicode
// NFKC), which some frameworks and file systems apply to names, or the best-fit
// mapping of a Windows code page, turns r into text with one of the characters
// . / \ ; % ? # in it.
func isConfusable(r rune) bool {
	switch r {
	case 0x037E, // Greek question mark: ;
		0x2024, 0x2025, 0x2026, // dot leaders: . .. ...
		0x2047, 0x2048, 0x2049, // double question marks
		0x2100, 0x2101, 0x2105, 0x2106, // a/c a/s c/o c/u
		0xFE52, 0xFE54, 0xFE56, 0xFE5F, 0xFE68, 0xFE6A, // small . ; ? # \ %
		0xFE19, 0xFE30, // vertical ... ..
		0xFE14, 0xFE16, // vertical ; ?
		0x33C2, 0x33C7, 0x33D8, 0x1F100, // a.m. Co. p.m. 0.
		0x2044, 0x2215, 0x2216, 0x29F5, 0x29F8, // fraction, division and set-minus slashes (best fit)
		0xFF03, 0xFF05, 0xFF0E, 0xFF0F, 0xFF1B, 0xFF1F, 0xFF3C: // full-width # % . / ; ? \
		return true
	}
	return r >= 0x2488 && r <= 0x249B // digits with a full stop
}

func isUnreserved(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// escapedByte decodes the escape at the start of s.
func escapedByte(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' || !isHex(s[1]) || !isHex(s[2]) {
		return 0, false
	}
	return hexValue(s[1])<<4 | hexValue(s[2]), true
}

// Unescape decodes every escape of s, and leaves what is none. An import reads paths with
// it that no filter has judged.
func Unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := escapedByte(s[i:]); ok {
			b = append(b, c)
			i += 2
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// Escape writes the bytes of s that are reserved as escapes (RFC 3986 section 2.1). The
// control plane writes templates and paths with it.
func Escape(s string, reserved func(c byte) bool) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; reserved(c) {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func controlByte(s string) int {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7F {
			return i
		}
	}
	return -1
}
