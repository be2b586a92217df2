package route

import "strings"

// Table finds the template that a path matches. A path is read from left to
// right; at each segment a literal is preferred to {name}, {name} to *, and * to
// **. The order of Add does not matter.
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
	literals map[string]*node
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

// Match finds the value of the template that p matches, -1 when none does. other
// is -1, or the value of the template that matches when the path's trailing
// slash, or the lack of it, is read in the other way: unless both mean the same
// to the caller, the path is ambiguous.
func (t *Table) Match(p Path) (value, other int) {
	value, other = t.root.match(t.folded(p.decoded), p.slash)
	return value - 1, other - 1
}

func (n *node) match(path string, slash bool) (value, other int) {
	if path == "" {
		return n.matchEnd(slash)
	}
	segment, remainder, _ := strings.Cut(path, "/")
	for _, next := range [...]*node{n.literals[segment], n.named, n.single} {
		if next == nil {
			continue
		}
		if value, other = next.match(remainder, slash); value != 0 {
			return value, other
		}
	}
	return n.rest, 0
}

// matchEnd chooses among what is at the node where the path ends.
func (n *node) matchEnd(slash bool) (value, other int) {
	exact, near := n.end, n.slash
	if slash {
		exact, near = n.slash, n.end
	}
	switch {
	case exact != 0:
		return exact, 0
	case near != 0:
		return near, n.rest
	}
	return n.rest, 0
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
