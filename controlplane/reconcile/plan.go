package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/store"
)

var (
	// ErrConflict: the AS has a resource of that name that umagate did not create.
	ErrConflict = errors.New("the AS has a resource of that name that umagate did not register: rename the declared one, delete the other, or take it over with adopt: true")
	// ErrOtherSite: the AS has a resource of that name that is another site's.
	ErrOtherSite = errors.New("the AS has a resource of that name that another site has registered with the same client")
	// ErrGone: the AS has lost the resource since the plan was made.
	ErrGone = errors.New("the authorization server has lost the resource since the plan was made: the next run registers it anew")
	// ErrManyDeletions: more resources would be deleted than may be without asking.
	ErrManyDeletions = errors.New("more resources would be deleted than may be without being asked, so none is")
	// ErrAmbiguous: the AS has several resources of that name, and nothing tells
	// which one is meant.
	ErrAmbiguous = errors.New("the AS has several resources of that name: delete those that are not needed, or write the id: of the right one into umagate.yaml")
)

// Kind is what a [Change] does.
type Kind string

// The kinds of change.
const (
	Create   Kind = "create"   // register a new resource
	Adopt    Kind = "adopt"    // take over one that is at the AS: asked for, or its creation was cut short
	Update   Kind = "update"   // make the AS's registration equal to what is declared now
	Repair   Kind = "repair"   // put back what somebody changed at the AS
	Recreate Kind = "recreate" // the AS has lost it
	Delete   Kind = "delete"   // ours, no longer declared
	Conflict Kind = "conflict" // cannot be done; Err says why
)

// Change is one step of a [Plan].
type Change struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// ID is the resource_id, empty for what has none yet.
	ID string `json:"id,omitempty"`
	// Fields tells what changes; of a creation, what is registered.
	Fields []Field `json:"fields,omitempty"`
	// Warnings are what the operator may not expect of the step.
	Warnings []string `json:"warnings,omitempty"`
	// Err says why a conflict cannot be done; it wraps [ErrConflict], [ErrOtherSite]
	// or [ErrAmbiguous].
	Err error `json:"-"`

	desired Desired
	// announced: an earlier run announced the creation.
	announced bool
}

// Field is one member of a resource that a [Change] sets.
type Field struct {
	// Name is the member's name in umagate.yaml.
	Name string `json:"name"`
	// From and To are a string, or a []string for scopes; From is nil for a new
	// resource.
	From any `json:"from"`
	To   any `json:"to"`
	// Drift: what is declared is what was registered last, so somebody else has
	// changed it at the AS.
	Drift bool `json:"drift"`
}

// String gives the field for logs.
func (f Field) String() string {
	if f.From == nil {
		return fmt.Sprintf("%s: %q", f.Name, f.To)
	}
	return fmt.Sprintf("%s: %q → %q", f.Name, f.From, f.To)
}

// Plan is what would be done. Empty means in step.
type Plan []Change

// Doable reports whether the plan has a step that can be carried out.
func (p Plan) Doable() bool {
	return slices.ContainsFunc(p, func(c Change) bool { return c.Kind != Conflict })
}

// Count gives how many steps are of that kind.
func (p Plan) Count(kind Kind) int {
	n := 0
	for _, c := range p {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// Bounded gives the plan without its deletions if there are more than most, and
// how many were left out: a file that was cut short must not take the policies of
// all that is missing with it.
func (p Plan) Bounded(most int) (bounded Plan, withheld int) {
	n := p.Count(Delete)
	if n <= most {
		return p, 0
	}
	return slices.DeleteFunc(slices.Clone(p), func(c Change) bool { return c.Kind == Delete }), n
}

// Within reports whether every step of p that can be carried out is one of
// other, with the same effect.
func (p Plan) Within(other Plan) bool {
	shown := make(map[string]bool, len(other))
	for _, c := range other {
		shown[c.effect()] = true
	}
	return !slices.ContainsFunc(p, func(c Change) bool { return c.Kind != Conflict && !shown[c.effect()] })
}

// effect tells a step from those that do something else.
func (c Change) effect() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q %q", c.Kind, c.Name, c.ID)
	for _, f := range c.Fields {
		fmt.Fprintf(&b, " %s", f)
	}
	return b.String()
}

// registered lists the records that have an id, by name.
func registered(records []store.Resource) map[string]string {
	out := map[string]string{}
	for _, r := range records {
		if r.State == store.ResourceRegistered && r.ID != "" {
			out[r.Name] = r.ID
		}
	}
	return out
}
