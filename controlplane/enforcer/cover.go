package enforcer

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/glob"
	"github.com/umagate/umagate/plugin/route"
)

// covers gives forms that take, together, what a path of a policy enforcer was
// written for, and what its matcher takes for it. None takes what the filter
// refuses anyway.
func covers(path string) []outline {
	out := intended(path)
	if root, ok := strings.CutSuffix(path, "*"); ok && strings.HasPrefix(root, "/") && !strings.Contains(root, "{") {
		at := strings.LastIndexByte(root, '/')
		var base outline
		if at > 0 {
			base = plain(root[:at])
		}
		if part := root[at+1:]; part == "" {
			out = append(out, base.andRest())
		} else {
			out = append(out, base.with(literalPiece(part)).andRest(), base.with(startingWith(route.Unescape(part))).andRest())
		}
	}
	// The matcher cuts off one character more than the "*".
	if root, ok := strings.CutSuffix(path, "*"); ok && len(root) > 1 && !strings.HasSuffix(root, "}") && (!strings.HasSuffix(root, "/") || strings.HasSuffix(root, "//")) {
		out = append(out, intendedWith(root[:len(root)-1], "{")...)
	}
	return distinct(out)
}

// verbatimOnly are characters by which a request is told to have the text of a
// path, and not what the path stands for.
const verbatimOnly = "{}*"

// verbatim gives forms of requests that have the very text of a path, with its
// braces and its "*".
func verbatim(path string) []outline {
	if !strings.HasPrefix(path, "/") || !strings.ContainsAny(path, "{*") {
		return nil
	}
	whole := outline{} // "*" is a text that a request may have, too
	for text := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		whole = whole.with(parsePiece(text, "{"))
	}
	return distinct(slices.Concat(intendedWith(path, ""), intendedWith(path, "{"), []outline{plain(path), whole}))
}

// plain reads a path with nothing but literal segments.
func plain(path string) outline {
	var f outline
	for i, text := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		if text == "" && i == strings.Count(strings.TrimPrefix(path, "/"), "/") {
			if len(f.pieces) == 0 {
				return outline{}
			}
			return f.slashed()
		}
		f = f.with(literalPiece(text))
	}
	return f
}

// intended reads a path as its writer meant it.
func intended(path string) []outline { return intendedWith(path, "{*") }

