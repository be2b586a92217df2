package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

// TestAnotherSitesResource: two sites may share a client, and so what is found by
// name. What another site has a record of is neither taken over nor removed.
func TestAnotherSitesResource(t *testing.T) {
	t.Parallel()
	albums := reconcile.Desired{Name: "albums", Scopes: []string{"view"}}
	adopt := albums
	adopt.Adopt = true
	pending := store.Resource{Name: "albums", State: store.ResourcePending}
	tests := []struct {
		name    string
		desired []reconcile.Desired
		record  *store.Resource
		kind    reconcile.Kind
	}{
		{"asked for", []reconcile.Desired{adopt}, nil, reconcile.Conflict},
		{"its own creation was cut short", []reconcile.Desired{albums}, &pending, reconcile.Conflict},
		{"neither", []reconcile.Desired{albums}, nil, reconcile.Conflict},
		{"no longer declared, its creation was cut short", nil, &pending, reconcile.Delete},
		{"no longer declared, recorded by both", nil, &store.Resource{Name: "albums", State: store.ResourceRegistered, ID: "r-1"}, reconcile.Delete},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, byName := range []bool{true, false} {
				w := newWorld(byName, true)
				w.elsewhere = map[string]string{"r-1": "films"}
				theirs := as.Resource{ID: "r-1", Name: "albums", Scopes: []string{"watch"}}
				w.resources["r-1"] = theirs
				if tt.record != nil {
					w.records["albums"] = *tt.record
				}
				plan, err := w.run(t.Context(), tt.desired)
				require.Len(t, plan, 1)
				require.Equal(t, tt.kind, plan[0].Kind)
				require.Equal(t, theirs, w.resources["r-1"], "it is as it was")
				if tt.kind == reconcile.Conflict {
					require.ErrorIs(t, err, reconcile.ErrOtherSite)
					require.ErrorContains(t, err, "films")
					continue
				}
				require.NoError(t, err)
				require.Empty(t, w.records)
				require.Contains(t, plan[0].Warnings[0], "films")
			}
		})
	}
}

// TestTakenMeanwhile: of two sites that find a resource at the same moment, one has it.
// The other changes nothing of it.
func TestTakenMeanwhile(t *testing.T) {
	t.Parallel()
	for name, record := range map[string]*store.Resource{
		"asked for":                      nil,
		"its own creation was cut short": {Name: "albums", State: store.ResourcePending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(true, true)
			theirs := as.Resource{ID: "r-1", Name: "albums", Scopes: []string{"watch"}}
			w.resources["r-1"] = theirs
			if record != nil {
				w.records["albums"] = *record
			}
			r := w.reconciler()
			wanted := []reconcile.Desired{{Name: "albums", Scopes: []string{"view"}, Adopt: record == nil}}
			plan, err := r.Plan(t.Context(), wanted)
			require.NoError(t, err)
			require.Equal(t, map[string]reconcile.Kind{"albums": reconcile.Adopt}, kinds(plan))
			w.elsewhere = map[string]string{"r-1": "films"} // since
			_, err = r.Apply(t.Context(), plan)
			require.ErrorIs(t, err, reconcile.ErrOtherSite)
			require.Equal(t, theirs, w.resources["r-1"], "it is as it was")
			require.Empty(t, w.records["albums"].ID)
			plan, err = r.Plan(t.Context(), wanted)
			require.NoError(t, err)
			require.ErrorIs(t, plan[0].Err, reconcile.ErrOtherSite)
		})
	}
}

// TestNamesThatAreFree: where an AS has several resources of a name, those of other
// sites are not among those that are meant.
func TestNamesThatAreFree(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, record string // the id in the record of an adoption that was cut short
		free         []string
		kind         reconcile.Kind
		err          error
	}{
		{"all are others'", "", nil, reconcile.Conflict, reconcile.ErrOtherSite},
		{"one is nobody's", "", []string{"r-3"}, reconcile.Adopt, nil},
		{"one is nobody's, and it was begun with", "r-3", []string{"r-3"}, reconcile.Adopt, nil},
		{"one is nobody's, and another was begun with", "r-4", []string{"r-3"}, reconcile.Conflict, reconcile.ErrConflict},
		{"two are nobody's", "", []string{"r-3", "r-4"}, reconcile.Conflict, reconcile.ErrAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(true, true)
			w.elsewhere = map[string]string{"r-1": "films", "r-2": "books"}
			for _, id := range append([]string{"r-1", "r-2"}, tt.free...) {
				w.resources[id] = as.Resource{ID: id, Name: "albums", Scopes: []string{"watch"}}
			}
			w.records["albums"] = store.Resource{Name: "albums", State: store.ResourcePending, ID: tt.record}
			plan, err := w.run(t.Context(), []reconcile.Desired{{Name: "albums", Scopes: []string{"view"}}})
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, map[string]reconcile.Kind{"albums": tt.kind}, kinds(plan))
			require.Equal(t, []string{"watch"}, w.resources["r-1"].Scopes)
			require.Equal(t, []string{"watch"}, w.resources["r-2"].Scopes)
			if tt.kind == reconcile.Adopt {
				require.Equal(t, []string{"view"}, w.resources["r-3"].Scopes)
				require.Equal(t, store.ResourceRegistered, w.records["albums"].State)
			}
		})
	}
}
