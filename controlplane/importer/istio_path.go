package importer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/glob"
)

// istioForms reads a path of Istio: text, with "*" at its end or alone, or a template with
// {*} and {**}. It is false for what is none of those.
func istioForms(path string) ([]form, bool) {
	if path == "*" {
		return prefixForms(nil, "/", true, false), true
	}
	prefix, open := strings.CutSuffix(path, "*")
	if strings.Contains(path, "{") {
		if prefix, open = strings.CutSuffix(path, "{**}"); open && !strings.HasSuffix(prefix, "/") {
			return nil, false
		}
	}
	if !strings.HasPrefix(prefix, "/") {
		return nil, false
	}
	var before []segment
	for strings.Contains(prefix, "{") {
		text, after, more := strings.Cut(prefix[1:], "/")
		switch {
		case text == "{*}":
			before = append(before, variableSegment(""))
		case strings.ContainsAny(text, "{}"):
			return nil, false
		default:
			before = append(before, literalSegment(text, false))
		}
		if prefix = "/" + after; !more {
			return []form{{pattern: pattern{segments: before}}}, true
		}
	}
	return prefixForms(before, prefix, open, false), !strings.ContainsAny(prefix, "}*")
}

// endings are how deep a path may be that is known by its end.
const endings = 4

// istioEnding reads "*" with text behind it, for paths that are not deeper than endings.
func istioEnding(path string) (out []form) {
	first, rest, more := strings.Cut(strings.TrimPrefix(path, "*"), "/")
	for depth := range endings {
		before := slices.Repeat([]segment{variableSegment("")}, depth)
		if first != "" {
			before = append(before, segment{key: glob.Variable + first, text: "*" + literal(first)})
		}
		if more {
			out = append(out, prefixForms(before, "/"+rest, false, false)...)
		} else {
			out = append(out, form{pattern: pattern{segments: before}})
		}
	}
	return out
}

// allows enters that a rule lets pass who has what is needed, on paths that are certain to
// be the rule's.
func (p *istioPolicy) allows(place string, paths, without, methods []string, n need) {
	var not []form
	for _, path := range without {
		forms, ok := istioForms(path)
		if !ok {
			forms = []form{{pattern: pattern{rest: true}}}
			p.noteNarrowed(place, "notPaths: %q is taken for every path, so that the rule allows nothing", path)
		}
		not = append(not, forms...)
	}
	for _, path := range paths {
		forms, ok := istioForms(path)
		switch {
		case !ok && strings.HasPrefix(path, "*") && !strings.ContainsAny(path[1:], "*{}"):
			forms = istioEnding(path)
			p.noteNarrowed(place, "%q is allowed in paths of no more than %d segments before it", path, endings)
		case !ok:
			p.noteNarrowed(place, "%q cannot be written as a path, and is denied", path)
			continue
		}
		for _, s := range forms {
			s.loose = false
			if strings.Trim(s.pattern.key(), plain+"/*"+glob.Variable) != "" {
				p.noteNarrowed(place, "%q is denied: Istio compares its percent-encoding", path)
				continue
			}
			if slices.ContainsFunc(not, func(f form) bool { return f.pattern.covers(&s.pattern) }) {
				continue
			}
			p.allowed(place, path, s, methods, n)
		}
	}
	for _, f := range not {
		p.allowed(place, "not", f, methods, nobody())
	}
}

// allowed enters an alternative for a pattern.
func (p *istioPolicy) allowed(place, path string, f form, methods []string, n need) {
	if f.pattern.problem() != nil {
		p.note(place, "%q is left out: umagate refuses each request for it", path)
		return
	}
	for _, method := range methods {
		key := f.pattern.key() + " " + strconv.Quote(method)
		r := p.reading
		if have := r.allowed[key]; have != nil {
			p.either(place, &have.claim, n)
			continue
		}
		r.allowed[key] = &istioAllowed{form: f, method: method, claim: claim{place: place, resource: p.name, need: n}}
		r.order = append(r.order, key)
	}
}

// either makes one need of two of which each is enough. Where a condition cannot say so,
// the first stays.
func (p *istioPolicy) either(place string, have *claim, n need) {
	a, b := have.need, n
	switch {
	case b.implies(a):
	case a.implies(b):
		have.need, have.place = b, place
	case len(a.claims) == 1 && len(b.claims) == 1 && a.claims[0].Name == b.claims[0].Name:
		have.need.claims = claimsOfBoth([]Claim{{Name: a.claims[0].Name, Values: slices.Concat(a.claims[0].Values, b.claims[0].Values)}}, nil)
	default:
		p.noteNarrowed(place, "another rule allows the same paths by another claim: one condition cannot ask for one of two claims, and %s counts", have.place)
	}
}
