package importer

import "slices"

// of is what an origin says of a method.
func (cs *claims) of(o *origin, method string) []*claim {
	if found := o.claims[method]; len(found) > 0 {
		return found
	}
	if cs.leftToRight && method != "" && cs.methods[method] {
		return nil // the source looks no further than at those that name it
	}
	if method == "HEAD" && len(o.claims[""]) == 0 && !cs.leftToRight && !cs.byMethod {
		return o.claims["GET"] // as the filter has it
	}
	return o.claims[""]
}

// choose gives what the source may mean for a method, of the origins that match.
func (cs *claims) choose(matching []*origin, method string) (found []*claim) {
	if cs.leftToRight {
		return cs.chooseFirst(matching, method)
	}
	for _, o := range matching {
		hidden := !cs.unranked && !o.loose && slices.ContainsFunc(matching, func(other *origin) bool {
			return !other.wide && (!cs.byMethod || len(cs.of(other, method)) > 0) && o.pattern.covers(&other.pattern) && !other.pattern.covers(&o.pattern)
		})
		if !hidden {
			found = append(found, cs.of(o, method)...)
		}
	}
	return found
}

// chooseFirst leaves out what comes after one that is certain to match.
func (cs *claims) chooseFirst(matching []*origin, method string) (found []*claim) {
	var named []*origin
	for _, o := range matching {
		if len(cs.of(o, method)) > 0 {
			named = append(named, o)
		}
	}
	for _, o := range named {
		if !slices.ContainsFunc(named, func(other *origin) bool { return !other.wide && other.precedes(o) && cs.reached(other, o) }) {
			found = append(found, cs.of(o, method)...)
		}
	}
	return found
}

// precedes reports that the source, from left to right, takes o before other. Of two
// steps of one rank and other texts it may take either; and of two that go on after
// any number of segments, too.
func (o *origin) precedes(other *origin) bool {
	for i := range min(len(o.steps), len(other.steps)) {
		a, b := o.steps[i], other.steps[i]
		if a.rank != b.rank {
			return a.rank > b.rank
		}
		if a.text != b.text || a.rank == rankRest && i+1 < min(len(o.steps), len(other.steps)) {
			return false
		}
	}
	return len(o.steps) > len(other.steps)
}

// reached reports that nothing keeps the source from o where it goes on after any
// number of segments, and other ends there: it never comes back from a step to try
// the next.
func (cs *claims) reached(o, other *origin) bool {
	from := len(other.steps)
	if from == 0 || from >= len(o.steps) || other.steps[from-1].rank != rankRest {
		return true
	}
	return !slices.ContainsFunc(cs.origins, func(third *origin) bool {
		if len(third.steps) <= from || !slices.Equal(third.steps[:from], other.steps) {
			return false
		}
		for i := from; i < min(len(o.steps), len(third.steps)); i++ {
			if a, b := o.steps[i], third.steps[i]; a != b {
				return b.rank >= a.rank
			}
		}
		return false
	})
}
