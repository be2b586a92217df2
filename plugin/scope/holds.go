package scope

import "math"

// maxTries bounds how long [Requirement.CanHold] looks.
const maxTries = 1 << 14

// CanHold reports whether some scopes satisfy the requirement. A rule for which
// that takes too long to find out counts as one that can. Only who writes a
// configuration asks: the filter evaluates, and asks [Requirement.Least] once.
func (r *Requirement) CanHold() bool {
	if r.rule == nil {
		return len(r.scopes) > 0
	}
	s := search{ops: r.rule, tries: maxTries}
	return s.holds()
}

// search tries scopes one by one: each is given, or not, or not decided yet.
type search struct {
	ops          []op
	known, given Set
	tries        int
}

// holds decides a scope that matters, both ways, until the rule has a value.
func (s *search) holds() bool {
	if s.tries--; s.tries < 0 {
		return true
	}
	v := s.partly(s.ops)
	if v.truth != perhaps {
		return v.truth == yes
	}
	bit := Set(1) << v.scope
	s.known |= bit
	s.given |= bit // most rules ask for scopes
	if s.holds() {
		return true
	}
	s.given &^= bit
	if s.holds() {
		return true
	}
	s.known &^= bit
	return false
}

// truth of a value of which not all scopes are decided.
type truth uint8

const (
	no truth = iota
	yes
	perhaps
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// part is what is known of a value.
type part struct {
	truth truth
	// exact: it is value.
	exact bool
	value float64
	// boolean: it is 0 or 1.
	boolean bool
	// scope is one that decides more, where truth is perhaps or the value is not exact.
	scope uint8
}

func exactly(v float64) part {
	return part{truth: truthOf(truthy(v)), exact: true, value: v, boolean: v == 0 || v == 1}
}

// likely is a boolean that is exact as soon as its truth is known.
func likely(t truth, scope uint8) part {
	if t == perhaps {
		return part{truth: perhaps, boolean: true, scope: scope}
	}
	return exactly(number(t == yes))
}

// partly is [value] with scopes that are not decided.
func (s *search) partly(ops []op) part {
	o := ops[0]
	rest := ops[1:o.size]
	switch o.code {
	case opLiteral:
		return exactly(o.literal)
	case opVar:
		if bit := Set(1) << o.index; s.known&bit != 0 {
			return exactly(number(s.given&bit != 0))
		}
		return likely(perhaps, o.index)
	case opAnd, opOr:
		return s.partlyAll(rest, truthOf(o.code == opOr))
	case opNot:
		v := s.partly(rest)
		if v.truth != perhaps {
			v.truth = truthOf(v.truth == no)
		}
		return likely(v.truth, v.scope)
	case opTruth:
		v := s.partly(rest)
		return likely(v.truth, v.scope)
	case opEqual, opUnequal:
		return s.partlySame(rest, o.code == opEqual)
	case opIf:
		return s.partlyIf(rest)
	}
	return exactly(0)
}

// partlyAll is that of and (ends with no) and or (ends with yes). They have the
// value of the operand that ends them, or of the last one.
func (s *search) partlyAll(rest []op, end truth) part {
	var out part
	open := false // an operand before may end it
	for len(rest) > 0 {
		v := s.partly(rest)
		rest = rest[rest[0].size:]
		switch {
		case !open:
			out = v
			if v.truth == end {
				return out
			}
			open = v.truth == perhaps
		case v.truth == end:
			// Whichever ends it, its truth is that.
			return part{truth: end, boolean: out.boolean && v.boolean, scope: out.scope}
		default:
			out.boolean = out.boolean && v.boolean
		}
	}
	if open {
		out.truth, out.exact = perhaps, false
	}
	return out
}

func (s *search) partlySame(rest []op, equal bool) part {
	a, b := s.partly(rest), s.partly(rest[rest[0].size:])
	switch {
	case a.exact && b.exact:
		same := a.value == b.value || math.IsNaN(a.value) && math.IsNaN(b.value)
		return exactly(number(same == equal))
	case a.exact && !a.boolean && b.boolean, b.exact && !b.boolean && a.boolean:
		return exactly(number(!equal)) // neither 0 nor 1
	case a.exact:
		return likely(perhaps, b.scope)
	}
	return likely(perhaps, a.scope)
}

func (s *search) partlyIf(rest []op) part {
	for len(rest) > 0 {
		v := s.partly(rest)
		next := rest[rest[0].size:]
		switch {
		case len(next) == 0: // the else branch
			return v
		case v.truth == yes:
			return s.partly(next)
		case v.truth == no:
			rest = next[next[0].size:]
			continue
		}
		then, otherwise := s.partly(next), s.partlyIf(next[next[0].size:])
		out := part{truth: perhaps, boolean: then.boolean && otherwise.boolean, scope: v.scope}
		if then.truth == otherwise.truth {
			out.truth = then.truth
		}
		return out
	}
	return exactly(math.NaN()) // no branch: null
}
