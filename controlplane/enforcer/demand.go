package enforcer

import (
	"slices"
	"strconv"
	"strings"
)

// demandKind is what kind of thing a request must have, the laxest first.
type demandKind uint8

const (
	demandNothing    demandKind = iota
	demandToken                 // of an authenticated caller
	demandPermission            // any one on the resource
	demandScopes                // a permission on the resource, with scopes
	demandNever                 // nobody passes
)

// demand is what a request must have.
type demand struct {
	kind     demandKind
	resource string
	// need are alternatives, each a list of scopes that are needed together.
	need [][]string
}

// and is what both ask for: where that cannot be said, nobody passes.
func (d demand) and(o demand) demand {
	if d.kind > o.kind {
		d, o = o, d
	}
	switch {
	case d.kind <= demandToken || o.kind == demandNever:
		return o
	case d.resource != o.resource:
		return demand{kind: demandNever} // a token is judged by one resource's permissions
	case d.kind == demandPermission || Implies(o.need, d.need):
		return o
	case Implies(d.need, o.need):
		return d
	}
	const most = 8
	if len(d.need)*len(o.need) > most {
		return demand{kind: demandNever}
	}
	both := demand{kind: demandScopes, resource: d.resource}
	for _, a := range d.need {
		for _, b := range o.need {
			both.need = append(both.need, Unique(slices.Concat(a, b)))
		}
	}
	return both
}

// Implies reports whether whoever has one of the alternatives has one of the others.
func Implies(need, others [][]string) bool {
	return !slices.ContainsFunc(need, func(all []string) bool {
		return !slices.ContainsFunc(others, func(less []string) bool { return Subset(less, all) })
	})
}

// asks reports whether the demand is one that a condition can ask for.
func (d demand) asks() bool { return d.kind == demandNothing || d.kind == demandScopes }

// key is the same for demands that ask for the same.
func (d demand) key() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(int(d.kind)))
	if d.kind == demandPermission || d.kind == demandScopes {
		b.WriteString(strconv.Quote(d.resource))
	}
	for _, all := range d.need {
		b.WriteByte('|')
		for _, s := range slices.Sorted(slices.Values(all)) {
			b.WriteString(strconv.Quote(s))
		}
	}
	return b.String()
}

// Subset reports whether all of few are among many.
func Subset(few, many []string) bool {
	return !slices.ContainsFunc(few, func(s string) bool { return !slices.Contains(many, s) })
}

// Unique leaves each text once, in order.
func Unique(texts []string) []string {
	seen := make(map[string]bool, len(texts))
	var out []string
	for _, t := range texts {
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}
