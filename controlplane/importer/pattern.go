package importer

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/glob"
	"github.com/umagate/umagate/plugin/route"
)

// segment is one of a [pattern]. The last one may be empty: a slash at the end.
type segment struct {
	key  string // literal text, decoded, with variable for each variable
	text string // as a template has it
}

// pattern is which paths something speaks of, in what templates can say: segments,
// and with rest any number of them after those.
type pattern struct {
	segments []segment
	rest     bool
}

// literalSegment is text that stands for itself.
func literalSegment(text string, fold bool) segment {
	return segment{key: folded(unescaped(text), fold), text: literal(text)}
}

func folded(text string, fold bool) string {
	if fold {
		return strings.ToLower(text)
	}
	return text
}

// unescaped decodes a text, or leaves one that cannot be decoded.
func unescaped(text string) string {
	if decoded, err := url.PathUnescape(text); err == nil {
		return decoded
	}
	return text
}

// variableSegment is a whole segment.
func variableSegment(name string) segment {
	if name == "" {
		return segment{key: glob.Variable, text: "*"}
	}
	return segment{key: glob.Variable, text: "{" + name + "}"}
}

// key is the same for patterns of the same paths.
func (p *pattern) key() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		b.WriteString(s.key)
	}
	if p.rest {
		b.WriteString("/**")
	}
	return b.String()
}

// template is the pattern's text. Each name stands once in it.
func (p *pattern) template() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		b.WriteString(s.text)
	}
	if p.rest {
		b.WriteString("/**")
	}
	if b.Len() == 0 {
		return "/"
	}
	seen := map[string]bool{}
	return glob.Braces().ReplaceAllStringFunc(b.String(), func(text string) string {
		base := text[1 : len(text)-1]
		name := base
		for n := 2; seen[name]; n++ {
			name = fmt.Sprintf("%s_%d", base, n)
		}
		seen[name] = true
		return "{" + name + "}"
	})
}

// example is a request path that the pattern matches.
func (p *pattern) example() string {
	template := p.template()
	if p.rest {
		template = strings.TrimSuffix(template, "**") + "x"
	}
	return regexp.MustCompile(`\{[^{}]*\}|\*`).ReplaceAllString(template, "x")
}

// problem says why no template has the pattern.
func (p *pattern) problem() error {
	_, err := route.ParseTemplate(p.template())
	return err
}

// withSlash is the pattern with a slash at the end. "/" has one.
func (p *pattern) withSlash() pattern {
	if len(p.segments) == 0 {
		return *p
	}
	return pattern{segments: append(slices.Clone(p.segments), segment{})}
}

// turned is the pattern with a slash at the end where it has none, and without where
// it has one; nil where that makes no difference.
func (p *pattern) turned() *pattern {
	n := len(p.segments)
	if p.rest || n == 0 {
		return nil
	}
	if p.segments[n-1].key == "" {
		return &pattern{segments: p.segments[:n-1]}
	}
	with := p.withSlash()
	return &with
}

// takes reports whether the filter may judge every path of other by p.
func (p *pattern) takes(other *pattern) bool {
	if p.covers(other) {
		return true
	}
	turned := p.turned()
	return turned != nil && turned.covers(other)
}

// before reports whether the filter judges paths of a third pattern, which both take, by
// p rather than by other.
func (p *pattern) before(other, third *pattern) bool {
	if p == other {
		return false
	}
	if !other.takes(p) {
		return false
	}
	return !p.takes(other) || p.covers(third) && !other.covers(third)
}

// weight grows with how specific a pattern is: one that has all paths of another
// weighs less.
func (p *pattern) weight() int {
	n := 0
	for _, s := range p.segments {
		if s.key == "" {
			continue // a slash at the end
		}
		const perSegment = 10_000
		n += perSegment + len(s.key)
		if !strings.Contains(s.key, glob.Variable) {
			n += 2
		}
	}
	if !p.rest {
		n++
	}
	return n
}

// covers reports whether every path of other matches p.
func (p *pattern) covers(other *pattern) bool {
	if !p.rest && (other.rest || len(p.segments) != len(other.segments)) || len(p.segments) > len(other.segments) {
		return false
	}
	for i := range p.segments {
		if !glob.Covers(p.segments[i].key, other.segments[i].key) {
			return false
		}
	}
	return true
}

// meet gives the pattern of the paths that match both. There may be some that no
// pattern describes: then exact is false.
func (p *pattern) meet(other *pattern) (both pattern, some, exact bool) {
	short, long := p, other
	if len(short.segments) > len(long.segments) {
		short, long = long, short
	}
	if len(short.segments) < len(long.segments) && !short.rest {
		return both, false, false
	}
	exact = true
	for i := range long.segments {
		if i >= len(short.segments) {
			both.segments = append(both.segments, long.segments[i])
			continue
		}
		a, b := short.segments[i], long.segments[i]
		switch {
		case glob.Covers(a.key, b.key):
			if a.key == b.key && b.text == "*" {
				b = a // a name says more
			}
			both.segments = append(both.segments, b)
		case glob.Covers(b.key, a.key):
			both.segments = append(both.segments, a)
		case glob.Meet(a.key, b.key):
			exact = false
		default:
			return both, false, false
		}
	}
	both.rest = short.rest && long.rest
	if len(short.segments) == len(long.segments) {
		both.rest = p.rest && other.rest
	}
	return both, true, exact
}
