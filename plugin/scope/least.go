package scope

import "slices"

// Least returns scopes that together are enough, in the order of [Requirement.Scopes], none
// of which could be left out: what a client has to ask for. It returns none where no scope is
// needed, and where none can be found in time.
func (r *Requirement) Least() []string {
	if r.rule == nil {
		return r.scopes[:min(1, len(r.scopes))]
	}
	s := search{ops: r.rule, tries: maxTries}
	if !s.holds() || !r.Satisfied(s.given) {
		return nil
	}
	for i := range slices.Backward(r.scopes) { // the first that are named stay, as with one of
		if fewer := s.given &^ (1 << i); r.Satisfied(fewer) {
			s.given = fewer
		}
	}
	var out []string
	for i, name := range r.scopes {
		if s.given&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}
