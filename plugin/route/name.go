package route

import "errors"

// Errors of a resource's name, for errors.Is. The text says what to write instead.
var (
	ErrNameBraces = errors.New(`a variable of a name is written {id}: letters, digits, "_" and "-" in braces, each variable once`)
	ErrNameApart  = errors.New(`two variables of a name must have a character between them that no value has, such as "/" or ":", or two instances could have one name`)
)

// Name is the name of a resource. One with variables, "album-{id}", is the name
// of many: each tuple of values has its own.
type Name struct {
	literals  []string // one more than variables
	variables []string
}

// ParseName reads a name. One without variables is a name as it stands.
func ParseName(source string) (Name, error) {
	literals, variables, ok := cutVariables(source, false)
	if !ok {
		return Name{}, ErrNameBraces
	}
	for i := 1; i < len(variables); i++ {
		if !separates(literals[i]) {
			return Name{}, ErrNameApart
		}
	}
	return Name{literals, variables}, nil
}

// separates tells that a text has a character that no encoded value has, so that
// it can be told where the value before it ends.
func separates(s string) bool {
	for i := range len(s) {
		if !isValueByte(s[i]) {
			return true
		}
	}
	return false
}

// isValueByte tells that a byte may stand in a value as Expand writes it.
func isValueByte(c byte) bool { return isUnreserved(c) || c == '.' || c == '%' }

// Variables are the variables of the name, in their order.
func (n Name) Variables() []string { return n.variables }

// Expand is the name of one instance. Each value is percent-encoded but for the
// unreserved characters (RFC 3986 section 2.3), so that different values give
// different names. values has as many as there are variables.
func (n Name) Expand(values []string) string {
	b := make([]byte, 0, 64)
	for i, literal := range n.literals {
		b = append(b, literal...)
		if i == len(n.variables) {
			break
		}
		for j := range len(values[i]) {
			if c := values[i][j]; c != '%' && isValueByte(c) {
				b = append(b, c)
			} else {
				b = append(b, '%', upperHex[c>>4], upperHex[c&15])
			}
		}
	}
	return string(b)
}

// Overlaps tells that some values give both names the same text.
func (n Name) Overlaps(other Name) bool {
	a, b := n.tokens(), other.tokens()
	type state struct{ i, j int }
	seen := map[state]bool{}
	var meet func(s state) bool
	meet = func(s state) bool {
		if s.i == len(a) || s.j == len(b) {
			return s.i == len(a) && s.j == len(b)
		}
		if seen[s] {
			return false
		}
		seen[s] = true
		x, y := a[s.i], b[s.j]
		switch {
		case x == y:
		case x == anyValue && isValueByte(byte(y)), y == anyValue && isValueByte(byte(x)): //nolint:gosec // a byte of a name
		default:
			return false
		}
		// One character of each is used; a value may have more.
		return meet(state{s.i + 1, s.j + 1}) || x == anyValue && meet(state{s.i, s.j + 1}) || y == anyValue && meet(state{s.i + 1, s.j})
	}
	return meet(state{})
}

// anyValue stands for a value in tokens.
const anyValue = -1

func (n Name) tokens() []int {
	var out []int
	for i, literal := range n.literals {
		for j := range len(literal) {
			out = append(out, int(literal[j]))
		}
		if i < len(n.variables) {
			out = append(out, anyValue)
		}
	}
	return out
}
