package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	gosync "sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

var errKilled = errors.New("the process was killed")

// world is an AS and a store, and a process that may die at any of its
// operations, before or after the operation took effect.
type world struct {
	mu          gosync.Mutex
	resources   map[string]as.Resource
	records     map[string]store.Resource
	next        int
	byName      bool
	described   bool // a survey has descriptions
	uniqueNames bool
	elsewhere   map[string]string  // sites by the resource_id of a record
	fail        map[string][]error // by operation: what its next calls fail with

	operations int
	dieAt      int // 0: never
	dieAfter   bool
	dead       bool
}

func newWorld(byName, uniqueNames bool) *world {
	return &world{
		resources: map[string]as.Resource{}, records: map[string]store.Resource{}, fail: map[string][]error{},
		byName: byName, uniqueNames: uniqueNames,
	}
}

// step runs one operation of the process.
func (w *world) step(name string, effect func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errKilled
	}
	w.operations++
	dies := w.operations == w.dieAt
	if dies && !w.dieAfter {
		w.dead = true
		return errKilled
	}
	if faults := w.fail[name]; len(faults) > 0 {
		w.fail[name] = faults[1:]
		return faults[0]
	}
	err := effect()
	if dies {
		w.dead = true
		return errKilled
	}
	return err
}

func (w *world) restart() { w.operations, w.dieAt, w.dead = 0, 0, false }

func (w *world) Create(_ context.Context, r as.Resource) (as.Resource, error) {
	err := w.step("create", func() error {
		for _, have := range w.resources {
			if w.uniqueNames && have.Name == r.Name {
				return &as.Error{Status: 409, Kind: as.ErrConflict}
			}
		}
		w.next++
		r.ID = fmt.Sprintf("id-%d", w.next)
		w.resources[r.ID] = r
		return nil
	})
	return r, err
}

func (w *world) Read(_ context.Context, id string) (r as.Resource, err error) {
	err = w.step("read", func() error {
		var ok bool
		if r, ok = w.resources[id]; !ok {
			return &as.Error{Status: 404, Kind: as.ErrNotFound}
		}
		return nil
	})
	return r, err
}

func (w *world) Update(_ context.Context, r as.Resource) error {
	return w.step("update", func() error {
		if _, ok := w.resources[r.ID]; !ok {
			return &as.Error{Status: 404, Kind: as.ErrNotFound}
		}
		w.resources[r.ID] = r
		return nil
	})
}

func (w *world) Delete(_ context.Context, id string) error {
	return w.step("delete", func() error { delete(w.resources, id); return nil })
}

func (w *world) List(context.Context) (ids []string, err error) {
	err = w.step("list", func() error { ids = slices.Sorted(maps.Keys(w.resources)); return nil })
	return ids, err
}

func (w *world) FindByName(_ context.Context, name string) (found []as.Resource, err error) {
	err = w.step("find", func() error {
		for _, r := range w.resources {
			if r.Name == name {
				found = append(found, r)
			}
		}
		return nil
	})
	return found, err
}

func (w *world) FindsByName() bool { return w.byName }

func (w *world) Normalize(r as.Resource) as.Resource { return r }

func (w *world) ListAll(context.Context) (found as.Listing, err error) {
	err = w.step("survey", func() error {
		found.Described = w.described
		for _, id := range slices.Sorted(maps.Keys(w.resources)) {
			r := as.Resource{ID: id}
			if w.described {
				r = w.resources[id]
			}
			found.Resources = append(found.Resources, r)
		}
		return nil
	})
	return found, err
}

func (w *world) Resources(context.Context, store.Key) (out []store.Resource, err error) {
	err = w.step("records", func() error {
		for _, name := range slices.Sorted(maps.Keys(w.records)) {
			out = append(out, w.records[name])
		}
		return nil
	})
	return out, err
}

func (w *world) ResourceSites(_ context.Context, _, id string) (sites []string, err error) {
	err = w.step("sites", func() error {
		if site := w.elsewhere[id]; site != "" {
			sites = append(sites, site)
		}
		for _, r := range w.records {
			if r.ID == id {
				sites = append(sites, "photos")
			}
		}
		return nil
	})
	return sites, err
}

