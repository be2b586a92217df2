package instance_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/store"
)

// TestOutage: when the AS is back, what waits is tried at once, whatever it has waited for
// so far, and many do not storm it.
func TestOutage(t *testing.T) {
	t.Parallel()
	registered := func(w *world) int { return len(w.names()) }
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		for name, failure := range map[string]error{"503": unavailable, "429": &as.Error{Status: 429, Kind: as.ErrRateLimited}, "the client is refused": as.ErrClientRefused} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.as.set(func() { w.as.fail = failure })
				const many = 250
				for i := range many {
					_, err := w.register(fmt.Sprint(i))
					require.NoError(t, err)
				}
				for range 60 {
					w.after(10 * time.Second)
					w.pass()
				}
				w.as.set(func() { w.as.fail = nil })
				w.after(10 * time.Second)
				w.pass()
				require.Positive(t, registered(w), "the pilot, at least")
				for range many/100 + 1 {
					before := registered(w)
					w.pass()
					require.LessOrEqual(t, registered(w)-before, 100)
				}
				require.Equal(t, many, registered(w), "all, within seconds")
			})
		}
	})
	t.Run("it fails again at once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.as.set(func() { w.as.fail = unavailable })
		for i := range 50 {
			_, err := w.register(fmt.Sprint(i))
			require.NoError(t, err)
		}
		for range 30 {
			w.after(10 * time.Second)
			w.pass()
		}
		w.as.set(func() { w.as.fail, w.as.good = nil, 1 })
		for registered(w) == 0 {
			w.after(time.Second)
			w.pass()
		}
		w.as.set(func() { w.as.good, w.as.fail, w.as.failed = 0, unavailable, 0 })
		w.pass()
		require.Less(t, w.as.failed, 12, "those that were under way, and no other")
	})
	t.Run("one that fails alone waits for its time", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.as.set(func() { w.as.fail = &as.Error{Op: "register", Status: 400, Kind: as.ErrRejected} })
		for range 3 {
			_, err := w.register("7")
			require.NoError(t, err)
			w.after(4 * time.Minute)
			w.pass()
		}
		w.as.set(func() { w.as.fail = nil })
		_, err := w.register("8")
		require.NoError(t, err)
		w.pass()
		require.Equal(t, []string{"album-8"}, w.names())
	})
	t.Run("another process begins", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.as.set(func() { w.as.fail = unavailable })
		for _, id := range []string{"7", "8"} {
			_, err := w.register(id)
			require.NoError(t, err)
		}
		for range 20 {
			w.after(time.Minute)
			w.pass()
		}
		w.as.set(func() { w.as.fail = nil })
		w.configure(file)
		instance.Begun(t.Context(), w.manager)
		w.pass()
		w.after(time.Minute) // what may be claimed
		w.pass()
		require.ElementsMatch(t, []string{"album-7", "album-8"}, w.names())
	})
}

// TestCheck: registrations follow what is declared.
func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.register("7")
	require.NoError(t, err)
	_, err = w.register("8")
	require.NoError(t, err)
	w.configure(strings.Replace(file, `scopes: [view]}]}
  - {name: "tag`, `scopes: [view, share]}]}
  - {name: "tag`, 1))
	w.after(2 * time.Hour)
	w.pass()
	require.Equal(t, []string{"share", "view"}, w.as.resources["id-1"].Scopes)

	// A template that is gone takes nothing with it.
	w.configure(strings.Replace(file, "album-{id}", "picture-{id}", 1))
	w.after(2 * time.Hour)
	w.pass()
	require.ElementsMatch(t, []string{"album-7", "album-8"}, w.names())
	_, err = w.lookup("8")
	require.ErrorIs(t, err, instance.ErrTemplate)
	_, err = w.manager.Remove(t.Context(), "album-8")
	require.NoError(t, err)
	require.Equal(t, []string{"album-7"}, w.names())

	// What nothing declares is not registered again, which is told.
	w.as.set(func() { delete(w.as.resources, "id-1") })
	for range 2 {
		w.after(2 * time.Hour)
		w.pass()
	}
	_, err = w.manager.Get(t.Context(), "album-7")
	require.ErrorIs(t, err, instance.ErrUnknown)
	require.Equal(t, store.LostInstance, w.lost["album-7"])
}

// TestLost: an instance that the AS lost is registered again for its owner, under a new id
// that workers ask for, and it is told until somebody knows.
func TestLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.as.owners = true
	_, err := w.register("7")
	require.NoError(t, err)
	require.Empty(t, w.lost["album-7"])
	w.as.set(func() { delete(w.as.resources, "id-1") })
	w.after(2 * time.Hour)
	w.pass()
	id, err := w.lookup("7")
	require.NoError(t, err)
	require.Equal(t, "id-1", id, "once is not enough")
	w.after(time.Hour)
	w.pass()
	id, err = w.lookup("7")
	require.NoError(t, err)
	require.Equal(t, "id-2", id)
	require.Equal(t, "alice", w.as.resources["id-2"].Owner)
	require.Equal(t, store.LostPolicies, w.lost["album-7"])
	removed, _, err := w.store.Removals(t.Context())
	require.NoError(t, err)
	require.Len(t, removed, 1, "workers forget the id before")
	require.Equal(t, "album-7", removed[0].Name)

	// While the AS does not take it, it is pending.
	w.as.set(func() { delete(w.as.resources, "id-2") })
	w.after(2 * time.Hour)
	w.pass()
	require.NoError(t, w.store.RecheckInstance(t.Context(), w.key(), "album-7", w.now))
	_, err = w.store.ReopenInstance(t.Context(), w.key(), "album-7", w.now, w.now)
	require.NoError(t, err)
	_, err = w.lookup("7")
	require.ErrorIs(t, err, instance.ErrUnknown)
	w.as.set(func() { w.as.fail = as.ErrOwner })
	w.pass()
	in, err := w.manager.Get(t.Context(), "album-7")
	require.NoError(t, err)
	require.Equal(t, store.InstancePending, in.State)
	require.Contains(t, in.Failure, as.ErrOwner.Error())
	require.Equal(t, store.LostPolicies, w.lost["album-7"])

	// Who removes it knows.
	_, err = w.manager.Remove(t.Context(), "album-7")
	require.NoError(t, err)
	require.Empty(t, w.lost["album-7"])
}

// TestTogether: many at once register one thing once.
func TestTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() {
			in, err := w.register("7")
			if errs[i] = err; err == nil && in.State == store.InstanceRegistered && in.ID != "id-1" {
				errs[i] = errors.New("another id: " + in.ID)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 1, w.as.creates)
}
