package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The ranks by which Gluu Gateway chooses, segment by segment.
const (
	rankRest int8 = iota + 1
	rankOne
	rankExpression
	rankText
)

// mostForms bounds the choices of segments that a pattern is taken apart into.
const mostForms = 4_000

// gluuPath reads Gluu Gateway's patterns: "?" is one segment, "??" any number of
// them, a slash before included, "{…}" a regular expression that is found anywhere
// in one segment; and umagate's own.
type gluuPath struct {
	fold     bool
	problems []string
}

func (r *gluuPath) forms(path string) (out []form, steps []step) {
	elements := [][]element{}
	text := strings.TrimPrefix(path, "/")
	for s := range strings.SplitSeq(text, "/") {
		if text == "" {
			break
		}
		found, one := r.segment(s)
		elements, steps = append(elements, found), append(steps, one)
	}
	// Each choice of a segment is a path of its own.
	choices := [][]element{nil}
	for _, found := range elements {
		var next [][]element
		for _, before := range choices {
			for _, e := range found {
				next = append(next, append(slices.Clip(before), e))
			}
		}
		if len(next) > mostForms {
			for i := range next {
				next[i][len(next[i])-1] = found[len(found)-1]
			}
			next = next[len(next)-1:]
		}
		choices = next
	}
	for _, c := range choices {
		out = append(out, expand(c)...)
	}
	return out, steps
}

// segment gives what a segment may be; the last one covers the others.
func (r *gluuPath) segment(text string) ([]element, step) {
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	switch braced := len(inner) == len(text)-2; {
	case text == "?", text == "*":
		return []element{{segment: variableSegment("")}}, step{rank: rankOne}
	case text == "??", text == "**":
		return []element{{segment: variableSegment(""), rest: true}}, step{rank: rankRest}
	case braced:
		r.problems = append(r.problems, fmt.Sprintf("the regular expression %q is not checked: any segment is taken", text))
		var out []element
		if regexp.MustCompile(`^[A-Za-z0-9_~-]+(\|[A-Za-z0-9_~-]+)+$`).MatchString(inner) {
			for word := range strings.SplitSeq(inner, "|") {
				out = append(out, element{segment: literalSegment(word, r.fold)})
			}
		}
		name := ""
		if regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`).MatchString(inner) {
			name = inner
		}
		return append(out, element{segment: variableSegment(name), wide: true}), step{rank: rankExpression, text: text}
	}
	return []element{{segment: literalSegment(text, r.fold)}}, step{rank: rankText}
}