func (w *world) PutResource(_ context.Context, _ store.Key, r store.Resource) error {
	return w.step("put", func() error {
		if r.ID != "" && w.elsewhere[r.ID] != "" {
			return store.ErrTaken
		}
		w.records[r.Name] = r
		return nil
	})
}

func (w *world) DeleteResource(_ context.Context, _ store.Key, name string) error {
	return w.step("forget", func() error { delete(w.records, name); return nil })
}

func (w *world) reconciler() *reconcile.Reconciler {
	return &reconcile.Reconciler{
		AS: w, Records: w, Key: store.Key{Site: "photos"}, Concurrency: 1,
		Now: func() time.Time { return time.UnixMilli(1) },
		Retry: reconcile.Retry{
			Attempts: 3, Base: time.Millisecond, Max: time.Second,
			Sleep: func(context.Context, time.Duration) error { return nil },
		},
	}
}

// run plans and applies once.
func (w *world) run(ctx context.Context, desired []reconcile.Desired) (reconcile.Plan, error) {
	r := w.reconciler()
	plan, err := r.Plan(ctx, desired)
	if err != nil {
		return nil, err
	}
	_, err = r.Apply(ctx, plan)
	return plan, err
}

func (w *world) namesAtAS() []string {
	var out []string
	for _, r := range w.resources {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return out
}

func kinds(p reconcile.Plan) map[string]reconcile.Kind {
	out := map[string]reconcile.Kind{}
	for _, c := range p {
		out[c.Name] = c.Kind
	}
	return out
}

func desired(names ...string) []reconcile.Desired {
	var out []reconcile.Desired
	for _, n := range names {
		out = append(out, reconcile.Desired{Name: n, Scopes: []string{"view", "edit", "view"}})
	}
	return out
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		before  func(w *world)
		desired []reconcile.Desired
		want    map[string]reconcile.Kind
		err     error
		names   []string // at the AS afterwards
	}{
		{"nothing", func(*world) {}, nil, map[string]reconcile.Kind{}, nil, nil},
		{
			"new ones", func(*world) {}, desired("a", "b"),
			map[string]reconcile.Kind{"a": reconcile.Create, "b": reconcile.Create},
			nil,
			[]string{"a", "b"},
		},
		{
			"of others stays", func(w *world) { w.resources["x"] = as.Resource{ID: "x", Name: "foreign"} }, desired("a"),
			map[string]reconcile.Kind{"a": reconcile.Create},
			nil,
			[]string{"a", "foreign"},
		},
		{
			"a foreign one of the name", func(w *world) { w.resources["x"] = as.Resource{ID: "x", Name: "a"} }, desired("a", "b"),
			map[string]reconcile.Kind{"a": reconcile.Conflict, "b": reconcile.Create},
			reconcile.ErrConflict,
			[]string{"a", "b"},
		},
		{
			"announced and created", func(w *world) {
				w.resources["x"] = as.Resource{ID: "x", Name: "a"}
				w.records["a"] = store.Resource{Name: "a", State: store.ResourcePending}
			}, desired("a"),
			map[string]reconcile.Kind{"a": reconcile.Adopt},
			nil,
			[]string{"a"},
		},
		{
			"announced and not created", func(w *world) {
				w.records["a"] = store.Resource{Name: "a", State: store.ResourcePending}
			}, desired("a"),
			map[string]reconcile.Kind{"a": reconcile.Create},
			nil,
			[]string{"a"},
		},
		{
			"drift", func(w *world) {
				w.resources["x"] = as.Resource{ID: "x", Name: "a", Scopes: []string{"view"}}
				w.records["a"] = store.Resource{Name: "a", State: store.ResourceRegistered, ID: "x"}
			}, desired("a"),
			map[string]reconcile.Kind{"a": reconcile.Update},
			nil,
			[]string{"a"},
		},
		{
			"lost by the AS", func(w *world) {
				w.records["a"] = store.Resource{Name: "a", State: store.ResourceRegistered, ID: "gone"}
			}, desired("a"),
			map[string]reconcile.Kind{"a": reconcile.Recreate},
			nil,
			[]string{"a"},
		},
		{
			"no longer declared", func(w *world) {
				w.resources["x"] = as.Resource{ID: "x", Name: "a"}
				w.resources["y"] = as.Resource{ID: "y", Name: "cut short"}
				w.resources["z"] = as.Resource{ID: "z", Name: "foreign"}
				w.records["a"] = store.Resource{Name: "a", State: store.ResourceRegistered, ID: "x"}
				w.records["cut short"] = store.Resource{Name: "cut short", State: store.ResourcePending}
			}, nil,
			map[string]reconcile.Kind{"a": reconcile.Delete, "cut short": reconcile.Delete},
			nil,
			[]string{"foreign"},
		},
		{
			"rate limited, then let through", func(w *world) {
				w.fail["create"] = []error{&as.Error{Status: 429, Kind: as.ErrRateLimited}, &as.Error{Status: 429, Kind: as.ErrRateLimited}}
			}, desired("a"),
			map[string]reconcile.Kind{"a": reconcile.Create},
			nil,
			[]string{"a"},
		},
		{
			"a failed creation is not repeated blindly", func(w *world) {
				w.fail["create"] = []error{&as.Error{Status: 502, Kind: as.ErrUnavailable}}
			}, desired("a", "b"),
			map[string]reconcile.Kind{"a": reconcile.Create, "b": reconcile.Create},
			as.ErrUnavailable,
			[]string{"b"},
		},
	}
	for _, tt := range tests {
		for _, byName := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/by name %t", tt.name, byName), func(t *testing.T) {
				t.Parallel()
				w := newWorld(byName, byName)
				tt.before(w)
				plan, err := w.run(t.Context(), tt.desired)
				require.Equal(t, tt.want, kinds(plan))
				if tt.err != nil {
					require.ErrorIs(t, err, tt.err)
				} else {
					require.NoError(t, err)
					again, err := w.reconciler().Plan(t.Context(), tt.desired)
					require.NoError(t, err)
					require.Empty(t, again, "a second run changes nothing")
				}
				require.Equal(t, tt.names, w.namesAtAS())
				for _, record := range w.records {
					if record.State == store.ResourceRegistered {
						require.Equal(t, []string{"edit", "view"}, w.resources[record.ID].Scopes)
					}
				}
			})
		}
	}
}

