package route

import "strings"

// Table finds the template that a path matches. A path is read from left to
// right; at each segment a literal is preferred to one with literal text around
// variables ("{id}.json"), that to {name}, {name} to *, and * to **. The order of
// Add does not matter.
//
// Of two segments with literal text around variables, the more specific one is
// preferred: the one whose every match the other matches, too. Where neither is
// ("{id}.json" and "export-{id}" for "export-1.json"), Match tells both.
//
// A trailing slash is not part of the choice: "/a/" is judged by the template
// "/a", and "/a" by "/a/", unless both are there. Where that leaves two readings
// ("/a" and "/a/**" are there, and the path is "/a/"), Match tells both; a
// template "/a/" of its own decides it.
type Table struct {
	root node
	fold bool
}

// node is one segment deep in the table. Values are what Add was given, plus
// one: zero is absent.
type node struct {
	pattern pattern // of the segment before, when it is one
	next    *node   // with another pattern of the same first and last literal

	literals map[string]*node
	patterns *patterns
	named    *node
	single   *node

	end   int // the template ends here
	slash int // the template ends here with a trailing slash
	rest  int // "**" follows
}

// NewTable makes an empty table. With fold, ASCII letters of literal segments
// match without case.
func NewTable(fold bool) *Table { return &Table{fold: fold} }

// Add enters a template under a value, which must not be negative. When a
// template of the same shape is there already ("/a/{x}" and "/a/{y}" are), its
// value is kept and returned, with false.
func (t *Table) Add(template Template, value int) (present int, added bool) {
	n := &t.root
	for _, s := range template.segments {
		switch s.kind {
		case literal:
			text := t.folded(s.text)
			next := n.literals[text]
			if next == nil {
				next = &node{}
				if n.literals == nil {
					n.literals = make(map[string]*node)
				}
				n.literals[text] = next
			}
			n = next
		case mixed:
			if n.patterns == nil {
				n.patterns = &patterns{}
			}
			n = n.patterns.add(pattern(t.folded(s.text)))
		case named:
			n = child(&n.named)
		case single:
			n = child(&n.single)
		case rest:
			return enter(&n.rest, value)
		}
	}
	if template.slash {
		return enter(&n.slash, value)
	}
	return enter(&n.end, value)
}

func child(n **node) *node {
	if *n == nil {
		*n = &node{}
	}
	return *n
}

func enter(slot *int, value int) (int, bool) {
	if *slot == 0 {
		*slot = value + 1
		return value, true
	}
	return *slot - 1, false
}

// Other is what a path matches in another reading.
type Other struct {
	Value   int
	Problem Problem // what makes the readings differ
}

// Match finds the value of the template that p matches, -1 when none does. It
// appends to others those that match in another reading: when the path's trailing
// slash, or the lack of it, is read in the other way, and when none of two
// templates is more specific. Unless all mean the same to the caller,
// the path is ambiguous. Nothing allocates while others has room.
func (t *Table) Match(p Path, others []Other) (value int, _ []Other) {
	value, others = t.root.match(t.folded(p.decoded), p.slash, others)
	return value - 1, others
}

func (n *node) match(path string, slash bool, others []Other) (value int, _ []Other) {
	if path == "" {
		return n.matchEnd(slash, others)
	}
	segment, remainder, _ := strings.Cut(path, "/")
	if next := n.literals[segment]; next != nil {
		if value, others = next.match(remainder, slash, others); value != 0 {
			return value, others
		}
	}
	if n.patterns != nil {
		if value, others = n.patterns.match(segment, remainder, slash, others); value != 0 {
			return value, others
		}
	}
	for _, next := range [...]*node{n.named, n.single} {
		if next == nil {
			continue
		}
		if value, others = next.match(remainder, slash, others); value != 0 {
			return value, others
		}
	}
	return n.rest, others
}

// matchEnd chooses among what is at the node where the path ends.
func (n *node) matchEnd(slash bool, others []Other) (value int, _ []Other) {
	exact, near := n.end, n.slash
	if slash {
		exact, near = n.slash, n.end
	}
	switch {
	case exact != 0:
		return exact, others
	case near != 0 && n.rest != 0:
		return near, append(others, Other{n.rest - 1, ProblemTrailingSlash})
	case near != 0:
		return near, others
	}
	return n.rest, others
}

func (t *Table) folded(s string) string {
	if t.fold {
		return lowerASCII(s)
	}
	return s
}

// lowerASCII lowers ASCII letters only, so that no other character changes.
func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
