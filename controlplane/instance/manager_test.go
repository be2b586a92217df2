package instance_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// world is a manager with what it works on.
type world struct {
	t       *testing.T
	as      *authority
	store   *store.SQL
	manager *instance.Manager
	now     time.Time
	lost    map[string]store.LostKind
	mu      sync.Mutex
	leads   bool
}

const file = `
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "https://as.example.com", client: {register: {}}}
  resources:
  - {name: albums, conditions: [{paths: ["/albums"], methods: [POST], scopes: [create]}]}
  - {name: "album-{id}", type: "urn:album", conditions: [{paths: ["/albums/{id}", "/albums/{id}/**"], scopes: [view]}]}
  - {name: "tag-{b}/{a}", conditions: [{paths: ["/users/{a}/tags/{b}"], scopes: [view]}]}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	kept, err := store.Open(t.Context(), secret.New("sqlite:x.db"), t.TempDir(), secret.Text{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	w := &world{t: t, as: &authority{resources: map[string]as.Resource{}, byName: true}, store: kept, now: time.UnixMilli(1_790_000_000_000), leads: true, lost: map[string]store.LostKind{}}
	w.configure(file)
	return w
}

// configure is a start with that file.
func (w *world) configure(text string) {
	w.t.Helper()
	parsed, err := site.Parse(filepath.Base("umagate.yaml"), []byte(text), site.Environment{})
	require.NoError(w.t, err)
	s := &parsed.Sites[0]
	w.manager, err = instance.New(instance.Options{
		Site: s, Key: w.key(), Store: w.store, AS: func() (instance.AS, error) { return w.as, nil },
		Leads: func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.leads }, Logger: slog.New(slog.DiscardHandler),
		Lost: func(_ context.Context, name string, kind store.LostKind) { w.lost[name] = kind },
		Now:  func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
	})
	require.NoError(w.t, err)
}

func (*world) key() store.Key { return store.Key{Site: "photos", Issuer: "https://as.example.com"} }

func (w *world) after(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// pass is one round of Run.
func (w *world) pass() {
	w.t.Helper()
	require.NoError(w.t, instance.Pass(w.t.Context(), w.manager))
}

func (w *world) register(values ...string) (store.Instance, error) {
	in, _, err := w.manager.Register(w.t.Context(), instance.Request{Template: "album-{id}", Values: values, Owner: "alice"})
	return in, err
}

func (w *world) lookup(values ...string) (string, error) {
	return w.manager.Lookup(w.t.Context(), instance.Request{Template: "album-{id}", Values: values})
}

func (w *world) names() []string {
	names := []string{}
	w.as.set(func() {
		for _, r := range w.as.resources {
			names = append(names, r.Name)
		}
	})
	return names
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, err := w.register("7")
	require.NoError(t, err)
	require.Equal(t, store.InstanceRegistered, in.State)
	require.Equal(t, "id-1", in.ID)
	require.Equal(t, as.Resource{ID: "id-1", Name: "album-7", Type: "urn:album", Scopes: []string{"view"}}, w.as.resources["id-1"])
	again, created, err := w.manager.Register(t.Context(), instance.Request{Template: "album-{id}", Path: "/albums/7", Owner: "alice"})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, in.ID, again.ID)
	require.Equal(t, 1, w.as.creates)
	_, _, err = w.manager.Register(t.Context(), instance.Request{Template: "album-{id}", Values: []string{"7"}, Owner: "bob"})
	require.ErrorIs(t, err, instance.ErrOwned)

	id, err := w.lookup("7")
	require.NoError(t, err)
	require.Equal(t, "id-1", id)
	_, err = w.lookup("8")
	require.ErrorIs(t, err, instance.ErrUnknown)

	_, err = w.manager.Remove(t.Context(), "album-7")
	require.NoError(t, err)
	require.Empty(t, w.names())
	_, err = w.lookup("7")
	require.ErrorIs(t, err, instance.ErrUnknown)
	_, err = w.manager.Remove(t.Context(), "album-7")
	require.ErrorIs(t, err, instance.ErrUnknown)
}

func TestWhatCannotBeNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		name string
		ask  instance.Request
		err  error
	}{
		{"a resource with one registration", instance.Request{Template: "albums"}, instance.ErrTemplate},
		{"an unknown one", instance.Request{Template: "box-{id}", Values: []string{"1"}}, instance.ErrTemplate},
		{"no value", instance.Request{Template: "album-{id}"}, instance.ErrValues},
		{"too many", instance.Request{Template: "album-{id}", Values: []string{"1", "2"}}, instance.ErrValues},
		{"an empty one", instance.Request{Template: "album-{id}", Values: []string{""}}, instance.ErrValues},
		{"two segments", instance.Request{Template: "album-{id}", Values: []string{"1/2"}}, instance.ErrValues},
		{"a dot segment", instance.Request{Template: "album-{id}", Values: []string{".."}}, instance.ErrValues},
		{"a control character", instance.Request{Template: "album-{id}", Values: []string{"a\n"}}, instance.ErrValues},
		{"no text", instance.Request{Template: "album-{id}", Values: []string{"\xff"}}, instance.ErrValues},
		{"a long one", instance.Request{Template: "album-{id}", Values: []string{strings.Repeat("a", 129)}}, instance.ErrValues},
		{"one that is long once it is encoded", instance.Request{Template: "album-{id}", Values: []string{strings.Repeat("é", 60)}}, instance.ErrValues},
		{"a path below it", instance.Request{Template: "album-{id}", Path: "/albums/1/photos"}, instance.ErrValues},
		{"a path elsewhere", instance.Request{Template: "album-{id}", Path: "/things/1"}, instance.ErrValues},
		{"an ambiguous path", instance.Request{Template: "album-{id}", Path: "/albums/%31"}, instance.ErrValues},
		{"path and values", instance.Request{Template: "album-{id}", Path: "/albums/1", Values: []string{"1"}}, instance.ErrValues},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := w.manager.Register(t.Context(), tt.ask)
			require.ErrorIs(t, err, tt.err)
		})
	}
	in, _, err := w.manager.Register(t.Context(), instance.Request{Template: "tag-{b}/{a}", Path: "/users/alice/tags/caf%C3%A9"})
	require.NoError(t, err)
	require.Equal(t, "tag-caf%C3%A9/alice", in.Name)
}

// TestNothingIsLost: what the AS did not do when it was asked is done later, once.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.as.set(func() { w.as.fail = unavailable })
		in, err := w.register("7")
		require.NoError(t, err, "it is asked for, and that is what counts")
		require.Equal(t, store.InstancePending, in.State)
		require.NotEmpty(t, in.Failure)
		_, err = w.lookup("7")
		require.ErrorIs(t, err, instance.ErrUnknown)
		w.pass()
		w.as.set(func() { w.as.fail = nil })
		w.pass()
		require.Empty(t, w.names(), "not at once")
		w.after(time.Minute)
		w.pass()
		require.Equal(t, []string{"album-7"}, w.names())
		_, err = w.lookup("7")
		require.NoError(t, err)
	})
	for _, byName := range []bool{true, false} {
		t.Run(fmt.Sprintf("an answer that did not arrive, by name %v", byName), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.as.set(func() { w.as.lose, w.as.byName = true, byName })
			in, err := w.register("7")
			require.NoError(t, err)
			require.Equal(t, store.InstancePending, in.State)
			w.as.set(func() { w.as.lose = false })
			w.configure(file) // as after kill -9
			w.after(time.Minute)
			w.pass()
			require.Equal(t, []string{"album-7"}, w.names(), "once")
			require.Equal(t, 1, w.as.creates)
			id, err := w.lookup("7")
			require.NoError(t, err)
			require.Equal(t, "id-1", id)
		})
		t.Run(fmt.Sprintf("removed before its creation is known, by name %v", byName), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.as.set(func() { w.as.lose, w.as.byName = true, byName })
			_, err := w.register("7")
			require.NoError(t, err)
			in, err := w.manager.Remove(t.Context(), "album-7")
			require.NoError(t, err)
			require.Equal(t, store.InstanceRemoving, in.State)
			_, err = w.register("7")
			require.ErrorIs(t, err, instance.ErrRemoving)
			w.after(time.Minute)
			w.pass()
			require.Empty(t, w.names())
			_, err = w.manager.Get(t.Context(), "album-7")
			require.ErrorIs(t, err, instance.ErrUnknown)
		})
	}
	t.Run("asked of a replica that does not lead", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.leads = false
		in, err := w.register("7")
		require.NoError(t, err)
		require.Equal(t, store.InstancePending, in.State)
		w.pass()
		require.Empty(t, w.names())
		w.mu.Lock()
		w.leads = true
		w.mu.Unlock()
		w.pass()
		require.Equal(t, []string{"album-7"}, w.names())
	})
}

// TestWhatOthersRegistered is found by its name, and never removed.
func TestWhatOthersRegistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.as.set(func() {
		w.as.resources["theirs"] = as.Resource{ID: "theirs", Name: "album-7", Scopes: []string{"view"}}
	})
	for range 3 {
		id, err := w.lookup("7")
		require.NoError(t, err)
		require.Equal(t, "theirs", id)
		_, err = w.lookup("8")
		require.ErrorIs(t, err, instance.ErrUnknown)
	}
	require.Equal(t, 2, w.as.finds, "asked once for each")
	w.after(3 * time.Second)
	_, err := w.lookup("8")
	require.ErrorIs(t, err, instance.ErrUnknown)
	require.Equal(t, 3, w.as.finds, "that there is none is believed for a short time")
	_, err = w.manager.Remove(t.Context(), "album-7")
	require.ErrorIs(t, err, instance.ErrUnknown)
	w.as.set(func() { w.as.resources["two"] = as.Resource{ID: "two", Name: "album-7"} })
	w.after(time.Hour)
	_, err = w.lookup("7")
	require.ErrorIs(t, err, instance.ErrAmbiguous)
	w.as.set(func() { w.as.fail = unavailable })
	_, err = w.lookup("9")
	require.ErrorIs(t, err, as.ErrUnavailable)
	require.NotErrorIs(t, err, instance.ErrUnknown, "an AS that does not answer says nothing")
}

// TestListing: an AS that cannot be asked for a name is read as a whole, rarely.
func TestListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.as.set(func() {
		w.as.byName = false
		w.as.resources["theirs"] = as.Resource{ID: "theirs", Name: "album-7"}
	})
	id, err := w.lookup("7")
	require.NoError(t, err)
	require.Equal(t, "theirs", id)
	for i := range 20 {
		_, err = w.lookup(fmt.Sprint("no-", i))
		require.ErrorIs(t, err, instance.ErrUnknown)
	}
	require.Equal(t, 1, w.as.listings)
	w.after(time.Minute)
	_, err = w.lookup("other")
	require.ErrorIs(t, err, instance.ErrUnknown)
	require.Equal(t, 2, w.as.listings)
}

// TestOwners: an AS that tells owners keeps them apart.
func TestOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.as.set(func() {
		w.as.owners = true
		w.as.resources["bobs"] = as.Resource{ID: "bobs", Name: "album-7", Owner: "bob"}
		w.as.resources["hers"] = as.Resource{ID: "hers", Name: "album-8", Owner: "alice", Scopes: []string{"old"}}
		w.as.resources["named"] = as.Resource{ID: "named", Name: "album-9", Owner: "3f2c", OwnerName: "Alice", Scopes: []string{"view"}}
	})
	in, err := w.register("8")
	require.NoError(t, err)
	require.Equal(t, "hers", in.ID, "taken over, since its owner is the one")
	require.Equal(t, []string{"view"}, w.as.resources["hers"].Scopes)
	for range 2 { // the second is of what the first has registered
		in, err = w.register("9")
		require.NoError(t, err)
		require.Equal(t, "named", in.ID, "the AS has her by her user name")
		require.Equal(t, "3f2c", in.Owner)
	}
	require.Zero(t, w.as.creates)
	_, _, err = w.manager.Register(t.Context(), instance.Request{Template: "album-{id}", Values: []string{"9"}, Owner: "bob"})
	require.ErrorIs(t, err, instance.ErrOwned)
}

// TestWhatIsRefusedStays: what the AS refuses stays pending with the reason, after a start
// anew and by whoever leads, and is tried again until it is done or somebody removes it.
func TestWhatIsRefusedStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.as.set(func() {
		w.as.owners = true
		w.as.resources["bobs"] = as.Resource{ID: "bobs", Name: "album-7", Owner: "bob"}
		w.as.fail = &as.Error{Op: "register", Status: 400, Kind: as.ErrRejected}
	})
	in, err := w.register("6")
	require.NoError(t, err)
	require.Equal(t, store.InstancePending, in.State)
	require.Contains(t, in.Failure, as.ErrRejected.Error())
	require.Contains(t, in.Failure, as.Remedy(as.ErrRejected))
	w.as.set(func() { w.as.fail = nil })
	_, err = w.register("7")
	require.NoError(t, err)
	tries := 0
	for i := range 20 {
		w.configure(file) // as after a start anew, or another replica
		w.leads = i%2 == 0
		w.after(5 * time.Minute)
		before := w.as.finds
		w.pass()
		if w.as.finds > before {
			require.True(t, w.leads)
			tries++
		}
	}
	require.Equal(t, 10, tries)
	w.leads = true
	in, err = w.manager.Get(t.Context(), "album-7")
	require.NoError(t, err)
	require.Equal(t, store.InstancePending, in.State)
	require.Contains(t, in.Failure, instance.ErrOwned.Error())
	require.Greater(t, in.Attempts, tries)
	failed, count, err := w.store.FailedInstances(t.Context(), w.key(), 5)
	require.NoError(t, err)
	require.Equal(t, 1, count, "album-6 is registered")
	require.Equal(t, "album-7", failed[0].Name)

	w.as.set(func() { delete(w.as.resources, "bobs") })
	w.after(5 * time.Minute)
	w.pass()
	in, err = w.manager.Get(t.Context(), "album-7")
	require.NoError(t, err)
	require.Equal(t, store.InstanceRegistered, in.State)

	w.as.set(func() { w.as.fail = as.ErrOwner })
	_, err = w.register("8")
	require.NoError(t, err)
	w.as.set(func() { w.as.fail = nil })
	_, err = w.manager.Remove(t.Context(), "album-8")
	require.NoError(t, err)
	w.after(5 * time.Minute)
	w.pass()
	_, err = w.manager.Get(t.Context(), "album-8")
	require.ErrorIs(t, err, instance.ErrUnknown)
	require.ElementsMatch(t, []string{"album-6", "album-7"}, w.names())
}
