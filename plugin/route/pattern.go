package route

import (
	"slices"
	"strings"
)

// A pattern is a segment with literal text around variables, such as "{id}.json"
// or "{a}...{b}"; each variable matches one byte or more. It is written with NUL,
// which no segment has, for each variable.
type pattern string

const variable = "\x00"

// patternMiddle reports whether what stands between the first and the last literal of a
// segment matches the rest of a pattern: literals with a variable before and after
// each. Each literal is taken where it is found first; no other choice matches
// where that one does not.
func patternMiddle(literals, s string) bool {
	for literals != "" {
		literal, rest, _ := strings.Cut(literals, variable)
		if s == "" {
			return false
		}
		i := strings.Index(s[1:], literal)
		if i < 0 {
			return false
		}
		literals, s = rest, s[1+i+len(literal):]
	}
	return s != ""
}

// ends are the lengths of the first and the last literal.
func (p pattern) ends() (first, last int) {
	s := string(p)
	return strings.IndexByte(s, variable[0]), len(s) - 1 - strings.LastIndexByte(s, variable[0])
}

// matches reports whether a segment matches.
func (p pattern) matches(s string) bool {
	first, last := p.ends()
	return first+last < len(s) && s[:first] == string(p[:first]) && s[len(s)-last:] == string(p[len(p)-last:]) &&
		patternMiddle(p.between(first, last), s[first:len(s)-last])
}

// between are the literals between the first and the last one.
func (p pattern) between(first, last int) string {
	if first+1+last >= len(p) {
		return ""
	}
	return string(p[first+1 : len(p)-last-1])
}

// patterns finds those of the patterns of one node that match a segment, by their
// first and their last literal.
type patterns struct {
	ends  []ends           // each once, the longest first
	nodes map[string]*node // by first literal, variable, last literal; others of the same follow
}

type ends struct{ first, last int }

// add gives the node that follows a pattern.
func (ps *patterns) add(p pattern) *node {
	first, last := p.ends()
	key := string(p[:first+1] + p[len(p)-last:])
	if ps.nodes == nil {
		ps.nodes = make(map[string]*node)
	}
	head := ps.nodes[key]
	if head == nil {
		ps.addEnds(ends{first, last})
	}
	// What is more specific has more literal text. Then, so that the order of Add
	// does not matter, the text decides.
	var before *node
	n := head
	for n != nil && (len(n.pattern) > len(p) || len(n.pattern) == len(p) && n.pattern < p) {
		before, n = n, n.next
	}
	if n != nil && n.pattern == p {
		return n
	}
	n = &node{pattern: p, next: n}
	if before == nil {
		ps.nodes[key] = n
	} else {
		before.next = n
	}
	return n
}

func (ps *patterns) addEnds(e ends) {
	if slices.Contains(ps.ends, e) {
		return
	}
	ps.ends = append(ps.ends, e)
	for i := len(ps.ends) - 1; i > 0; i-- {
		b := ps.ends[i-1]
		if b.first+b.last > e.first+e.last || b.first+b.last == e.first+e.last && b.first > e.first {
			break
		}
		ps.ends[i-1], ps.ends[i] = e, b
	}
}

// match tries the patterns that a segment matches, a more specific one before a
// less specific one: its first and its last literal are longer, or the same and it
// has more text between them. A pattern counts unless one that is more specific has
// matched the whole path.
func (ps *patterns) match(segment, remainder string, slash bool, others []Other) (value int, _ []Other) {
	var room [8]*node
	var text [128]byte
	matched := room[:0]
	for _, e := range ps.ends {
		if e.first+e.last >= len(segment) {
			continue
		}
		rest := len(segment) - e.last
		key := append(append(append(text[:0], segment[:e.first]...), variable[0]), segment[rest:]...)
		for n := ps.nodes[string(key)]; n != nil; n = n.next {
			if !patternMiddle(n.pattern.between(e.first, e.last), segment[e.first:rest]) || n.pattern.coversAny(matched) {
				continue
			}
			var v int
			if v, others = n.match(remainder, slash, others); v == 0 {
				continue
			}
			matched = append(matched, n)
			if value == 0 {
				value = v
			} else {
				others = append(others, Other{v - 1, ProblemTwoTemplates})
			}
		}
	}
	return value, others
}

// coversAny reports whether p matches all that the pattern of one of the nodes matches,
// which is then the more specific one. Its variables stand for text that no literal
// has.
func (p pattern) coversAny(nodes []*node) bool {
	for _, n := range nodes {
		if p.covers(n.pattern) {
			return true
		}
	}
	return false
}
