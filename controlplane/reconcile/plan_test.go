package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

// recorded makes a record of what was registered.
func recorded(t *testing.T, id string, d reconcile.Desired) store.Resource {
	t.Helper()
	spec, err := json.Marshal(d)
	require.NoError(t, err)
	return store.Resource{Name: d.Name, State: store.ResourceRegistered, ID: id, Spec: spec}
}

// TestDriftAndChange: what somebody changed at the AS is told from what the file
// changes.
func TestDriftAndChange(t *testing.T) {
	t.Parallel()
	was := reconcile.Desired{Name: "a", Type: "old", Scopes: []string{"view"}}
	tests := []struct {
		name     string
		want     reconcile.Desired
		have     as.Resource
		kind     reconcile.Kind
		fields   []reconcile.Field
		warnings int
	}{
		{
			"changed at the AS", was,
			as.Resource{Name: "a", Type: "old", Scopes: []string{"view", "forged"}},
			reconcile.Repair,
			[]reconcile.Field{{Name: "scopes", From: []string{"forged", "view"}, To: []string{"view"}, Drift: true}},
			1,
		},
		{
			"changed in the file",
			reconcile.Desired{Name: "a", Type: "new", Scopes: []string{"view"}},
			as.Resource{Name: "a", Type: "old", Scopes: []string{"view"}},
			reconcile.Update,
			[]reconcile.Field{{Name: "type", From: "old", To: "new"}},
			0,
		},
		{
			"both",
			reconcile.Desired{Name: "a", Type: "new", Scopes: []string{"view"}},
			as.Resource{Name: "b", Type: "old", Scopes: []string{"view"}},
			reconcile.Update,
			[]reconcile.Field{{Name: "name", From: "b", To: "a", Drift: true}, {Name: "type", From: "old", To: "new"}},
			0,
		},
		{
			"a scope more",
			reconcile.Desired{Name: "a", Type: "old", Scopes: []string{"view", "edit"}},
			as.Resource{Name: "a", Type: "old", Scopes: []string{"view"}},
			reconcile.Update,
			[]reconcile.Field{{Name: "scopes", From: []string{"view"}, To: []string{"edit", "view"}}},
			0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(true, true)
			w.resources["x"] = tt.have
			w.records["a"] = recorded(t, "x", was)
			plan, err := w.run(t.Context(), []reconcile.Desired{tt.want})
			require.NoError(t, err)
			require.Len(t, plan, 1)
			require.Equal(t, tt.kind, plan[0].Kind)
			require.Equal(t, tt.fields, plan[0].Fields)
			require.Len(t, plan[0].Warnings, tt.warnings)
			again, err := w.reconciler().Plan(t.Context(), []reconcile.Desired{tt.want})
			require.NoError(t, err)
			require.Empty(t, again)
		})
	}
}

func TestAdoption(t *testing.T) {
	t.Parallel()
	for _, byName := range []bool{true, false} {
		t.Run(fmt.Sprintf("by name %t", byName), func(t *testing.T) {
			t.Parallel()
			want := []reconcile.Desired{{Name: "a", Scopes: []string{"view"}, Adopt: true}}

			// One of the name: taken over, and not written where nothing differs.
			w := newWorld(byName, false)
			w.resources["x"] = as.Resource{ID: "x", Name: "a", Scopes: []string{"view"}}
			w.fail["update"] = []error{errKilled}
			plan, err := w.run(t.Context(), want)
			require.NoError(t, err)
			require.Equal(t, map[string]reconcile.Kind{"a": reconcile.Adopt}, kinds(plan))
			require.Equal(t, "x", w.records["a"].ID)

			// Two of the name: nothing tells which.
			w = newWorld(byName, false)
			w.resources["x"] = as.Resource{ID: "x", Name: "a"}
			w.resources["y"] = as.Resource{ID: "y", Name: "a"}
			plan, err = w.run(t.Context(), want)
			require.ErrorIs(t, err, reconcile.ErrAmbiguous)
			require.Equal(t, map[string]reconcile.Kind{"a": reconcile.Conflict}, kinds(plan))
			require.Empty(t, w.records)

			// One whose creation was cut short, and is not wanted any more, but there are
			// two: neither is deleted.
			w.records["a"] = store.Resource{Name: "a", State: store.ResourcePending}
			_, err = w.run(t.Context(), nil)
			require.ErrorIs(t, err, reconcile.ErrAmbiguous)
			require.Len(t, w.resources, 2)

			// The id is gone, and another has the name: left alone.
			w = newWorld(byName, false)
			w.resources["x"] = as.Resource{ID: "x", Name: "a"}
			w.records["a"] = store.Resource{Name: "a", State: store.ResourceRegistered, ID: "gone"}
			_, err = w.run(t.Context(), desired("a"))
			require.ErrorIs(t, err, reconcile.ErrConflict)
			require.Empty(t, w.resources["x"].Scopes)
		})
	}
}

