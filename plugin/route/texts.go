package route

import (
	"errors"
	"slices"
	"strings"
)

// Texts finds what is said of a text that is no path, such as the name of a tool: the text
// itself, or patterns of it, where "*" stands for one byte or more. The zero value has none.
// Once built it is safe for concurrent use.
type Texts struct {
	exact    map[string]int
	patterns []textPattern
}

type textPattern struct {
	pattern pattern
	source  string
	value   int
}

// Varies is, in a text that is looked for, what may be any text. Only a pattern's "*" matches it.
const Varies = variable

// The errors of [Texts.Add].
var (
	ErrTextEmpty  = errors.New("is empty")
	ErrTextBraces = errors.New(`has a brace: "*" stands for what varies`)
	ErrTextStars  = errors.New(`has "**": one "*" is any text, with slashes in it too`)
)

// Add gives a text or a pattern a value. When it is there already it keeps its own, which is
// returned.
func (t *Texts) Add(text string, value int) (present int, added bool, err error) {
	switch {
	case text == "":
		return 0, false, ErrTextEmpty
	case strings.ContainsAny(text, "{}\x00"):
		return 0, false, ErrTextBraces
	case strings.Contains(text, "**"):
		return 0, false, ErrTextStars
	case !strings.Contains(text, "*"):
		if v, ok := t.exact[text]; ok {
			return v, false, nil
		}
		if t.exact == nil {
			t.exact = make(map[string]int)
		}
		t.exact[text] = value
		return value, true, nil
	}
	p := pattern(strings.ReplaceAll(text, "*", variable))
	for _, other := range t.patterns {
		if other.pattern == p {
			return other.value, false, nil
		}
	}
	t.patterns = append(t.patterns, textPattern{p, text, value})
	return value, true, nil
}

// Match returns the value of the text itself, or else that of the pattern that is more
// specific than every other one that matches, and that text or pattern; -1 where nothing
// does. Where another pattern matches as well, with another value, and neither is more
// specific, clash is its value, and otherwise -1.
func (t *Texts) Match(text string) (value int, by string, clash int) {
	if v, ok := t.exact[text]; ok {
		return v, text, -1
	}
	var best *textPattern
	for i := range t.patterns {
		if p := &t.patterns[i]; p.pattern.matches(text) && (best == nil || best.pattern.covers(p.pattern)) {
			best = p
		}
	}
	if best == nil {
		return -1, "", -1
	}
	clash = -1
	for i := range t.patterns {
		if p := &t.patterns[i]; p.value != best.value && p.pattern.matches(text) && !p.pattern.covers(best.pattern) {
			clash = p.value
		}
	}
	return best.value, best.source, clash
}

// Visit calls f with each text and pattern, as it was added, and its value.
func (t *Texts) Visit(f func(text string, value int)) {
	for text, v := range t.exact {
		f(text, v)
	}
	for i := range t.patterns {
		f(t.patterns[i].source, t.patterns[i].value)
	}
}

// Same reports whether two have the same texts and patterns, with values that are equal.
func (t *Texts) Same(other *Texts, equal func(a, b int) bool) bool {
	if len(t.exact) != len(other.exact) || len(t.patterns) != len(other.patterns) {
		return false
	}
	for text, v := range t.exact {
		if w, ok := other.exact[text]; !ok || !equal(v, w) {
			return false
		}
	}
	for _, p := range t.patterns {
		i := slices.IndexFunc(other.patterns, func(o textPattern) bool { return o.pattern == p.pattern })
		if i < 0 || !equal(p.value, other.patterns[i].value) {
			return false
		}
	}
	return true
}

// covers reports whether p matches all that other matches.
func (p pattern) covers(other pattern) bool { return p.matches(string(other)) }
