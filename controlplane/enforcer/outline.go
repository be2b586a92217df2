package enforcer

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/glob"
	"github.com/umagate/umagate/plugin/route"
)

// fragment is one segment of a template: literal text around variables.
type fragment struct {
	// key is decoded text, with [glob.Variable] for each variable.
	key string
	// names of the variables; "" is a "*".
	names []string
	// raw is a literal segment as the source spells it.
	raw string
}

func literalPiece(raw string) fragment { return fragment{key: route.Unescape(raw), raw: raw} }

func anyPiece() fragment { return endingIn("") }

// endingIn is "*" with text behind it, startingWith "*" with text before it.
func endingIn(text string) fragment { return fragment{key: glob.Variable + text, names: []string{""}} }

func startingWith(text string) fragment {
	return fragment{key: text + glob.Variable, names: []string{""}}
}

func (p fragment) isLiteral() bool { return len(p.names) == 0 }

// isVariable reports whether the piece takes every segment.
func (p fragment) isVariable() bool { return p.key == glob.Variable && len(p.names) == 1 }

// matches reports whether a decoded segment matches.
func (p fragment) matches(s string) bool { return glob.Covers(p.key, s) }

// sample is a segment that matches, with value for each variable.
func (p fragment) sample(value string) string { return strings.ReplaceAll(p.key, glob.Variable, value) }

// around is the text before the first variable and behind the last.
func (p fragment) around() (before, after string) {
	before, after, _ = strings.Cut(p.key, glob.Variable)
	return before, after[strings.LastIndex(after, glob.Variable)+1:]
}

// meet is what takes the segments that both take. It is not ok where there are
// none, or where no piece says them.
func (p fragment) meet(o fragment) (both fragment, ok bool) {
	switch {
	case p.isVariable() && !o.isVariable(), o.isLiteral() && p.matches(o.key):
		return o, true
	case p.isLiteral() && o.matches(p.key), o.isVariable():
		return p, true
	case len(p.names) != 1 || len(o.names) != 1:
		return fragment{}, false
	}
	before, after, ok := p.longest(o)
	return fragment{key: before + glob.Variable + after, names: p.names}, ok
}

// apart reports that no segment matches both. It may be false where that is so.
func (p fragment) apart(o fragment) bool {
	switch {
	case p.isLiteral():
		return !o.matches(p.key)
	case o.isLiteral():
		return !p.matches(o.key)
	}
	_, _, ok := p.longest(o)
	return !ok
}

// longest is how a segment begins and ends that matches both. It is not ok when none
// can.
func (p fragment) longest(o fragment) (before, after string, ok bool) {
	begin, end := p.around()
	otherBegin, otherEnd := o.around()
	before, begins := longer(begin, otherBegin, strings.HasPrefix)
	after, ends := longer(end, otherEnd, strings.HasSuffix)
	return before, after, begins && ends
}

func longer(a, b string, has func(s, part string) bool) (string, bool) {
	switch {
	case has(a, b):
		return a, true
	case has(b, a):
		return b, true
	}
	return "", false
}

// text is the piece as a template has it.
func (p fragment) text() string {
	var b strings.Builder
	for i, literal := range strings.SplitN(p.key, glob.Variable, len(p.names)+1) {
		b.WriteString(templateText(literal))
		switch {
		case i == len(p.names):
		case p.names[i] == "":
			b.WriteByte('*')
		default:
			b.WriteString("{" + p.names[i] + "}")
		}
	}
	return b.String()
}

// templateText writes decoded text so that a template has nothing else in it.
func templateText(s string) string { return encode(s, "*{}?#%") }

// pathText writes it as a request would.
func pathText(s string) string { return encode(s, "?#%\"<>^`{|}") }

// encode writes those characters, and what is no visible ASCII character, in their
// encoded form.
func encode(s, reserved string) string {
	return route.Escape(s, func(c byte) bool { return c <= ' ' || c >= 0x7F || strings.IndexByte(reserved, c) >= 0 })
}

// outline is a template in the making.
type outline struct {
	pieces []fragment
	rest   bool // "**" follows
	slash  bool // a slash at the end
}

func (f outline) with(more ...fragment) outline {
	return outline{pieces: append(slices.Clone(f.pieces), more...)}
}

func (f outline) andRest() outline { return outline{pieces: f.pieces, rest: true} }

func (f outline) slashed() outline { return outline{pieces: f.pieces, slash: true} }

// template writes the form. Names stand once in it.
func (f outline) template() string {
	var b strings.Builder
	seen := map[string]bool{}
	for _, p := range f.pieces {
		p.names = slices.Clone(p.names)
		for i, name := range p.names {
			if seen[name] {
				p.names[i] = ""
			}
			seen[name] = name != ""
		}
		b.WriteString("/" + p.text())
	}
	switch {
	case f.rest:
		b.WriteString("/**")
	case f.slash || len(f.pieces) == 0:
		b.WriteByte('/')
	}
	return b.String()
}

// valid reports whether the filter takes the template; a path that it cannot say is
// one that the filter refuses.
func (f outline) valid() bool {
	_, ok := f.parsed()
	return ok
}

// parsed is the template as the filter reads it, if it takes it.
func (f outline) parsed() (route.Template, bool) {
	if slices.ContainsFunc(f.pieces, func(p fragment) bool { return p.key == "" }) {
		return route.Template{}, false
	}
	template, err := route.ParseTemplate(f.template())
	return template, err == nil
}

// apart reports that no path matches both. It may be false where that is so.
func (f outline) apart(o outline) bool {
	if len(f.pieces) > len(o.pieces) {
		f, o = o, f
	}
	if len(f.pieces) < len(o.pieces) && !f.rest {
		return true
	}
	for i, p := range f.pieces {
		if p.apart(o.pieces[i]) {
			return true
		}
	}
	return false
}

// key is the same for forms that match the same paths.
func (f outline) key() string {
	var b strings.Builder
	for _, p := range f.pieces {
		b.WriteString("/" + p.key)
	}
	switch {
	case f.rest:
		b.WriteString("/\x01")
	case f.slash:
		b.WriteByte('/')
	}
	return b.String()
}

// meet is what takes the paths that both take.
func (f outline) meet(o outline) (both outline, ok bool) {
	if len(f.pieces) > len(o.pieces) {
		f, o = o, f
	}
	if len(f.pieces) < len(o.pieces) && !f.rest {
		return outline{}, false
	}
	both = outline{rest: f.rest && o.rest, slash: f.slash || o.slash}
	for i, p := range o.pieces {
		if i < len(f.pieces) {
			if p, ok = f.pieces[i].meet(p); !ok {
				return outline{}, false
			}
		}
		both.pieces = append(both.pieces, p)
	}
	return both, true
}