// TestKilledAnywhere kills the process at each operation of a run that creates,
// updates, recreates and deletes, before and after the operation took effect, and
// lets a new process finish.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	start := func(byName, unique bool) *world {
		w := newWorld(byName, unique)
		w.resources["old"] = as.Resource{ID: "old", Name: "obsolete"}
		w.resources["drift"] = as.Resource{ID: "drift", Name: "drifted", Scopes: []string{"view"}}
		w.resources["foreign"] = as.Resource{ID: "foreign", Name: "foreign"}
		w.records["obsolete"] = store.Resource{Name: "obsolete", State: store.ResourceRegistered, ID: "old"}
		w.records["drifted"] = store.Resource{Name: "drifted", State: store.ResourceRegistered, ID: "drift"}
		w.records["lost"] = store.Resource{Name: "lost", State: store.ResourceRegistered, ID: "nowhere"}
		return w
	}
	want := desired("drifted", "lost", "new1", "new2")
	for _, names := range []struct{ byName, unique bool }{{true, true}, {false, false}, {false, true}} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("by name %t, unique %t, after the effect %t", names.byName, names.unique, after), func(t *testing.T) {
				t.Parallel()
				killed := 0
				for at := 1; ; at++ {
					w := start(names.byName, names.unique)
					w.dieAt, w.dieAfter = at, after
					_, err := w.run(t.Context(), want)
					if !w.dead {
						require.NoError(t, err)
						break
					}
					killed++
					require.ErrorIs(t, err, errKilled)
					w.restart()
					_, err = w.run(t.Context(), want)
					require.NoError(t, err, "killed at operation %d", at)
					require.Equal(t, []string{"drifted", "foreign", "lost", "new1", "new2"}, w.namesAtAS(), "killed at operation %d", at)
					require.Len(t, w.records, len(want), "killed at operation %d", at)
				}
				require.Greater(t, killed, 12)
			})
		}
	}
}
