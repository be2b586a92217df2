package enforcer

import (
	"maps"
	"slices"

	"github.com/umagate/umagate/plugin/route"
)

// refine adds forms that tell apart what one does not. It reports whether there is
// a new one.
func (j *judge) refine(unmatched *region) bool {
	added := false
	regions := slices.Clone(j.forms)
	if !slices.ContainsFunc(j.demands(None), func(d demand) bool { return d.kind == demandNever }) {
		regions = append(regions, unmatched)
	}
	for _, r := range regions {
		if len(r.slashed) > 0 && keyOf(j.all(r.examples, r.slashed)) != keyOf(j.all(r.examples)) && j.add(outline{pieces: r.outline.pieces, slash: !r.outline.slash}, true) {
			added = true
		}
		if !j.differ(r.examples) {
			continue
		}
		for _, outcome := range slices.Sorted(maps.Keys(r.examples)) {
			if outcome < 0 {
				continue
			}
			forms := j.covers[outcome]
			// What is public by its ending alone stays guarded below another path.
			if !j.public(outcome) && (!r.outline.rest || !r.derived || len(r.outline.pieces) < j.deepest) {
				forms = slices.Concat(forms, below(r.outline, j.endings[outcome], j.deepest))
			}
			for _, f := range forms {
				if both, ok := r.outline.meet(f); ok && both.key() != r.outline.key() && j.add(both, true) {
					added = true
				}
			}
		}
	}
	return added
}

// below are the forms of paths below f that end so, and of all that are deeper.
func below(f outline, end []fragment, deepest int) []outline {
	if len(end) == 0 {
		return nil
	}
	if !f.rest {
		if len(end) > len(f.pieces) {
			return nil
		}
		return []outline{{pieces: slices.Concat(f.pieces[:len(f.pieces)-len(end)], end)}}
	}
	base := outline{pieces: f.pieces}
	var out []outline
	for range deepest {
		out = append(out, base.with(end...))
		base = base.with(anyPiece())
	}
	for range len(end) {
		base = base.with(anyPiece())
	}
	return append(out, base.andRest())
}

// drop takes out forms without which the same holds: those that were made to tell
// requests apart, and those that deny.
func (j *judge) drop() {
	j.forms = slices.DeleteFunc(j.forms, func(r *region) bool { return len(r.witnesses) == 0 })
	for _, r := range slices.Backward(slices.Clone(j.forms)) {
		if j.known[r.outline.key()] == nil || !j.mayDrop(r) {
			continue
		}
		// The filter takes the one with a slash for a path without, and the other way
		// round: neither may be needed because the other is there.
		twin := j.known[outline{pieces: r.outline.pieces, slash: !r.outline.slash}.key()]
		if !r.outline.rest && twin != nil && j.mayDrop(twin) && j.dropped(r, twin) {
			continue
		}
		j.dropped(r)
	}
}

func (j *judge) mayDrop(r *region) bool {
	return r.derived || !j.keep && keyOf(j.all(r.examples, r.slashed)) == keyOf(j.demands(Fault))
}

// dropped takes forms out if the same holds without them, and reports whether it
// does.
func (j *judge) dropped(gone ...*region) bool {
	table := j.table(gone...)
	var moved []func() // in order, for the examples that are told
	for _, r := range gone {
		asked := keyOf(j.all(r.examples, r.slashed))
		for _, at := range r.witnesses {
			path, err := route.ParsePath(at.raw, "", false)
			if err != nil {
				continue
			}
			holds := keyOf(j.demands(None))
			if value := matched(table, path); value >= 0 {
				next := j.forms[value]
				moved = append(moved, func() { next.take(at) })
				holds = keyOf(j.all(next.examples, next.slashed))
			}
			if holds != asked {
				return false
			}
		}
	}
	for _, move := range moved {
		move()
	}
	j.forms = slices.DeleteFunc(j.forms, func(r *region) bool { return slices.Contains(gone, r) })
	for _, r := range gone {
		delete(j.known, r.outline.key())
	}
	return true
}
