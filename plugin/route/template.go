package route

import (
	"errors"
	"strings"
)

// Errors of a template, for errors.Is. The text says what to write instead.
var (
	ErrTemplateSlash   = errors.New(`a path template begins with "/"`)
	ErrTemplateRest    = errors.New(`"**" stands for the rest of the path and must be the last segment`)
	ErrTemplateMixed   = errors.New(`"*" and "{name}" stand for one whole segment; write a literal character "*" as %2A, "{" as %7B and "}" as %7D`)
	ErrTemplateName    = errors.New(`a name in braces has letters, digits, "_" and "-", and stands once in a template`)
	ErrTemplateLiteral = errors.New("a literal segment must be in canonical form (no empty or dot segment, no encoded slash, no matrix parameter)")
	ErrTemplateQuery   = errors.New("a path template has no query and no fragment")
)

type segmentKind uint8

const (
	literal segmentKind = iota
	named               // {name}
	single              // *
	rest                // **
)

type segment struct {
	kind segmentKind
	text string // decoded literal, or name
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
		if s.kind == named {
			names = append(names, s.text)
		}
	}
	return names
}

// Position is the segment that a name in braces stands for, counted from 0, and
// -1 when the template does not have it.
func (t Template) Position(name string) int {
	for i, s := range t.segments {
		if s.kind == named && s.text == name {
			return i
		}
	}
	return -1
}

// ParseTemplate reads a template: "/albums/{id}/photos/*", "/static/**". Literal
// segments may be written decoded ("/café") or encoded ("/caf%C3%A9").
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
		if s.kind == named {
			for _, other := range t.segments {
				if other.kind == named && other.text == s.text {
					return t, ErrTemplateName
				}
			}
		}
		t.segments = append(t.segments, s)
	}
	if t.slash && t.segments[len(t.segments)-1].kind == rest {
		return t, ErrTemplateRest
	}
	return t, nil
}

func parseSegment(text string) (segment, error) {
	switch {
	case text == "**":
		return segment{kind: rest}, nil
	case text == "*":
		return segment{kind: single}, nil
	case strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}"):
		name := text[1 : len(text)-1]
		if !isName(name) {
			return segment{}, ErrTemplateName
		}
		return segment{kind: named, text: name}, nil
	case strings.ContainsAny(text, "*{}"):
		return segment{}, ErrTemplateMixed
	case text == "":
		return segment{}, ErrTemplateLiteral
	}
	if isOrdinary(text) {
		return segment{kind: literal, text: text}, nil
	}
	// Written decoded or encoded: the canonical form is the encoded one.
	encoded, err := canonicalBytes(text)
	if err != nil {
		return segment{}, ErrTemplateLiteral
	}
	if problem, _, _ := strictScan("/" + encoded); problem != "" || strings.ContainsAny(text, `;\`) {
		return segment{}, ErrTemplateLiteral
	}
	if strings.Contains(encoded, "/") {
		return segment{}, ErrTemplateLiteral
	}
	return segment{kind: literal, text: unescape(encoded)}, nil
}

// isOrdinary tells that a segment has nothing in it that has to be looked at: a
// configuration has tens of thousands.
func isOrdinary(s string) bool {
	dots := 0
	for i := range len(s) {
		if s[i] == '.' {
			dots++
		} else if !isUnreserved(s[i]) {
			return false
		}
	}
	return dots < len(s)
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
