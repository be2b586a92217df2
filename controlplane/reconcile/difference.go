package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/as"
)

// renewBefore is how long before the AS would forget a resource its time is
// prolonged.
const renewBefore = 30 * 24 * time.Hour

// fields lists what a new resource has.
func (r *Reconciler) fields(d Desired) []Field {
	want := r.AS.Normalize(d.resource(""))
	var out []Field
	for _, f := range texts(want, as.Resource{}, want) {
		if f.Name != "name" {
			out = append(out, Field{Name: f.Name, To: f.To})
		}
	}
	if len(want.URIs) > 0 {
		out = append(out, Field{Name: "uris", To: want.URIs})
	}
	return append(out, Field{Name: "scopes", To: want.Scopes})
}

// texts lists the members of one value that differ. One that is as it was
// registered last has been changed by somebody else.
func texts(want, have, was as.Resource) []Field {
	var out []Field
	for _, f := range []struct{ name, from, to, was string }{
		{"name", have.Name, want.Name, was.Name},
		{"type", have.Type, want.Type, was.Type},
		{"icon_uri", have.IconURI, want.IconURI, was.IconURI},
		{"description", have.Description, want.Description, was.Description},
	} {
		if f.from != f.to {
			out = append(out, Field{Name: f.name, From: f.from, To: f.to, Drift: f.to == f.was})
		}
	}
	return out
}

// difference lists what differs, empty when nothing does. before is what was
// registered last, nil when that is not known.
func (r *Reconciler) difference(d Desired, have as.Resource, before *Desired) []Field {
	want := r.AS.Normalize(d.resource(have.ID))
	// No member of it equals a declared one, so nothing passes for drift.
	was := as.Resource{Name: "\x00", Type: "\x00", IconURI: "\x00", Description: "\x00", Scopes: []string{"\x00"}}
	if before != nil {
		was = r.AS.Normalize(before.resource(have.ID))
	}
	out := texts(want, have, was)
	lists := func(name string, from, to, was []string) {
		from = slices.Compact(slices.Sorted(slices.Values(from)))
		if !slices.Equal(from, to) {
			out = append(out, Field{Name: name, From: append([]string{}, from...), To: to, Drift: slices.Equal(to, was)})
		}
	}
	if want.URIs != nil {
		lists("uris", have.URIs, want.URIs, was.URIs)
	}
	lists("scopes", have.Scopes, want.Scopes, was.Scopes)
	if !have.ExpiresAt.IsZero() && have.ExpiresAt.Before(r.now().Add(renewBefore)) {
		out = append(out, Field{Name: "exp", From: have.ExpiresAt.UTC().Format(time.DateOnly), To: "prolonged"})
	}
	return out
}

// differs makes the step that brings a registration to what is declared, or nil.
func (r *Reconciler) differs(d Desired, have as.Resource, was *Desired) *Change {
	found := r.difference(d, have, was)
	if len(found) == 0 {
		return nil
	}
	c := &Change{Kind: Repair, Name: d.Name, ID: have.ID, Fields: found, desired: d}
	for _, f := range found {
		if !f.Drift {
			c.Kind = Update
		}
	}
	c.Warnings = scopeWarnings(d, have)
	return c
}

// scopeWarnings tells of scopes that are taken away: no AS says beforehand
// whether policies name them, and some drop them from the policies silently.
func scopeWarnings(d Desired, have as.Resource) []string {
	var gone []string
	for _, s := range have.Scopes {
		if !slices.Contains(d.Scopes, s) {
			gone = append(gone, s)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	return []string{fmt.Sprintf("policies at the AS that name %q lose it: to keep them, list it in the resource's scopes until they are changed", gone)}
}