// intendedWith reads a path in which those characters begin a variable.
func intendedWith(path, variables string) []outline {
	path = strings.TrimSpace(path)
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	if scheme, rest, ok := strings.Cut(path, "://"); ok && !strings.Contains(scheme, "/") {
		_, path, _ = strings.Cut(rest, "/")
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var f outline
	for i, text := range segments {
		last := i == len(segments)-1
		switch {
		case last && text == "" && i == 0:
			return []outline{{}}
		case last && text == "":
			return []outline{f.slashed()}
		case text == "**" && strings.Contains(variables, "*"), last && text == "*":
			return []outline{f.andRest()}
		case last && strings.HasSuffix(text, "*"):
			part := parsePiece(strings.TrimSuffix(strings.TrimSuffix(text, "*"), "*"), variables)
			if !part.isLiteral() {
				return []outline{f.with(part).andRest()}
			}
			return []outline{f.with(part).andRest(), f.with(startingWith(part.key)).andRest()}
		}
		f = f.with(parsePiece(text, variables))
	}
	return []outline{f}
}

// parsePiece reads a segment in which those of "{*" begin a variable.
func parsePiece(text, variables string) fragment {
	p := fragment{raw: text}
	for {
		at := strings.IndexAny(text, variables)
		if at < 0 {
			p.key += route.Unescape(text)
			return p
		}
		p.key += route.Unescape(text[:at])
		name, rest := "", text[at+1:]
		if text[at] == '{' {
			var ok bool
			if name, rest, ok = strings.Cut(rest, "}"); !ok {
				p.key += route.Unescape(text[at:])
				return p
			}
			name = glob.Name(name)
		}
		text = rest
		if len(p.names) > 0 && strings.HasSuffix(p.key, glob.Variable) {
			continue // two with nothing between them are one
		}
		p.names, p.key = append(p.names, name), p.key+glob.Variable
	}
}

// braced gives the forms of requests with a brace where f has a variable that is not
// the last, or with a "*" at the end of any: the matcher loses its way there.
func braced(f outline) []outline {
	var variables []int
	for i, p := range f.pieces {
		if p.isVariable() {
			variables = append(variables, i)
		}
	}
	var out []outline
	put := func(at int, p fragment) {
		with := f
		with.pieces = slices.Clone(f.pieces)
		with.pieces[at] = p
		out = append(out, with)
	}
	for _, at := range variables {
		put(at, fragment{key: "*"})
		put(at, endingIn("*"))
	}
	for _, at := range variables[:max(0, len(variables)-1)] {
		for _, brace := range []string{"{", "}"} {
			for _, p := range []fragment{
				{key: brace}, endingIn(brace), startingWith(brace), {key: glob.Variable + brace + glob.Variable, names: []string{"", ""}},
			} {
				put(at, p)
			}
		}
	}
	return out
}

// distinct leaves each form once, and none that the filter would not take.
func distinct(forms []outline) []outline {
	seen := map[string]bool{}
	return slices.DeleteFunc(forms, func(f outline) bool {
		key := f.key()
		if seen[key] || !f.valid() {
			return true
		}
		seen[key] = true
		return false
	})
}

// ending is what a path such as "/reports/*.pdf" asks of the end of a request's
// path, wherever it is: segments from behind "/*". It is not ok for other paths.
func ending(path string) (pieces []fragment, ok bool) {
	if !strings.Contains(path, "/*.") || strings.HasSuffix(path, "*") {
		return nil, false
	}
	// It goes by the first "*." then, wherever in a segment that is.
	for i, text := range strings.Split(path[strings.Index(path, "*.")+1:], "/") {
		if i == 0 {
			pieces = append(pieces, endingIn(route.Unescape(text)))
			continue
		}
		pieces = append(pieces, literalPiece(text))
	}
	return pieces, true
}

// shortValues are the depths at which the matcher tells a value of one character from
// a longer one: it counts the value of "{id}*" twice, and a slash at the end has room
// for one character.
func shortValues(paths []string) (depths []int) {
	for _, path := range paths {
		if depth := strings.Count(path, "/") - 1; strings.HasSuffix(path, "}*") && !slices.Contains(depths, depth) {
			depths = append(depths, depth)
		}
	}
	return depths
}

// neverTaken reports whether the enforcer takes a path for no request.
func neverTaken(path string) bool {
	alone := Paths{path}
	for _, f := range distinct(intended(path)) {
		segments := []string{""}
		for _, p := range f.pieces {
			if p.isLiteral() && p.raw != "" {
				segments = append(segments, p.raw)
			} else {
				segments = append(segments, pathText(p.sample(anything)))
			}
		}
		if f.slash || len(f.pieces) == 0 && !f.rest {
			segments = append(segments, "")
		}
		target := strings.Join(segments, "/")
		if strings.ContainsAny(target, verbatimOnly) {
			continue
		}
		if alone.Choose(target) == 0 || f.rest && alone.Choose(target+"/"+anything) == 0 {
			return false
		}
	}
	return true
}

// Readable reports whether the enforcer does not lose its way in a path: by braces that
// are one too few or too many in a segment, or by very many segments.
func Readable(path string) bool {
	if strings.Count(path, "/") > maxSegments {
		return false
	}
	for text := range strings.SplitSeq(path, "/") {
		if strings.ContainsAny(glob.Braces().ReplaceAllString(text, ""), "{}") {
			return false
		}
	}
	return true
}

// maxSegments bounds the segments of a path.
const maxSegments = 32

// Templates gives the templates that take, together, what a path was written for.
func Templates(path string) []string {
	var out []string
	for _, f := range distinct(covers(path)) {
		out = append(out, f.template())
	}
	return out
}

// Meets reports whether a template of the filter may take a path that another one takes.
// It may be true where that is not so.
func Meets(template, other string) bool {
	for _, a := range intended(template) {
		for _, b := range intended(other) {
			if !a.apart(b) {
				return true
			}
		}
	}
	return false
}

// Key is the same for templates of the filter that take the same paths.
func Key(template string) string {
	var b strings.Builder
	for text := range strings.SplitSeq(strings.TrimPrefix(template, "/"), "/") {
		if text == "**" {
			b.WriteString("/\x01")
			continue
		}
		b.WriteString("/" + parsePiece(text, "{*").key)
	}
	return b.String()
}
