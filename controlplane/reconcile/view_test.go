package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/reconcile"
)

// counted counts what is asked of the AS.
type counted struct {
	*world
	asked map[string]int
	empty bool // the list says that there is nothing
}

func (c *counted) Read(ctx context.Context, id string) (as.Resource, error) {
	c.asked["read"]++
	return c.world.Read(ctx, id)
}

func (c *counted) FindByName(ctx context.Context, name string) ([]as.Resource, error) {
	c.asked["find"]++
	return c.world.FindByName(ctx, name)
}

func (c *counted) ListAll(ctx context.Context) (as.Listing, error) {
	c.asked["survey"]++
	if c.empty {
		return as.Listing{Described: c.described}, nil
	}
	return c.world.ListAll(ctx)
}

func many(n int) []reconcile.Desired {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("r%04d", i))
	}
	return desired(names...)
}

// TestLooksInProportion: how often an AS is asked does not grow with the number
// of resources where its list tells, and is bounded where it does not.
func TestLooksInProportion(t *testing.T) {
	t.Parallel()
	const n = 1000
	tests := []struct {
		name      string
		described bool
		reads     int
		before    func(w *counted, want []reconcile.Desired) []reconcile.Desired
		asked     map[string]int
		plan      map[string]reconcile.Kind
	}{
		{"a list with descriptions, in step", true, 0, nil, map[string]int{"survey": 1}, map[string]reconcile.Kind{}},
		{
			"a list with descriptions, drift", true, 0, func(w *counted, want []reconcile.Desired) []reconcile.Desired {
				r := w.resources["id-7"]
				r.Scopes = []string{"other"}
				w.resources["id-7"] = r
				return want
			}, map[string]int{"survey": 1}, map[string]reconcile.Kind{"r0006": reconcile.Repair},
		},
		{
			"a list with descriptions, one lost, one new", true, 0, func(w *counted, want []reconcile.Desired) []reconcile.Desired {
				delete(w.resources, "id-1")
				return append(want, desired("new")...)
			}, map[string]int{"survey": 1, "read": 1}, map[string]reconcile.Kind{"r0000": reconcile.Recreate, "new": reconcile.Create},
		},
		{
			"a list that has forgotten all is not believed", true, 0, func(w *counted, want []reconcile.Desired) []reconcile.Desired {
				w.empty = true
				return want
			}, map[string]int{"survey": 1, "read": n}, map[string]reconcile.Kind{},
		},
		{"a list of ids, all read", false, 0, nil, map[string]int{"survey": 1, "read": n}, map[string]reconcile.Kind{}},
		{"a list of ids, some read", false, 50, nil, map[string]int{"survey": 1, "read": 50}, map[string]reconcile.Kind{}},
		{
			"a list of ids, one changed here, one lost there", false, 50, func(w *counted, want []reconcile.Desired) []reconcile.Desired {
				delete(w.resources, "id-900")
				want = slices.Clone(want)
				want[700].Scopes = []string{"view"}
				return want
			}, map[string]int{"survey": 1, "read": 52, "find": 1}, map[string]reconcile.Kind{"r0899": reconcile.Recreate, "r0700": reconcile.Update},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := many(n)
			w := &counted{world: newWorld(true, true), asked: map[string]int{}}
			w.described = tt.described
			_, err := w.run(t.Context(), want)
			require.NoError(t, err)
			if tt.before != nil {
				want = tt.before(w, want)
			}
			r := w.reconciler()
			r.AS, r.Reads = w, tt.reads
			plan, err := r.Plan(t.Context(), want)
			require.NoError(t, err)
			require.Equal(t, tt.plan, kinds(plan))
			require.Equal(t, tt.asked, w.asked)
		})
	}
}

// TestEachHasItsTurn: drift that the list does not show is found within as many
// plans as it takes to read each once.
func TestEachHasItsTurn(t *testing.T) {
	t.Parallel()
	const n, reads = 101, 10
	want := many(n)
	w := newWorld(true, true)
	_, err := w.run(t.Context(), want)
	require.NoError(t, err)
	for id, r := range w.resources {
		r.Type = "changed"
		w.resources[id] = r
	}
	found := map[string]bool{}
	next := 0
	for range (n + reads - 1) / reads {
		r := w.reconciler()
		r.Reads, r.From = reads, next
		plan, err := r.Plan(t.Context(), want)
		require.NoError(t, err)
		require.Len(t, plan, reads)
		for _, c := range plan {
			found[c.Name] = true
		}
		next = r.Next
	}
	require.Len(t, found, n)
}

