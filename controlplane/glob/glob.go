// Package glob compares segments of path templates as texts: literal text, decoded,
// with [Variable] for each variable.
package glob

import (
	"regexp"
	"strings"
)

// Variable stands for a variable: no segment of a path has it.
const Variable = "\x00"

// Braces finds {…} in a segment as a source writes it.
func Braces() *regexp.Regexp { return regexp.MustCompile(`\{([^{}]*)\}`) }

// Name makes a name of a variable, that a template takes, of any text.
func Name(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, text)
	if name == "" || ((name[0]|0x20 < 'a' || name[0]|0x20 > 'z') && name[0] != '_') {
		name = "p" + name
	}
	return name
}

// Covers reports whether every segment of small matches big. A variable
// matches one character or more; that of small is one that no literal has.
func Covers(big, small string) bool {
	if big == small {
		return true
	}
	if !strings.Contains(big, Variable) || small == "" {
		return false
	}
	if big == Variable {
		return true
	}
	pieces := strings.Split(big, Variable)
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(small) <= len(first)+len(last) || !strings.HasPrefix(small, first) || !strings.HasSuffix(small, last) {
		return false
	}
	small = small[len(first) : len(small)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		if small == "" {
			return false
		}
		i := strings.Index(small[1:], piece)
		if i < 0 {
			return false
		}
		small = small[1+i+len(piece):]
	}
	return small != ""
}

// Meet reports whether some segment matches both.
func Meet(a, b string) bool {
	if a == b || a == Variable && b != "" || b == Variable && a != "" {
		return true
	}
	if !strings.Contains(a, Variable) || !strings.Contains(b, Variable) {
		return Covers(a, b) || Covers(b, a)
	}
	// Both are walked at once, one character at a time. A variable takes one, and
	// goes on or ends.
	type state struct{ i, j int }
	seen := map[state]bool{}
	todo := []state{{}}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		if at.i == len(a) || at.j == len(b) {
			if at.i == len(a) && at.j == len(b) {
				return true
			}
			continue
		}
		left, right := a[at.i] == Variable[0], b[at.j] == Variable[0]
		if !left && !right && a[at.i] != b[at.j] {
			continue
		}
		todo = append(todo, state{at.i + 1, at.j + 1})
		if left {
			todo = append(todo, state{at.i, at.j + 1})
		}
		if right {
			todo = append(todo, state{at.i + 1, at.j})
		}
	}
	return false
}
