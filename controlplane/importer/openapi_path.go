package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/glob"
)

// form is one way in which templates say what a path of the source is.
type form struct {
	pattern pattern
	wide    bool // it has paths that the source's does not have
	loose   bool // and the source may prefer it to those that have some of its paths
}

// Bounds of the forms of one path.
const (
	mostSpellings = 64
	// mostRest is how many segments a variable in the middle of a path stands for, one
	// by one. What is deeper is covered as a whole.
	mostRest = 4
)

// element is a segment of a path as the source has it, or what stands for several.
type element struct {
	segment segment
	wide    bool
	// rest: any number of segments, least or more.
	rest     bool
	least    int
	optional bool
}

// pieceKind says what a variable in braces stands for.
type pieceKind uint8

const (
	pieceText     pieceKind = iota
	pieceVariable           // one segment, or a part of one
	pieceChecked            // the same, where the source lets pass only some values
	pieceRest               // any number of segments
	pieceRestOne            // one segment or more
	pieceOptional           // one segment or none
	pieceGone               // no part of the path
)

type piece struct {
	kind pieceKind
	text string // literal text, or a name
}

// pathReader reads the paths of OpenAPI documents, with what generators and gateways
// write into braces.
type pathReader struct {
	problems []string // what is not carried over exactly
	read     []string // what is read as the letter of the specification has it
}

// forms gives the forms of a path.
func (r *pathReader) forms(path string) []form {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	segments, wide := r.split(path[1:])
	var elements []element
	for _, s := range segments {
		if len(s) == 0 && len(segments) == 1 {
			break // "/" is no segment
		}
		elements = append(elements, r.element(s)...)
	}
	out := expand(elements)
	for i := range out {
		out[i].wide = out[i].wide || wide
	}
	return out
}

// split gives the segments in pieces. Braces may have a slash in them.
func (r *pathReader) split(path string) (segments [][]piece, cut bool) {
	segments = [][]piece{nil}
	add := func(p piece) { segments[len(segments)-1] = append(segments[len(segments)-1], p) }
	for path != "" {
		at := strings.IndexAny(path, "/{?#")
		if at < 0 {
			add(piece{text: path})
			break
		}
		if at > 0 {
			add(piece{text: path[:at]})
		}
		switch c := path[at]; c {
		case '/':
			segments, path = append(segments, nil), path[at+1:]
		case '?', '#':
			r.problems = append(r.problems, map[byte]string{
				'?': "the query is no part of a path: operations told apart by it are one",
				'#': "the fragment is no part of a path: operations told apart by it are one",
			}[c])
			return segments, true
		default:
			length := closing(path[at:])
			if length < 0 {
				r.read = append(r.read, fmt.Sprintf("%q is taken for text: a brace is not closed", path[at:]))
				add(piece{text: "{"})
				path = path[at+1:]
				continue
			}
			segments = r.braces(segments, path[at+1:at+length-1])
			path = path[at+length:]
		}
	}
	return segments, false
}

