package sync

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

// ErrConflict says that the AS has a resource of that name that umagate did not
// create.
var ErrConflict = errors.New("the AS has a resource of that name that umagate did not register: rename the declared one, delete the other, or write its id into umagate.yaml")

// Desired is one declared resource.
type Desired struct {
	Name    string   `json:"name"`
	Type    string   `json:"type,omitempty"`
	IconURI string   `json:"icon_uri,omitempty"`
	Scopes  []string `json:"scopes"`
}

// normal has the scopes sorted and each once, so that equal ones encode alike.
func (d Desired) normal() Desired {
	d.Scopes = slices.Compact(slices.Sorted(slices.Values(d.Scopes)))
	if d.Scopes == nil {
		d.Scopes = []string{}
	}
	return d
}

func (d Desired) spec() (json.RawMessage, error) {
	encoded, err := json.Marshal(d.normal())
	if err != nil {
		return nil, fmt.Errorf("sync: encode resource %q: %w", d.Name, err)
	}
	return encoded, nil
}

func (d Desired) resource(id string) as.Resource {
	return as.Resource{ID: id, Name: d.Name, Type: d.Type, IconURI: d.IconURI, Scopes: d.normal().Scopes}
}

// Kind is what a [Change] does.
type Kind string

// The kinds of change.
const (
	Create   Kind = "create"   // register a new resource
	Adopt    Kind = "adopt"    // record one whose creation was cut short
	Update   Kind = "update"   // make the AS's registration equal to the declared
	Recreate Kind = "recreate" // the AS has lost it
	Delete   Kind = "delete"   // ours, no longer declared
	Conflict Kind = "conflict" // cannot be done; see ErrConflict
)

// Change is one step of a [Plan].
type Change struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// ID is the resource_id, empty for what has none yet.
	ID string `json:"id,omitempty"`
	// Fields tells what an update changes, "scopes: [view] → [edit view]".
	Fields []string `json:"fields,omitempty"`

	desired Desired
	// announced: an earlier run announced the creation.
	announced bool
}

// Plan is what would be done. Empty means in step.
type Plan []Change

// Doable reports whether the plan has a step that can be carried out.
func (p Plan) Doable() bool {
	return slices.ContainsFunc(p, func(c Change) bool { return c.Kind != Conflict })
}

// difference lists what differs, empty when nothing does.
func difference(want Desired, have as.Resource) []string {
	var out []string
	add := func(name, from, to string) {
		if from != to {
			out = append(out, fmt.Sprintf("%s: %q → %q", name, from, to))
		}
	}
	add("name", have.Name, want.Name)
	add("type", have.Type, want.Type)
	add("icon_uri", have.IconURI, want.IconURI)
	has := slices.Sorted(slices.Values(have.Scopes))
	if wants := want.normal().Scopes; !slices.Equal(has, wants) {
		out = append(out, fmt.Sprintf("scopes: %v → %v", has, wants))
	}
	return out
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
