package importer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/umagate/umagate/controlplane/glob"
)

// mostDead is how many patterns are told apart for one end.
const mostDead = 8

// addDeadEnds adds what denies the paths for which a source that never comes back from a
// segment finds nothing: of "/a/b/c" and "/a/?" it takes "b" for "/a/b", has no path
// that ends there, and does not try "?". It is added only where another path of the
// source matches, since all else is denied anyway.
func (cs *claims) addDeadEnds() {
	spoken := slices.Clone(cs.origins)
	for _, o := range spoken {
		for k := range o.steps {
			if o.steps[k].rank == rankRest {
				break // it tries the next segment
			}
			p, wide := o.upTo(k + 1)
			if n := len(p.segments); n > 0 && p.segments[n-1].key == "" {
				break
			}
			end := &origin{pattern: p, wide: wide, dead: true, steps: append(slices.Clone(o.steps[:k+1]), step{})}
			for _, m := range slices.Sorted(maps.Keys(o.claims)) {
				cs.addDeadEnd(end, m, o.claims[m][0], spoken)
			}
		}
	}
}

// addDeadEnd adds an end for a method where what others say is passed over.
func (cs *claims) addDeadEnd(end *origin, method string, of *claim, spoken []*origin) {
	var patterns []pattern
	for _, o := range spoken {
		if len(o.claims[method]) == 0 || o.excuses(end) {
			continue
		}
		both, some, exact := end.pattern.meet(&o.pattern)
		if !some {
			continue
		}
		if !exact || len(patterns) == mostDead {
			patterns = []pattern{end.pattern}
			break
		}
		if !slices.ContainsFunc(patterns, func(p pattern) bool { return p.covers(&both) }) {
			patterns = append(slices.DeleteFunc(patterns, func(p pattern) bool { return both.covers(&p) }), both)
		}
	}
	for _, p := range patterns {
		key := fmt.Sprint("end ", end.wide, " ", p.key(), " ", end.steps)
		if o := cs.known[key]; o != nil && o.claims[method] != nil {
			continue // the same end of several paths is one
		}
		cs.enter(key, origin{pattern: p, wide: end.wide, dead: true, steps: end.steps}, method, claim{
			place: of.place, resource: of.resource, need: nobody(), comment: "the gateway finds no path here, and does not come back to others",
		})
	}
}

// upTo is the pattern of what begins with the first segments of o, and whether it has
// more paths than the source's own.
func (o *origin) upTo(k int) (p pattern, wide bool) {
	if k > len(o.pattern.segments) { // the rest was not spelled
		return o.pattern, true
	}
	p = pattern{segments: slices.Clone(o.pattern.segments[:k]), rest: true}
	for i, s := range o.steps[:k] {
		wide = wide || s.rank == rankExpression && p.segments[i].key == glob.Variable
	}
	return p, wide
}

// excuses reports that a dead end takes nothing from o where both match: the source
// takes o first, or o goes on from there. An expression counts as one that matches, as
// wherever what it asks for is all that is needed.
func (o *origin) excuses(end *origin) bool {
	for i := range min(len(o.steps), len(end.steps)) {
		a, b := o.steps[i], end.steps[i]
		if a.rank != b.rank {
			return a.rank > b.rank
		}
		if a.text != b.text {
			return true
		}
	}
	return true
}

// withoutExcused leaves out the dead ends that one of those that match excuses.
func (cs *claims) withoutExcused(found, matching []*origin, method string) []*origin {
	return slices.DeleteFunc(slices.Clone(found), func(end *origin) bool {
		return end.dead && slices.ContainsFunc(matching, func(o *origin) bool {
			return !o.dead && len(cs.of(o, method)) > 0 && o.excuses(end)
		})
	})
}