// closing gives the length of what stands in braces at the beginning of a text.
func closing(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// braces adds what stands in braces to the last segment. A variable with a pattern,
// "{name=projects/*}", may be several.
func (r *pathReader) braces(segments [][]piece, text string) [][]piece {
	name, sub, ok := strings.Cut(text, "=")
	if !ok || strings.ContainsAny(name, ":*+?") {
		p := r.variable(text)
		if p.kind != pieceGone {
			segments[len(segments)-1] = append(segments[len(segments)-1], p)
		}
		return segments
	}
	for i, s := range strings.Split(sub, "/") {
		if i > 0 {
			segments = append(segments, nil)
		}
		p := piece{text: s}
		switch s {
		case "*":
			p = piece{kind: pieceVariable, text: glob.Name(name)}
		case "**":
			p = piece{kind: pieceRest, text: glob.Name(name)}
		}
		segments[len(segments)-1] = append(segments[len(segments)-1], p)
	}
	return segments
}

// variable reads what stands in braces: {id}, {proxy+} (AWS), {path*}, {*path},
// {path:.*} (Jakarta, Spring, Flask), {path:path} (Starlette), {key...} (Go),
// {+rest} (RFC 6570), {id:[0-9]+}, {id?}.
func (r *pathReader) variable(text string) piece {
	name, check, checked := strings.Cut(strings.TrimSpace(text), ":")
	name, check = strings.TrimSpace(name), strings.TrimSpace(check)
	p := piece{kind: pieceVariable, text: glob.Name(strings.Trim(name, "*+.?/;&#"))}
	switch {
	case strings.HasPrefix(name, "?"), strings.HasPrefix(name, "&"), strings.HasPrefix(name, "#"):
		r.read = append(r.read, fmt.Sprintf("%q is no part of the path", "{"+text+"}"))
		return piece{kind: pieceGone}
	case checked && (check == ".+" || check == "(.+)"):
		p.kind = pieceRestOne
	case checked && check == "[^/]+":
	case checked && mayHaveSlash(check):
		p.kind = pieceRest
	case checked:
		p.kind = pieceChecked
		r.problems = append(r.problems, fmt.Sprintf("%q takes some segments only, and a template takes any", "{"+text+"}"))
	case strings.HasSuffix(name, "+"):
		p.kind = pieceRestOne
	case strings.HasSuffix(name, "..."), strings.HasSuffix(name, "*"), strings.HasPrefix(name, "*"),
		strings.HasPrefix(name, "+"), strings.HasPrefix(name, "/"), strings.HasPrefix(name, ";"), strings.HasPrefix(name, "."):
		p.kind = pieceRest
	case strings.HasSuffix(name, "?"):
		p.kind = pieceOptional
	}
	return p
}

// mayHaveSlash reports whether what a check lets pass may be more than one segment.
func mayHaveSlash(check string) bool {
	if check == "path" {
		return true
	}
	outside := regexp.MustCompile(`\[[^\]]*\]|\\\.`).ReplaceAllString(check, "")
	return strings.ContainsAny(outside, "./") || regexp.MustCompile(`\[\^[^/\]]*\]|\[[^\]]*/[^\]]*\]|\\[SDW]`).MatchString(check) &&
		!regexp.MustCompile(`^\[\^[^\]]*/[^\]]*\][+*]?$`).MatchString(check)
}

// element gives what the pieces of a segment are.
func (r *pathReader) element(pieces []piece) []element {
	whole := len(pieces) == 1
	var key, text strings.Builder
	out := element{}
	names := 0
	for _, p := range pieces {
		switch p.kind {
		case pieceText:
			if strings.Contains(p.text, "*") {
				r.read = append(r.read, fmt.Sprintf("%q is the character in OpenAPI, no wildcard", "*"))
			}
			key.WriteString(unescaped(p.text))
			text.WriteString(literal(p.text))
			continue
		case pieceRest, pieceRestOne:
			if whole {
				out = element{segment: variableSegment(p.text), rest: true}
				if p.kind == pieceRestOne {
					out.least = 1
				}
				return []element{out}
			}
			r.problems = append(r.problems, fmt.Sprintf("%q may be more than one segment, and is one with text beside it: everything below is covered", p.text))
			return []element{{segment: variableSegment(p.text), wide: true}, {rest: true, wide: true}}
		case pieceOptional:
			out.optional = whole
			out.wide = out.wide || !whole
		case pieceChecked:
			out.wide = true
		case pieceVariable, pieceGone:
		}
		names++
		key.WriteString(glob.Variable)
		text.WriteString("{" + p.text + "}")
	}
	out.segment = segment{key: key.String(), text: text.String()}
	if names > 0 && !whole {
		single := pattern{segments: []segment{out.segment}}
		if err := single.problem(); err != nil {
			r.problems = append(r.problems, fmt.Sprintf("%q cannot be matched (%v): any segment is taken", out.segment.text, err))
			out.segment, out.wide = variableSegment(firstName(pieces)), true
		}
	}
	return []element{out}
}

func firstName(pieces []piece) string {
	i := slices.IndexFunc(pieces, func(p piece) bool { return p.kind != pieceText })
	return pieces[i].text
}

// expand writes what stands for several segments in forms of its own.
func expand(elements []element) []form {
	out := []form{{}}
	for i, e := range elements {
		var next []form
		for _, f := range out {
			if f.pattern.rest {
				next = append(next, f)
				continue
			}
			next = append(next, f.with(e, i == len(elements)-1)...)
		}
		if len(next) > mostSpellings {
			for j := range out {
				out[j].pattern.rest, out[j].wide = true, true
			}
			return out
		}
		out = next
	}
	return out
}

// with adds an element to a form.
func (f form) with(e element, last bool) []form {
	add := func(n int, rest, wide bool) form {
		s := slices.Clone(f.pattern.segments)
		for i := range n {
			one := e.segment
			if i > 0 || one.key == "" {
				one = variableSegment("")
			}
			s = append(s, one)
		}
		return form{pattern: pattern{segments: s, rest: rest}, wide: f.wide || e.wide || wide}
	}
	switch {
	case e.rest && last && e.least > 0:
		return []form{add(1, true, false)}
	case e.rest && last:
		// Nothing after the slash is a path of it, too.
		base := add(0, false, false)
		base.pattern = base.pattern.withSlash()
		return []form{add(1, true, false), base}
	case e.rest:
		var out []form
		for n := e.least; n <= mostRest; n++ {
			out = append(out, add(n, false, false))
		}
		return append(out, add(mostRest+1, true, true))
	case e.optional:
		return []form{add(1, false, false), add(0, false, false)}
	}
	s := append(slices.Clone(f.pattern.segments), e.segment)
	return []form{{pattern: pattern{segments: s}, wide: f.wide || e.wide}}
}
