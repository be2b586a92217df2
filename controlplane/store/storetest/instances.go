package storetest

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// runInstances tests what a store keeps of instances, if it keeps any.
func runInstances(t *testing.T, open opener) {
	t.Helper()
	photos := store.Key{Site: "photos", Issuer: "https://as.example.com/realms/demo"}
	moved := store.Key{Site: "photos", Issuer: "https://other.example.com"}
	at := time.UnixMilli(1_790_000_000_123)
	album := func(name string) store.Instance {
		return store.Instance{
			Name: "album-" + name, Template: "album-{id}", Values: []string{name}, Owner: "alice", State: store.InstancePending,
			Spec: json.RawMessage(`{"scopes":["view"]}`), DueAt: at.Add(time.Minute), CreatedAt: at, UpdatedAt: at,
		}
	}
	t.Run("registrations that ended are told", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		number, err := s.Changes(ctx)
		require.NoError(t, err)
		list, generation, err := s.Removals(ctx)
		require.NoError(t, err)
		require.Empty(t, list)
		require.Zero(t, generation)
		register := func(name string) {
			t.Helper()
			in := album(name)
			_, _, err := s.AddInstance(ctx, photos, in)
			require.NoError(t, err)
			in.State, in.ID = store.InstanceRegistered, "id of "+name
			_, err = s.PutInstance(ctx, photos, in, store.InstancePending)
			require.NoError(t, err)
		}
		remove := func(name string, now time.Time) {
			t.Helper()
			_, err := s.RemoveInstance(ctx, photos, "album-"+name, now)
			require.NoError(t, err)
			require.NoError(t, s.DeleteInstance(ctx, photos, "album-"+name, store.InstanceRemoving))
		}
		register("1")
		unchanged, err := s.Changes(ctx)
		require.NoError(t, err)
		require.Equal(t, number, unchanged, "a registration is asked for")
		remove("1", at)
		changed, err := s.Changes(ctx)
		require.NoError(t, err)
		require.Greater(t, changed, number, "an end is told")
		_, _, err = s.AddInstance(ctx, photos, album("pending"))
		require.NoError(t, err)
		remove("pending", at)
		register("gone")
		require.NoError(t, s.DeleteInstance(ctx, photos, "album-gone", store.InstanceRegistered))
		register("lost")
		lost, err := s.ReopenInstance(ctx, photos, "album-lost", at, at.Add(time.Hour))
		require.NoError(t, err)
		want := []store.Removal{
			{Site: "photos", Name: "album-1", ID: "id of 1"},
			{Site: "photos", Name: "album-gone", ID: "id of gone"},
			{Site: "photos", Name: "album-lost", ID: "id of lost"},
		}
		reopened := album("lost")
		reopened.DueAt = at.Add(time.Hour)
		require.Equal(t, reopened, lost, "it is pending, without the id, and whoever reopened it is at it")
		_, err = s.ReopenInstance(ctx, photos, "album-lost", at, at)
		require.NoError(t, err, "it is no more than pending")
		list, generation, err = s.Removals(ctx)
		require.NoError(t, err)
		require.Equal(t, want, list)
		require.Zero(t, generation)
		list, _, err = reopen().Removals(ctx)
		require.NoError(t, err)
		require.Equal(t, want, list)
	})

	t.Run("instances survive, in order and by state", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		_, err := s.Instance(ctx, photos, "album-1")
		require.ErrorIs(t, err, store.ErrNotFound)
		for _, name := range []string{"2", "1", "B", "a/é"} {
			_, added, err := s.AddInstance(ctx, photos, album(name))
			require.NoError(t, err)
			require.True(t, added)
		}
		other := album("1")
		other.Owner = "bob"
		have, added, err := s.AddInstance(ctx, photos, other)
		require.NoError(t, err)
		require.False(t, added)
		require.Equal(t, album("1"), have, "the first stays")
		_, added, err = s.AddInstance(ctx, moved, other)
		require.NoError(t, err)
		require.True(t, added, "another AS")

		registered := album("1")
		registered.State, registered.ID, registered.UpdatedAt = store.InstanceRegistered, "r-1", at.Add(time.Second)
		done, err := s.PutInstance(ctx, photos, registered, store.InstancePending)
		require.NoError(t, err)
		require.True(t, done)
		done, err = s.PutInstance(ctx, photos, registered, store.InstancePending)
		require.NoError(t, err)
		require.False(t, done, "it is not pending any more")

		again := reopen()
		got, err := again.Instance(ctx, photos, "album-1")
		require.NoError(t, err)
		require.Equal(t, registered, got)
		page, err := again.Instances(ctx, photos, "", "", 2)
		require.NoError(t, err)
		require.Len(t, page, 2)
		require.Equal(t, "album-1", page[0].Name)
		page, err = again.Instances(ctx, photos, "album-{id}", page[1].Name, 10)
		require.NoError(t, err)
		require.Len(t, page, 2)
		require.Equal(t, []string{"B"}, page[0].Values, "by bytes, as every store orders")
		page, err = again.Instances(ctx, photos, "box-{id}", "", 10)
		require.NoError(t, err)
		require.Empty(t, page)
		ids, err := again.RegisteredInstances(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, []store.RegisteredInstance{{Name: "album-1", Template: "album-{id}", ID: "r-1"}}, ids)
		first, failing, err := again.FailedInstances(ctx, photos, 1)
		require.NoError(t, err)
		require.Empty(t, first)
		require.Zero(t, failing)
		for _, name := range []string{"2", "B"} {
			in := album(name)
			in.Failure, in.Attempts = "refused", 1
			_, err = again.PutInstance(ctx, photos, in, store.InstancePending)
			require.NoError(t, err)
		}
		first, failing, err = again.FailedInstances(ctx, photos, 1)
		require.NoError(t, err)
		require.Equal(t, "album-2", first[0].Name)
		require.Len(t, first, 1)
		require.Equal(t, 2, failing)
		counts, err := again.CountInstances(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, []store.InstanceCount{{Template: "album-{id}", State: store.InstancePending, Count: 3}, {Template: "album-{id}", State: store.InstanceRegistered, Count: 1}}, counts)
	})

	t.Run("an instance is removed, whoever is at it", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		_, err := s.RemoveInstance(ctx, photos, "album-1", at)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, _, err = s.AddInstance(ctx, photos, album("1"))
		require.NoError(t, err)
		removing, err := s.RemoveInstance(ctx, photos, "album-1", at)
		require.NoError(t, err)
		require.Equal(t, store.InstanceRemoving, removing.State)
		require.Equal(t, at.Add(time.Minute), removing.DueAt, "who creates it has its time")
		// The one who was creating it is done: the id is kept, for the one who removes.
		created := album("1")
		created.State, created.ID = store.InstanceRegistered, "r-1"
		done, err := s.PutInstance(ctx, photos, created, store.InstancePending)
		require.NoError(t, err)
		require.False(t, done)
		got, err := s.Instance(ctx, photos, "album-1")
		require.NoError(t, err)
		require.Equal(t, store.InstanceRemoving, got.State)
		require.Equal(t, "r-1", got.ID)
		require.NoError(t, s.DeleteInstance(ctx, photos, "album-1", store.InstanceRegistered))
		_, err = s.Instance(ctx, photos, "album-1")
		require.NoError(t, err, "it has another state")
		require.NoError(t, s.DeleteInstance(ctx, photos, "album-1", store.InstanceRemoving))
		_, err = s.Instance(ctx, photos, "album-1")
		require.ErrorIs(t, err, store.ErrNotFound)

		kept := album("2")
		kept.State = store.InstanceRegistered
		_, _, err = s.AddInstance(ctx, photos, kept)
		require.NoError(t, err)
		removing, err = s.RemoveInstance(ctx, photos, "album-2", at)
		require.NoError(t, err)
		require.Equal(t, at, removing.DueAt, "nobody is at it")
	})

	t.Run("one of many claims an instance", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		for _, name := range []string{"1", "2", "3"} {
			in := album(name)
			in.DueAt = at
			_, _, err := s.AddInstance(ctx, photos, in)
			require.NoError(t, err)
		}
		due, err := s.DueInstances(ctx, photos, at.Add(-time.Millisecond), 10)
		require.NoError(t, err)
		require.Empty(t, due)
		due, err = s.DueInstances(ctx, photos, at, 2)
		require.NoError(t, err)
		require.Len(t, due, 2)
		var won atomic.Int32
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			claimer := reopen()
			wg.Go(func() {
				_, ok, err := claimer.ClaimInstance(ctx, photos, "album-1", at, at.Add(time.Minute))
				if errs[i] = err; ok {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.Equal(t, int32(1), won.Load())
		_, ok, err := s.ClaimInstance(ctx, photos, "album-1", at.Add(time.Minute), at.Add(2*time.Minute))
		require.NoError(t, err)
		require.True(t, ok, "who claimed it has died")
	})

	t.Run("what failed is hastened, and no claim is", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		for _, name := range []string{"failed", "busy", "soon", "registered", "asked"} {
			in := album(name)
			in.State, in.DueAt, in.Failure = store.InstancePending, at.Add(5*time.Minute), "503"
			switch name {
			case "soon":
				in.DueAt = at.Add(time.Minute)
			case "registered":
				in.State = store.InstanceRegistered
			case "asked":
				in.Failure = ""
			}
			_, _, err := s.AddInstance(ctx, photos, in)
			require.NoError(t, err)
		}
		require.NoError(t, s.HastenInstances(ctx, photos, at, at.Add(time.Minute), []string{"album-busy", "album-x"}))
		due, err := s.DueInstances(ctx, photos, at, 10)
		require.NoError(t, err)
		require.Equal(t, []string{"album-failed"}, due)
		require.NoError(t, s.HastenInstances(ctx, photos, at, at, nil))
		due, err = s.DueInstances(ctx, photos, at, 10)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"album-failed", "album-busy", "album-soon"}, due)
	})

	t.Run("a shared secret is one", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		first, err := s.SharedSecret(ctx, "x", secret.New("one"))
		require.NoError(t, err)
		require.Equal(t, "one", first.Reveal())
		again := reopen()
		second, err := again.SharedSecret(ctx, "x", secret.New("two"))
		require.NoError(t, err)
		require.Equal(t, "one", second.Reveal())
		other, err := again.SharedSecret(ctx, "y", secret.New("two"))
		require.NoError(t, err)
		require.Equal(t, "two", other.Reveal())
	})
}