// TestGivesUp: an AS that is away is not asked 2,000 times, and what was not tried
// is told.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(true, true)
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("r", i))
		w.fail["create"] = append(w.fail["create"], &as.Error{Status: 503, Kind: as.ErrUnavailable})
	}
	r := w.reconciler()
	plan, err := r.Plan(t.Context(), desired(names...))
	require.NoError(t, err)
	result, err := r.Apply(t.Context(), plan)
	require.ErrorIs(t, err, reconcile.ErrInterrupted)
	require.Equal(t, reconcile.Result{Failed: 5, Left: 95}, result)

	// Cancelled: nothing more is begun.
	ctx, cancel := context.WithCancel(t.Context())
	w = newWorld(true, true)
	r = w.reconciler()
	r.Progress = func(done, _ int) {
		if done == 3 {
			cancel()
		}
	}
	result, err = r.Apply(ctx, plan)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, reconcile.Result{Done: 3, Left: 97}, result)
	_, err = w.run(t.Context(), desired(names...))
	require.NoError(t, err)
	require.Len(t, w.resources, 100)
}

// TestRateLimitHoldsAllBack: while the AS asks to wait, no other call is made.
func TestRateLimitHoldsAllBack(t *testing.T) {
	t.Parallel()
	w := newWorld(true, true)
	w.fail["create"] = []error{&as.Error{Status: 429, Kind: as.ErrRateLimited, RetryAfter: time.Hour}}
	r := w.reconciler()
	var slept []time.Duration
	r.Retry.Sleep = func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
	plan, err := r.Plan(t.Context(), desired("a", "b"))
	require.NoError(t, err)
	result, err := r.Apply(t.Context(), plan)
	require.NoError(t, err)
	require.Equal(t, 2, result.Done)
	require.GreaterOrEqual(t, len(slept), 3, "the one refused, before its next try, and the other")
	for _, d := range slept {
		require.Greater(t, d, 59*time.Minute)
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	plan := func(kinds ...reconcile.Kind) reconcile.Plan {
		var p reconcile.Plan
		for i, k := range kinds {
			p = append(p, reconcile.Change{Kind: k, Name: fmt.Sprint(i), Fields: []reconcile.Field{{Name: "scopes", To: []string{"a"}}}})
		}
		return p
	}
	require.True(t, plan().Within(plan(reconcile.Create)), "somebody else did it")
	require.True(t, plan(reconcile.Create).Within(plan(reconcile.Create, reconcile.Delete)))
	require.True(t, plan(reconcile.Conflict).Within(plan()), "a conflict does nothing")
	require.False(t, plan(reconcile.Delete).Within(plan(reconcile.Create)))
	other := plan(reconcile.Create)
	other[0].Fields[0].To = []string{"b"}
	require.False(t, other.Within(plan(reconcile.Create)), "another effect")
}
