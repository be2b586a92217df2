package importer

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// prune takes out patterns that no source wrote and that change nothing: the same
// holds for what the filter would choose without them.
func prune(rules []*rule) []*rule {
	ordered := slices.Clone(rules)
	slices.SortStableFunc(ordered, func(a, b *rule) int { return cmp.Compare(a.pattern.weight(), b.pattern.weight()) })
	var kept []*rule
	for _, r := range ordered {
		if r.derived && (len(r.methods) == 0 || sameAsNext(r, kept)) {
			continue
		}
		kept = append(kept, r)
	}
	slices.SortFunc(kept, func(a, b *rule) int { return cmp.Compare(a.order, b.order) })
	return kept
}

// sameAsNext reports whether the same holds for each pattern that may be chosen for
// r's paths where r is not there.
func sameAsNext(r *rule, kept []*rule) bool {
	found := false
	for _, other := range kept {
		if !other.pattern.takes(&r.pattern) {
			continue
		}
		hidden := slices.ContainsFunc(kept, func(third *rule) bool {
			return third.pattern.takes(&r.pattern) && third.pattern.before(&other.pattern, &r.pattern)
		})
		if hidden {
			continue
		}
		if !sameOutcomes(r, other) {
			return false
		}
		found = true
	}
	return found
}

func sameOutcomes(a, b *rule) bool {
	return maps.EqualFunc(a.methods, b.methods, func(x, y *outcome) bool {
		return x.claims[0].resource == y.claims[0].resource && x.need.key() == y.need.key()
	})
}

// put resolves the claims and makes conditions of them.
func (d *Draft) put(cs *claims) {
	for _, r := range cs.resolve() {
		template := r.pattern.template()
		for _, method := range slices.Sorted(maps.Keys(r.methods)) {
			o := r.methods[method]
			d.tellMeeting(r, method, o)
			first := o.first()
			c := Condition{Place: first.place, Comment: first.comment, Paths: []string{template}}
			if method != "" {
				c.Methods = []string{method}
			}
			o.need.into(&c)
			c.withoutRoles(d.Dialect)
			name := first.resource
			switch {
			case o.unmatched:
				c.Comment = "matches nothing in the gateway"
			case o.differ():
				c.Comment = "what more than one asks for"
			case !o.need.public:
				c.TicketScopes = first.ticket
			}
			if cs.ofResource {
				name = o.resources()
			}
			d.resource(name).add(c)
		}
	}
	for i := range d.Resources {
		d.Resources[i].joinPaths()
	}
}

// first is the claim that names the resource: the first that is not public.
func (o *outcome) first() *claim {
	for _, c := range o.claims {
		if !c.need.public {
			return c
		}
	}
	return o.claims[0]
}

// differ reports whether the claims do not ask for the same.
func (o *outcome) differ() bool {
	return slices.ContainsFunc(o.claims, func(c *claim) bool { return c.need.key() != o.need.key() })
}

// resources names a resource for all that are guarded.
func (o *outcome) resources() string {
	var names []string
	for _, c := range o.claims {
		if !c.need.public {
			names = append(names, c.resource)
		}
	}
	if len(names) == 0 {
		return o.claims[0].resource
	}
	return strings.Join(enforcer.Unique(names), " + ")
}

// tellMeeting notes a request of which several things are said.
func (d *Draft) tellMeeting(r *rule, method string, o *outcome) {
	if o.unmatched {
		d.note(o.claims[0].place, "it holds for no method that another condition names: %s of %q matches nothing in the gateway, and is denied here, too", method, r.pattern.example())
		return
	}
	var places []string
	for _, c := range o.claims {
		places = append(places, c.place)
	}
	places = enforcer.Unique(places)
	request := strings.TrimSpace(method + " " + r.pattern.example())
	others := strings.Join(places[1:], ", ")
	switch {
	case len(places) < 2 && o.differ():
		d.noteNarrowed(places[0], "more than one thing is said there of a request such as %q: it needs what all of them ask for", request)
		return
	case len(places) < 2:
		return
	case o.differ():
		d.noteNarrowed(places[0], "a request such as %q may be this one or %s: it needs what all of them ask for", request, others)
		return
	}
	d.note(places[0], "a request such as %q may be this one or %s: they ask for the same, and are one condition", request, others)
}
