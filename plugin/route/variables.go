package route

import (
	"slices"
	"strings"
)

// cutVariables takes a text apart at its variables: "{name}" and, where anonymous,
// "*", whose name is empty. There is one literal more than variables. It is not ok
// when a brace is no part of a variable or a name stands twice.
func cutVariables(text string, anonymous bool) (literals, names []string, ok bool) {
	for i := 0; i < len(text); i++ {
		name, to := "", i+1
		switch c := text[i]; {
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, nil, false
			}
			to = i + end + 1
			if name = text[i+1 : to-1]; !isName(name) || slices.Contains(names, name) {
				return nil, nil, false
			}
		case c == '}':
			return nil, nil, false
		case c != '*' || !anonymous:
			continue
		}
		literals, names = append(literals, text[:i]), append(names, name)
		text, i = text[to:], -1
	}
	return append(literals, text), names, true
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if c != '_' && (i == 0 || c != '-' && (c < '0' || c > '9')) {
				return false
			}
		}
	}
	return s != ""
}
