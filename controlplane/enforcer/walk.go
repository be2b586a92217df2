package enforcer

import (
	"slices"
	"strings"
)

// walker makes requests that show every difference that the enforcer or the filter
// can make: along each form, with each literal, a text of no form, and the endings,
// and some segments further.
type walker struct {
	judge *judge
	emit  func(*witness) bool
	count int
}

// anything is a segment that stands for every other one.
const anything = "anything"

// unheard is one of the candidates: a segment, and a value of variables, that the forms
// do not tell from one with a character that none of them has.
func (j *judge) unheard(candidates ...string) (string, error) {
	pieces := []fragment{anyPiece()}
	seen := map[string]bool{}
	for _, r := range j.forms {
		for _, p := range r.outline.pieces {
			if text := p.text(); !p.isVariable() && !seen[text] {
				seen[text] = true
				pieces = append(pieces, p)
			}
		}
	}
	const unused = "\x01"
	for _, s := range candidates {
		heard := slices.ContainsFunc(pieces, func(p fragment) bool {
			return !p.isLiteral() && slices.ContainsFunc(pieces, func(q fragment) bool { return q.matches(p.sample(s)) != q.matches(p.sample(unused)) })
		})
		if !heard {
			return s, nil
		}
	}
	return "", errUnheard
}

// token is a segment as a request has it.
type token struct{ raw, decoded string }

func (w *walker) run() bool {
	alive := make([]outline, 0, len(w.judge.forms))
	for _, r := range w.judge.forms {
		alive = append(alive, r.outline)
	}
	further := 2
	for _, end := range w.judge.endings {
		if len(end) > 0 {
			further = w.judge.deepest + len(end) + 2
		}
	}
	return w.walk("", nil, alive, further)
}

// walk tries what begins with raw, of which alive are the forms that it matches so
// far. further is how many segments are tried beyond the forms'.
func (w *walker) walk(raw string, segments []string, alive []outline, further int) bool {
	depth := len(segments)
	if !w.try(raw, segments) || !w.tryEndings(raw, segments, alive) {
		return false
	}
	tokens := w.tokens(alive, depth)
	if !slices.ContainsFunc(alive, func(f outline) bool { return len(f.pieces) > depth }) {
		if further == 0 {
			return true
		}
		further--
	}
	for _, t := range tokens {
		var next []outline
		for _, f := range alive {
			if depth < len(f.pieces) && f.pieces[depth].matches(t.decoded) || depth >= len(f.pieces) && f.rest {
				next = append(next, f)
			}
		}
		if !w.walk(raw+"/"+t.raw, append(slices.Clip(segments), t.decoded), next, further) {
			return false
		}
	}
	return true
}

func (w *walker) try(raw string, segments []string) bool {
	w.count++
	if w.count > maxWitnesses {
		return false
	}
	if raw == "" {
		return w.emit(&witness{raw: "/"})
	}
	return w.emit(&witness{raw: raw, segments: segments}) && w.emit(&witness{raw: raw + "/", segments: segments, slash: true})
}

// tryEndings tries each ending behind raw, and each with what else the segment may
// be.
func (w *walker) tryEndings(raw string, segments []string, alive []outline) bool {
	for _, end := range w.judge.endings {
		if len(end) == 0 {
			continue
		}
		first := []fragment{end[0]}
		for _, f := range alive {
			if len(segments) < len(f.pieces) && !f.pieces[len(segments)].isVariable() {
				if both, ok := f.pieces[len(segments)].meet(end[0]); ok {
					first = append(first, both)
				}
			}
		}
		for _, p := range first {
			longer, all := raw+"/"+pathText(p.sample(w.judge.other)), append(slices.Clip(segments), p.sample(w.judge.other))
			for _, q := range end[1:] {
				longer, all = longer+"/"+pathText(q.sample(w.judge.other)), append(all, q.sample(w.judge.other))
			}
			if !w.try(longer, all) {
				return false
			}
		}
	}
	return true
}

// tokens are the segments that may follow.
func (w *walker) tokens(alive []outline, depth int) []token {
	var out []token
	seen := map[string]bool{}
	add := func(t token) {
		if !seen[t.raw] {
			seen[t.raw] = true
			out = append(out, t)
		}
	}
	text := func(s string) { add(token{pathText(s), s}) }
	text(w.judge.other)
	short := slices.Contains(w.judge.shortAt, depth)
	if short {
		text(w.judge.short)
	}
	var mixed []fragment
	for _, f := range alive {
		if depth >= len(f.pieces) {
			continue
		}
		switch p := f.pieces[depth]; {
		case p.isLiteral():
			text(p.key)
			if p.raw != "" && !strings.ContainsAny(p.raw, "?#") {
				add(token{p.raw, p.key})
			}
		case !p.isVariable():
			text(p.sample(w.judge.other))
			if short {
				text(p.sample(w.judge.short))
			}
			mixed = append(mixed, p)
		}
	}
	const most = 12 // of pairs, so that the work grows with the forms and not with their square
	for i, p := range mixed[:min(len(mixed), most)] {
		for _, q := range mixed[:i] {
			if both, ok := p.meet(q); ok {
				text(both.sample(w.judge.other))
			}
		}
	}
	return out
}
