package importer

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/glob"
)

// chiForms reads a pattern of chi, Gatekeeper's router: "*" at the end is any text that
// follows, "{name}" is a segment or a part of one, "{name:expression}" one that the
// expression matches. Everything else stands for itself, with the letters of the request.
func chiForms(uri string) (forms []form, inexact string) {
	prefix, open := strings.CutSuffix(uri, "*")
	var before []segment
	rest, wide, loose := prefix, false, false
	for strings.Contains(rest, "{") && inexact == "" {
		text, after, more := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		s, kind := chiSegment(text)
		if kind == chiOther || !more && open || (&pattern{segments: []segment{s}}).problem() != nil {
			at := strings.IndexAny(rest, "{}*")
			rest, open, inexact = rest[:at], true, "whatever begins like it may be meant"
			break
		}
		before, loose = append(before, s), loose || kind == chiSome
		if rest = "/" + after; !more {
			forms = []form{{pattern: pattern{segments: before}}}
			break
		}
	}
	if strings.ContainsAny(rest, "}*") {
		rest, open, inexact = rest[:strings.IndexAny(rest, "}*")], true, "whatever begins like it may be meant"
	}
	if forms == nil {
		forms = prefixForms(before, rest, open, false)
	}
	if loose && inexact == "" {
		inexact = "not every value of its parameters is one"
	}
	for _, s := range before {
		wide = wide || strings.Trim(s.key, plain+glob.Variable) != ""
	}
	wide = wide || inexact != "" || strings.Trim(rest, plain+"/") != ""
	for i := range forms {
		forms[i].wide, forms[i].loose = wide, inexact != ""
	}
	return forms, inexact
}

type chiKind uint8

const (
	chiExact chiKind = iota // what it is here is what chi takes
	chiSome                 // chi takes some of it
	chiOther                // it is no segment
)

// chiSegment reads a segment with parameters. One with text around it ends for chi where
// that text begins first, so that not every segment of the kind is one.
func chiSegment(text string) (segment, chiKind) {
	if name, ok := strings.CutPrefix(text, "{"); ok {
		if name, ok = strings.CutSuffix(name, "}"); ok && !strings.ContainsAny(name, "{}") {
			kind := chiExact
			if strings.Contains(name, ":") {
				kind = chiSome
			}
			return variableSegment(""), kind
		}
	}
	var out segment
	kind, begins := chiExact, true
	for text != "" {
		literal, after, ok := strings.Cut(text, "{")
		name, next, ends := strings.Cut(after, "}")
		if ok && (!ends || literal == "" && !begins || strings.ContainsAny(name, "{:*")) || strings.ContainsAny(literal, "}*") {
			return out, chiOther
		}
		s := literalSegment(literal, false)
		out.key, out.text = out.key+s.key, out.text+s.text
		if text, begins = next, false; ok {
			out.key, out.text, kind = out.key+glob.Variable, out.text+"*", chiSome
		}
	}
	return out, kind
}

// plain are characters that a request has as they are: of others, chi compares the
// percent-encoding.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// textsOf gives texts that an expression matches, where they can be counted. They are all
// that it matches if exact; otherwise it is found within others, too.
func textsOf(expression string) (texts []string, exact bool) {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, false
	}
	parts := []*syntax.Regexp{parsed}
	if parsed.Op == syntax.OpConcat {
		parts = parsed.Sub
	}
	begins := len(parts) > 0 && parts[0].Op == syntax.OpBeginText
	if begins {
		parts = parts[1:]
	}
	ends := len(parts) > 0 && parts[len(parts)-1].Op == syntax.OpEndText
	if ends {
		parts = parts[:len(parts)-1]
	}
	texts, ok := product(parts)
	if !ok {
		return nil, false
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	without := withoutEmpty(texts)
	return without, begins && ends && len(without) == len(texts)
}

// mostTexts bounds how many texts an expression is taken for.
const mostTexts = 64

func product(parts []*syntax.Regexp) (out []string, ok bool) {
	out = []string{""}
	for _, p := range parts {
		of, ok := textsOfPart(p)
		if !ok || len(out)*len(of) > mostTexts {
			return nil, false
		}
		var next []string
		for _, a := range out {
			for _, b := range of {
				next = append(next, a+b)
			}
		}
		out = next
	}
	return out, true
}

func textsOfPart(p *syntax.Regexp) (out []string, ok bool) {
	switch p.Op { //nolint:exhaustive // every other one has texts without end, or looks around
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(p.Rune)}, p.Flags&syntax.FoldCase == 0
	case syntax.OpCapture, syntax.OpConcat:
		return product(p.Sub)
	case syntax.OpQuest:
		out, ok = product(p.Sub)
		return append(out, ""), ok
	case syntax.OpAlternate:
		for _, s := range p.Sub {
			of, is := textsOfPart(s)
			if out = append(out, of...); !is || len(out) > mostTexts {
				return nil, false
			}
		}
		return out, true
	case syntax.OpCharClass:
		for i := 0; i+1 < len(p.Rune); i += 2 {
			for c := p.Rune[i]; c <= p.Rune[i+1]; c++ {
				if out = append(out, string(c)); len(out) > mostTexts {
					return nil, false
				}
			}
		}
		return out, true
	}
	return nil, false
}
