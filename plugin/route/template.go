package route

import (
	"errors"
	"slices"
	"strings"
)

// Errors of a template, for errors.Is. The text says what to write instead.
var (
	ErrTemplateSlash   = errors.New(`a path template begins with "/"`)
	ErrTemplateRest    = errors.New(`"**" stands for the rest of the path and must be the last segment`)
	ErrTemplateApart   = errors.New(`two variables of one segment must have literal text between them, as {a}-{b} has; "**" stands for whole segments`)
	ErrTemplateName    = errors.New(`a name in braces has letters, digits, "_" and "-", and stands once in a template; write a literal character "*" as %2A, "{" as %7B and "}" as %7D`)
	ErrTemplateLiteral = errors.New("a literal segment must be in canonical form (no empty or dot segment, no encoded slash, no matrix parameter)")
	ErrTemplateQuery   = errors.New("a path template has no query and no fragment")
	ErrPrefix          = errors.New(`a path prefix is whole segments of letters, digits, "-", "_", "~" and "." that do not end in a dot, such as "/tenants/a"`)
)

type segmentKind uint8

const (
	literal segmentKind = iota
	mixed               // literal text around variables
	named               // {name}
	single              // *
	rest                // **
)

type segment struct {
	kind  segmentKind
	text  string   // decoded literal, or pattern
	names []string // of the variables; "" is "*"
}

// Template is a parsed path template.
type Template struct {
	source   string
	segments []segment
	slash    bool // written with a trailing slash
}

// String returns the template as it was written.
func (t Template) String() string { return t.source }

// Names returns the names in braces, in their order.
func (t Template) Names() []string {
	var names []string
	for _, s := range t.segments {
		for _, name := range s.names {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// Literals has a bit for each of the first 64 segments that is literal, the lowest
// for the first.
func (t Template) Literals() uint64 {
	var bits uint64
	for i, s := range t.segments {
		if s.kind == literal && i < 64 {
			bits |= 1 << i
		}
	}
	return bits
}

// HasPatterns reports whether a segment has literal text around variables.
func (t Template) HasPatterns() bool {
	for _, s := range t.segments {
		if s.kind == mixed {
			return true
		}
	}
	return false
}

// Place finds a name in braces. It is not ok when the template does not have it, or
// has another variable in the same segment, so that where one ends could be read in
// two ways.
func (t Template) Place(name string) (p Place, ok bool) {
	for i, s := range t.segments {
		if len(s.names) != 1 || s.names[0] != name || name == "" {
			continue
		}
		p.Segment = i
		if s.kind == mixed {
			p.before, p.after = pattern(s.text).ends()
			p.extension = p.before == 0 && s.text[1] == '.'
		}
		return p, true
	}
	return p, false
}

// ParseTemplate reads a template: "/albums/{id}/photos/*", "/albums/{id}.json",
// "/static/**". Literal text may be written decoded ("/café") or encoded
// ("/caf%C3%A9").
func ParseTemplate(source string) (Template, error) {
	t := Template{source: source}
	if !strings.HasPrefix(source, "/") {
		return t, ErrTemplateSlash
	}
	if strings.ContainsAny(source, "?#") {
		return t, ErrTemplateQuery
	}
	path := source[1:]
	if path == "" {
		return t, nil
	}
	if strings.HasSuffix(path, "/") {
		t.slash = true
		path = path[:len(path)-1]
	}
	for text := range strings.SplitSeq(path, "/") {
		if n := len(t.segments); n > 0 && t.segments[n-1].kind == rest {
			return t, ErrTemplateRest
		}
		s, err := parseSegment(text)
		if err != nil {
			return t, err
		}
		for _, name := range s.names {
			if name != "" && t.has(name) {
				return t, ErrTemplateName
			}
		}
		t.segments = append(t.segments, s)
	}
	if t.slash && t.segments[len(t.segments)-1].kind == rest {
		return t, ErrTemplateRest
	}
	return t, nil
}

// ParsePrefix reads a prefix of paths: what is at it and below it matches the template.
// Its characters are those of which a path has one spelling, so that whoever compares the
// path as it is sent sees the same.
func ParsePrefix(source string) (Template, error) {
	t, err := ParseTemplate(source)
	if err != nil || t.slash || len(t.segments) == 0 || strings.Contains(source, "%") {
		return t, ErrPrefix
	}
	for _, s := range t.segments {
		if s.kind != literal || !isOrdinary(s.text) || strings.HasSuffix(s.text, ".") {
			return t, ErrPrefix
		}
	}
	t.segments = append(t.segments, segment{kind: rest})
	return t, nil
}

func (t Template) has(name string) bool {
	for _, s := range t.segments {
		if slices.Contains(s.names, name) {
			return true
		}
	}
	return false
}

func parseSegment(text string) (segment, error) {
	switch {
	case text == "**":
		return segment{kind: rest}, nil
	case isOrdinary(text) && segmentProblem(text) == "": // a configuration has tens of thousands
		return segment{text: text}, nil
	}
	literals, names, ok := cutVariables(text, true)
	if !ok {
		return segment{}, ErrTemplateName
	}
	s := segment{kind: mixed, names: names}
	for i, l := range literals {
		decoded, err := parseLiteral(l)
		if err != nil {
			return s, err
		}
		if i > 0 {
			s.text += variable
			if decoded == "" && i < len(names) {
				return s, ErrTemplateApart
			}
		}
		s.text += decoded
	}
	switch {
	case len(names) == 0:
		s.kind = literal
		if segmentProblem(s.text) != "" {
			return s, ErrTemplateLiteral
		}
	case s.text == variable && names[0] != "":
		s.kind = named
	case s.text == variable:
		s.kind = single
	}
	return s, nil
}

// parseLiteral decodes literal text, which may be a part of a segment.
func parseLiteral(text string) (string, error) {
	if isOrdinary(text) {
		return text, nil
	}
	// Written decoded or encoded: the canonical form is the encoded one.
	encoded, err := canonicalBytes(text)
	if err != nil || strings.ContainsAny(text, `;\`) || strings.Contains(encoded, "/") {
		return "", ErrTemplateLiteral
	}
	if problem, _, _ := strictScan("/a" + encoded); problem != "" {
		return "", ErrTemplateLiteral
	}
	return Unescape(encoded), nil
}

// isOrdinary reports whether every byte of a text stands for itself.
func isOrdinary(s string) bool {
	for i := range len(s) {
		if s[i] != '.' && !isUnreserved(s[i]) {
			return false
		}
	}
	return true
}