// TestPlanTellsHowFarItIs: the operator who waits sees it.
func TestPlanTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(true, true)
	r := w.reconciler()
	var seen []int
	r.Compared = func(done, total int) {
		require.Equal(t, 5, total)
		seen = append(seen, done)
	}
	_, err := r.Plan(t.Context(), many(5))
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3, 4, 5}, seen)
}

// TestBounded: too many deletions are left out, all of them.
func TestBounded(t *testing.T) {
	t.Parallel()
	plan := reconcile.Plan{{Kind: reconcile.Create, Name: "a"}, {Kind: reconcile.Delete, Name: "b"}, {Kind: reconcile.Delete, Name: "c"}}
	for _, tt := range []struct{ most, steps, withheld int }{{0, 1, 2}, {1, 1, 2}, {2, 3, 0}, {3, 3, 0}} {
		bounded, withheld := plan.Bounded(tt.most)
		require.Len(t, bounded, tt.steps, tt.most)
		require.Equal(t, tt.withheld, withheld, tt.most)
	}
	require.Len(t, plan, 3, "not changed")
}

// TestBusyAS: one that answers 503 while it is busy is asked again, and for a
// creation only after it was asked whether it has it.
func TestBusyAS(t *testing.T) {
	t.Parallel()
	busy := &as.Error{Status: 503, Kind: as.ErrUnavailable, RetryAfter: time.Minute}
	w := newWorld(true, true)
	w.fail["create"] = []error{busy, busy}
	var slept []time.Duration
	r := w.reconciler()
	r.Retry.Sleep = func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
	plan, err := r.Plan(t.Context(), desired("a"))
	require.NoError(t, err)
	_, err = r.Apply(t.Context(), plan)
	require.NoError(t, err)
	require.Len(t, w.resources, 1)
	for _, d := range slept {
		require.Greater(t, d, 59*time.Second, "as long as it asks")
		require.Less(t, d, 62*time.Second)
	}

	// It did act on it: nothing is created twice.
	w = newWorld(true, false)
	w.resources["x"] = as.Resource{ID: "x", Name: "other"}
	r = w.reconciler()
	plan, err = r.Plan(t.Context(), desired("a"))
	require.NoError(t, err)
	w.fail["create"] = []error{busy}
	w.resources["y"] = as.Resource{ID: "y", Name: "a", Scopes: []string{"edit", "view"}}
	_, err = r.Apply(t.Context(), plan)
	require.ErrorIs(t, err, as.ErrUnavailable)
	_, err = w.run(t.Context(), desired("a"))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "other"}, w.namesAtAS())
}

// TestGoneBetween: what the AS loses between plan and change has its own words.
func TestGoneBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(true, true)
	_, err := w.run(t.Context(), desired("a"))
	require.NoError(t, err)
	want := desired("a")
	want[0].Type = "https://example.com/new"
	r := w.reconciler()
	plan, err := r.Plan(t.Context(), want)
	require.NoError(t, err)
	clear(w.resources)
	_, err = r.Apply(t.Context(), plan)
	require.ErrorIs(t, err, reconcile.ErrGone)
	_, err = w.run(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, w.namesAtAS())
}

// TestResourceThatExpires: an AS that forgets by itself is told anew in time.
func TestResourceThatExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(true, true)
	_, err := w.run(t.Context(), desired("a", "b"))
	require.NoError(t, err)
	now := time.UnixMilli(1)
	for id, r := range w.resources {
		r.ExpiresAt = now.Add(365 * 24 * time.Hour)
		if r.Name == "a" {
			r.ExpiresAt = now.Add(7 * 24 * time.Hour)
		}
		w.resources[id] = r
	}
	plan, err := w.reconciler().Plan(t.Context(), desired("a", "b"))
	require.NoError(t, err)
	require.Equal(t, map[string]reconcile.Kind{"a": reconcile.Update}, kinds(plan))
	require.Equal(t, "exp", plan[0].Fields[0].Name)
}
