package instance_test

import (
	"context"
	"errors"
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

// authority is an AS that a test breaks.
type authority struct {
	mu        sync.Mutex
	resources map[string]as.Resource
	next      int
	byName    bool
	owners    bool  // it tells them
	fail      error // of every call
	good      int   // how many creations there may be before all fails, if there is one
	failed    int
	lose      bool // creations have no answer
	creates   int
	listings  int
	finds     int
}

func (a *authority) do(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		a.failed++
		return a.fail
	}
	return f()
}

func (a *authority) Create(_ context.Context, r as.Resource) (as.Resource, error) {
	err := a.do(func() error {
		a.creates++
		if a.good--; a.good == 0 {
			a.fail = unavailable
		}
		a.next++
		r.ID = fmt.Sprintf("id-%d", a.next)
		kept := r
		if !a.owners {
			kept.Owner = ""
		}
		a.resources[r.ID] = kept
		if a.lose {
			return unavailable
		}
		return nil
	})
	return r, err
}

func (a *authority) Read(_ context.Context, id string) (r as.Resource, err error) {
	err = a.do(func() error {
		var ok bool
		if r, ok = a.resources[id]; !ok {
			return &as.Error{Status: 404, Kind: as.ErrNotFound}
		}
		return nil
	})
	return r, err
}

func (a *authority) Update(_ context.Context, r as.Resource) error {
	return a.do(func() error {
		r.Owner, r.OwnerName = a.resources[r.ID].Owner, a.resources[r.ID].OwnerName
		a.resources[r.ID] = r
		return nil
	})
}

func (a *authority) Delete(_ context.Context, id string) error {
	return a.do(func() error { delete(a.resources, id); return nil })
}

func (a *authority) FindByName(_ context.Context, name string) (found []as.Resource, err error) {
	err = a.do(func() error {
		a.finds++
		for _, r := range a.resources {
			if r.Name == name {
				found = append(found, r)
			}
		}
		return nil
	})
	return found, err
}

func (a *authority) FindsByName() bool { return a.byName }

func (a *authority) ListAll(context.Context) (out as.Listing, err error) {
	err = a.do(func() error {
		a.listings++
		out.Described = true
		for _, r := range a.resources {
			out.Resources = append(out.Resources, r)
		}
		return nil
	})
	return out, err
}

// set changes the AS behind everybody's back.
func (a *authority) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

var unavailable = &as.Error{Status: 503, Kind: as.ErrUnavailable}

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
