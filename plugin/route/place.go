package route

import "strings"

// Place is where in a path the value of a variable stands. Two that are equal have
// the same value in every path.
type Place struct {
	// Segment is the segment, counted from 0.
	Segment int

	before, after int  // bytes of the literal text around it in the segment
	extension     bool // which is nothing but an extension, such as ".json"
}

// Whole reports whether the value is a whole segment.
func (p Place) Whole() bool { return p.before+p.after == 0 }

// IsFormat reports whether the value is a whole segment but for an extension such
// as ".json", if any.
func (p Place) IsFormat() bool { return p.Whole() || p.extension }

// Value is the text at a place of a path that matches the place's template.
func (p Path) Value(at Place) string {
	segment, _ := p.Segment(at.Segment)
	if len(segment) <= at.before+at.after {
		return ""
	}
	return segment[at.before : len(segment)-at.after]
}

// Segment is the nth segment of the path, decoded, counted from 0; empty where there
// is none. last reports whether no segment follows it.
func (p Path) Segment(n int) (text string, last bool) {
	rest := p.decoded
	for ; n > 0; n-- {
		_, after, ok := strings.Cut(rest, "/")
		if !ok {
			return "", false
		}
		rest = after
	}
	text, _, more := strings.Cut(rest, "/")
	return text, !more
}
