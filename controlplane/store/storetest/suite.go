// Package storetest is the conformance suite that every implementation of
// store passes.
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// Run tests a store. open gives an empty one; reopen the same one again, as
// another process would, beside the first or after its Close.
func Run(t *testing.T, open func(t *testing.T) (s *store.SQL, reopen func() *store.SQL)) {
	t.Helper()
	photos := store.Key{Site: "photos", Issuer: "https://as.example.com/realms/demo"}
	moved := store.Key{Site: "photos", Issuer: "https://other.example.com"}
	at := time.UnixMilli(1_790_000_000_123)

	t.Run("what replicas tell each other", func(t *testing.T) { fleet(t, open) })
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		_, err := s.Discovery(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.Client(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.PAT(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		resources, err := s.Resources(ctx, photos)
		require.NoError(t, err)
		require.Empty(t, resources)
		require.NoError(t, s.DeleteClient(ctx, photos))
		require.NoError(t, s.DeleteResource(ctx, photos, "albums"))
	})

	t.Run("what the AS lost", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		albums := store.Lost{Name: "albums", Kind: store.LostPolicies, At: at}
		require.NoError(t, s.PutLost(ctx, photos, albums))
		albums.At = at.Add(time.Minute)
		require.NoError(t, s.PutLost(ctx, photos, albums), "once more")
		require.NoError(t, s.PutLost(ctx, photos, store.Lost{Name: "album-7", Kind: store.LostInstance, At: at}))
		lost, err := s.Lost(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, []string{"album-7", "albums"}, []string{lost[0].Name, lost[1].Name})
		require.True(t, lost[1].At.Equal(albums.At))
		require.NoError(t, s.DeleteLost(ctx, photos, "album-7"))
		require.ErrorIs(t, s.DeleteLost(ctx, photos, "album-7"), store.ErrNotFound)
		require.NoError(t, s.Forget(ctx, photos))
		lost, err = s.Lost(ctx, photos)
		require.NoError(t, err)
		require.Empty(t, lost)
	})

	t.Run("what the AS keeps", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		_, err := s.KeptResources(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		for _, text := range []string{`{"resources":[]}`, `{"resources":[{"id":"a"}]}`} {
			want := store.KeptResources{Reading: json.RawMessage(text), ReadAt: at}
			require.NoError(t, s.PutKeptResources(ctx, photos, want))
			got, err := s.KeptResources(ctx, photos)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.NoError(t, s.Forget(ctx, photos))
		_, err = s.KeptResources(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
	})

	t.Run("records survive and are replaced", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		discovery := store.Discovery{Metadata: json.RawMessage(`{"issuer":"https://as.example.com/realms/demo"}`), FoundAt: at}
		client := store.Client{State: store.ClientRegistering, Name: "umagate photos 1", UpdatedAt: at}
		pat := store.PAT{Value: secret.New("pat-1"), ClientID: "c1", IssuedAt: at, ExpiresAt: at.Add(time.Minute)}
		pending := store.Resource{Name: "albums", State: store.ResourcePending, Spec: json.RawMessage(`{"scopes":["view"]}`), UpdatedAt: at}
		require.NoError(t, s.PutDiscovery(ctx, photos, discovery))
		require.NoError(t, s.PutClient(ctx, photos, client))
		require.NoError(t, s.PutPAT(ctx, photos, pat))
		require.NoError(t, s.PutResource(ctx, photos, pending))
		require.NoError(t, s.PutResource(ctx, photos, store.Resource{Name: "a", State: store.ResourcePending, Spec: json.RawMessage(`{}`)}))

		client = store.Client{
			State: store.ClientRegistered, Name: "umagate photos 1", ClientID: "c1", Secret: secret.New("hush"),
			SecretExpiresAt: at.Add(time.Hour), AuthMethod: "client_secret_basic", AccessToken: secret.New("rat"),
			URI: "https://as.example.com/clients/c1", UpdatedAt: at, Metadata: "5ca1ab1e", RegisteredAt: at, Registrations: 2, Attempts: 3,
			RetryAt: at.Add(time.Minute),
		}
		registered := pending
		registered.State, registered.ID = store.ResourceRegistered, "r-1"
		pat.Value = secret.New("pat-2")
		require.NoError(t, s.PutClient(ctx, photos, client))
		require.NoError(t, s.PutResource(ctx, photos, registered))
		require.NoError(t, s.PutPAT(ctx, photos, pat))
		require.NoError(t, s.DeleteResource(ctx, photos, "a"))

		require.NoError(t, s.Close())
		s = reopen()
		gotDiscovery, err := s.Discovery(ctx, photos)
		require.NoError(t, err)
		require.JSONEq(t, string(discovery.Metadata), string(gotDiscovery.Metadata))
		require.True(t, at.Equal(gotDiscovery.FoundAt))
		gotClient, err := s.Client(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, "hush", gotClient.Secret.Reveal())
		require.Equal(t, "rat", gotClient.AccessToken.Reveal())
		require.Equal(t, client, gotClient)
		gotPAT, err := s.PAT(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, pat, gotPAT)
		resources, err := s.Resources(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, []store.Resource{registered}, resources)
		require.NoError(t, s.DeleteClient(ctx, photos))
		_, err = s.Client(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
	})

	t.Run("sites of a resource", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		films, elsewhere := store.Key{Site: "films", Issuer: photos.Issuer}, store.Key{Site: "books", Issuer: "https://another.example.com"}
		resource := func(name, id string) store.Resource {
			return store.Resource{Name: name, State: store.ResourceRegistered, ID: id, Spec: json.RawMessage(`{}`)}
		}
		require.NoError(t, s.PutResource(ctx, photos, resource("a", "r-1")))
		require.NoError(t, s.PutResource(ctx, photos, resource("a", "r-1")), "it is its own")
		require.NoError(t, s.PutResource(ctx, elsewhere, resource("a", "r-1")), "another AS, another resource")
		for range 2 {
			require.NoError(t, s.PutResource(ctx, films, store.Resource{Name: "c", State: store.ResourcePending, Spec: json.RawMessage(`{}`)}))
			require.NoError(t, s.PutResource(ctx, photos, store.Resource{Name: "c", State: store.ResourcePending, Spec: json.RawMessage(`{}`)}))
		}
		require.ErrorIs(t, s.PutResource(ctx, films, resource("b", "r-1")), store.ErrTaken)
		require.ErrorIs(t, s.PutResource(ctx, films, resource("c", "r-1")), store.ErrTaken)
		_, added, err := s.AddInstance(ctx, films, store.Instance{Name: "album-1", Template: "album-{id}", Values: []string{"1"}, State: store.InstanceRegistered, ID: "r-2", Spec: json.RawMessage(`{}`)})
		require.NoError(t, err)
		require.True(t, added)
		require.ErrorIs(t, s.PutResource(ctx, photos, resource("album-1", "r-2")), store.ErrTaken, "it is an instance of films")
		for id, want := range map[string][]string{"r-1": {"photos"}, "r-2": {"films"}, "r-3": nil, "": nil} {
			sites, err := s.ResourceSites(ctx, photos.Issuer, id)
			require.NoError(t, err)
			require.Equal(t, want, sites)
		}
		require.NoError(t, s.DeleteResource(ctx, photos, "a"))
		require.NoError(t, s.PutResource(ctx, films, resource("b", "r-1")), "nobody has it any more")
	})

	t.Run("of two sites, one has a resource", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		stores := []*store.SQL{s, reopen()}
		const sites = 8
		errs := make([]error, sites)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				key := store.Key{Site: fmt.Sprintf("s%d", i), Issuer: photos.Issuer}
				errs[i] = stores[i%2].PutResource(ctx, key, store.Resource{Name: "a", State: store.ResourcePending, ID: "r-1", Spec: json.RawMessage(`{}`)})
			})
		}
		group.Wait()
		taken := 0
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, store.ErrTaken)
				taken++
			}
		}
		require.Equal(t, sites-1, taken)
		got, err := s.ResourceSites(ctx, photos.Issuer, "r-1")
		require.NoError(t, err)
		require.Len(t, got, 1)
	})

	t.Run("keys of a client", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		first := store.ClientKey{
			ID: "kid-1", Purpose: store.KeySignature, Algorithm: "ES256", State: store.KeyNew, Private: secret.New("pem-1"), CreatedAt: at, StateAt: at,
		}
		second := store.ClientKey{
			ID: "kid-0", Purpose: store.KeyTLS, Algorithm: "RS256", State: store.KeyNew, Private: secret.New("pem-2"), Certificate: "cert",
			CreatedAt: at.Add(time.Second), StateAt: at.Add(time.Second),
		}
		require.NoError(t, s.PutClientKey(ctx, photos, second))
		require.NoError(t, s.PutClientKey(ctx, photos, first))
		first.State, first.StateAt = store.KeyActive, at.Add(time.Minute)
		require.NoError(t, s.PutClientKey(ctx, photos, first))
		got, err := reopen().ClientKeys(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, []store.ClientKey{first, second}, got, "the oldest first")
		none, err := s.ClientKeys(ctx, moved)
		require.NoError(t, err)
		require.Empty(t, none)
		require.NoError(t, s.DeleteClientKey(ctx, photos, "kid-1"))
		require.NoError(t, s.DeleteClientKey(ctx, photos, "kid-1"))
		got, err = s.ClientKeys(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, []store.ClientKey{second}, got)
	})

	t.Run("a renewal does not undo another login", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		serve := reopen()
		ctx := t.Context()
		_, err := s.Login(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		login := store.Login{
			ClientID: "c1", Subject: "alice", Scope: "openid", RefreshToken: secret.New("refresh-1"), ObtainedAt: at, UpdatedAt: at,
		}
		require.NoError(t, s.PutLogin(ctx, photos, login))
		held, err := serve.Login(ctx, photos)
		require.NoError(t, err)
		login.Generation = held.Generation
		require.Equal(t, login, held)
		held.RefreshToken, held.UpdatedAt = secret.New("refresh-2"), at.Add(time.Second)
		require.NoError(t, serve.RenewLogin(ctx, photos, held))

		login.RefreshToken = secret.New("other-1")
		require.NoError(t, s.PutLogin(ctx, photos, login))
		held.RefreshToken = secret.New("refresh-3")
		require.ErrorIs(t, serve.RenewLogin(ctx, photos, held), store.ErrNotFound)
		now, err := serve.Login(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, "other-1", now.RefreshToken.Reveal())
		require.Greater(t, now.Generation, held.Generation)
		now.EndedAt = at.Add(time.Hour)
		require.NoError(t, serve.RenewLogin(ctx, photos, now))
		ended, err := s.Login(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, now, ended)
	})

	runRPs(t, open)

	t.Run("what applications protect", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		_, err := s.Protection(ctx, "x")
		require.ErrorIs(t, err, store.ErrNotFound)
		before, err := s.Changes(ctx)
		require.NoError(t, err)
		later := store.Protection{OxdID: "a", Document: json.RawMessage(`[]`), UpdatedAt: at.Add(time.Second)}
		first := store.Protection{OxdID: "b", Document: json.RawMessage(`[1]`), UpdatedAt: at}
		require.NoError(t, s.PutProtection(ctx, later))
		require.NoError(t, s.PutProtection(ctx, first))
		first.Settled, first.UpdatedAt = true, at.Add(time.Hour)
		require.NoError(t, s.PutProtection(ctx, first))
		after, err := s.Changes(ctx)
		require.NoError(t, err)
		require.Greater(t, after, before, "other replicas see it")
		later.CreatedAt, first.CreatedAt = at.Add(time.Second), at
		other := reopen()
		got, err := other.Protections(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Protection{first, later}, got, "the earliest first")
		one, err := s.Protection(ctx, "b")
		require.NoError(t, err)
		require.Equal(t, first, one)
		_, err = s.Protection(ctx, "none")
		require.ErrorIs(t, err, store.ErrNotFound)
	})

	t.Run("what is forgotten is gone", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		for _, key := range []store.Key{photos, moved} {
			require.NoError(t, s.PutDiscovery(ctx, key, store.Discovery{Metadata: json.RawMessage(`{}`)}))
			require.NoError(t, s.PutClient(ctx, key, store.Client{State: store.ClientDeregistering, ClientID: "c1", Secret: secret.New("hush")}))
			require.NoError(t, s.PutPAT(ctx, key, store.PAT{Value: secret.New("pat")}))
			require.NoError(t, s.PutClientKey(ctx, key, store.ClientKey{ID: "kid-1"}))
			require.NoError(t, s.PutLogin(ctx, key, store.Login{}))
			require.NoError(t, s.PutResource(ctx, key, store.Resource{Name: "albums", Spec: json.RawMessage(`{}`)}))
		}
		require.NoError(t, s.Forget(ctx, photos))
		require.NoError(t, s.Forget(ctx, photos))
		left, err := s.Client(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, store.Client{State: store.ClientDeregistered}, left)
		_, err = s.Discovery(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.PAT(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.Login(ctx, photos)
		require.ErrorIs(t, err, store.ErrNotFound)
		keys, err := s.ClientKeys(ctx, photos)
		require.NoError(t, err)
		require.Empty(t, keys)
		resources, err := s.Resources(ctx, photos)
		require.NoError(t, err)
		require.Empty(t, resources)
		other, err := s.Client(ctx, moved)
		require.NoError(t, err)
		require.Equal(t, "hush", other.Secret.Reveal(), "another issuer's is another's")
	})

	t.Run("audit events are added, chosen and ended", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		old, now := time.Now().Add(-48*time.Hour).Truncate(time.Millisecond), time.Now().Truncate(time.Millisecond)
		add := func(at time.Time, actor, site string, action audit.Action) audit.Event {
			e := audit.Event{
				At: at, Actor: audit.Actor{Kind: audit.KindAPI, Name: actor, Address: "192.0.2.1"}, Action: action, Site: site, Target: "albums",
				Outcome: audit.Done, Detail: map[string]string{"name": "a"}, RequestID: "r-1",
			}
			require.NoError(t, s.AddAudit(ctx, e))
			return e
		}
		number, err := s.Changes(ctx)
		require.NoError(t, err)
		events := []audit.Event{
			add(old, "ci", "photos", audit.ResourceCreate), add(now.Add(-time.Hour), "ci", "music", audit.ResourceDelete), add(now, "ops", "photos", audit.ConfigReload),
		}
		after, err := s.Changes(ctx)
		require.NoError(t, err)
		require.Equal(t, number, after, "other replicas need not read anew")
		choose := func(f store.AuditFilter) []audit.Event {
			if f.Limit == 0 {
				f.Limit = 10
			}
			got, err := reopen().Audit(ctx, f)
			require.NoError(t, err)
			return got
		}
		all := choose(store.AuditFilter{})
		require.Len(t, all, 3)
		for i := range all {
			require.Positive(t, all[i].ID)
			events[2-i].ID = all[i].ID
			require.Equal(t, events[2-i], all[i])
		}
		require.Equal(t, all[:1], choose(store.AuditFilter{Limit: 1}))
		require.Equal(t, all[1:], choose(store.AuditFilter{Before: all[0].ID}))
		require.Equal(t, []audit.Event{all[0], all[2]}, choose(store.AuditFilter{Site: "photos"}))
		require.Equal(t, all[1:], choose(store.AuditFilter{Actor: "ci"}))
		require.Equal(t, all[1:2], choose(store.AuditFilter{Action: audit.ResourceDelete}))
		require.Equal(t, all[:2], choose(store.AuditFilter{Since: now.Add(-time.Hour)}))
		require.Equal(t, all[1:], choose(store.AuditFilter{Until: now}))

		ended, err := s.EndAudit(ctx, now.Add(-30*time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 1, ended)
		require.Equal(t, all[:2], choose(store.AuditFilter{}))
		_, err = s.EndAudit(ctx, now.Add(time.Hour))
		require.Error(t, err, "the last day is kept")
		require.Equal(t, all[:2], choose(store.AuditFilter{}))
	})

	t.Run("revocations", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		first := store.Revocation{
			ID: "b", Site: "photos", Kind: "subject", Value: "bob", Source: "api", Digest: [32]byte{0, 255}, IssuedBefore: at.Truncate(time.Second),
			CreatedAt: at, ExpiresAt: at.Add(time.Hour),
		}
		second := store.Revocation{ID: "a", Kind: "token", Source: "api", CreatedAt: at, ExpiresAt: at.Add(time.Minute)}
		before, err := s.Changes(ctx)
		require.NoError(t, err)
		require.NoError(t, s.AddRevocation(ctx, first, at, 2))
		require.NoError(t, s.AddRevocation(ctx, second, at, 2))
		after, err := s.Changes(ctx)
		require.NoError(t, err)
		require.Greater(t, after, before, "other replicas see it")
		require.ErrorIs(t, s.AddRevocation(ctx, store.Revocation{ID: "c", Kind: "token", ExpiresAt: at.Add(time.Hour)}, at, 2), store.ErrFull)
		narrower := first
		narrower.IssuedBefore, narrower.ExpiresAt = first.IssuedBefore.Add(-time.Second), at.Add(time.Second)
		require.NoError(t, s.AddRevocation(ctx, narrower, at, 2))
		other := reopen()
		got, err := other.Revocations(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Revocation{second, first}, got, "by id; the later times count")
		whenever := first
		whenever.IssuedBefore = time.Time{}
		require.NoError(t, s.AddRevocation(ctx, whenever, at, 2))
		require.NoError(t, s.AddRevocation(ctx, first, at, 2))
		third := store.Revocation{ID: "c", Kind: "token", CreatedAt: at, ExpiresAt: at.Add(25 * time.Hour)}
		require.NoError(t, s.AddRevocation(ctx, third, at.Add(time.Minute), 2), "one has ended")
		got, err = s.Revocations(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Revocation{second, whenever, third}, got, "it is there, as a clock may be ahead")
		require.NoError(t, s.AddRevocation(ctx, third, at.Add(24*time.Hour+time.Minute), 2))
		got, err = s.Revocations(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Revocation{whenever, third}, got, "a day later it is forgotten")
		require.NoError(t, s.DeleteRevocation(ctx, "b"))
		require.ErrorIs(t, s.DeleteRevocation(ctx, "b"), store.ErrNotFound)

		taken := func(id string, now time.Time) bool {
			t.Helper()
			first, err := s.TakeMessage(ctx, id, now.Add(time.Minute), now)
			require.NoError(t, err)
			return first
		}
		require.True(t, taken("m1", at))
		require.False(t, taken("m1", at))
		require.True(t, taken("m2", at))
		require.True(t, taken("m1", at.Add(time.Minute)), "long ago")
		require.NoError(t, s.ForgetMessage(ctx, "m1"))
		require.True(t, taken("m1", at.Add(time.Minute)))
	})

	t.Run("keys are apart", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		require.NoError(t, s.PutClient(ctx, photos, store.Client{State: store.ClientRegistered, ClientID: "one"}))
		_, err := s.Client(ctx, moved)
		require.ErrorIs(t, err, store.ErrNotFound)
		require.NoError(t, s.PutResource(ctx, moved, store.Resource{Name: "albums", State: store.ResourcePending, Spec: json.RawMessage(`{}`)}))
		resources, err := s.Resources(ctx, photos)
		require.NoError(t, err)
		require.Empty(t, resources)
		keys, err := s.Keys(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Key{photos, moved}, keys)
	})

	t.Run("concurrent writers lose nothing", func(t *testing.T) {
		t.Parallel()
		s, _ := open(t)
		ctx := t.Context()
		var wg sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			wg.Go(func() {
				errs[i] = s.PutResource(ctx, photos, store.Resource{Name: fmt.Sprintf("r%02d", i), State: store.ResourcePending, Spec: json.RawMessage(`{}`)})
			})
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		resources, err := s.Resources(ctx, photos)
		require.NoError(t, err)
		require.Len(t, resources, len(errs))
	})

	t.Run("every write is a change that all see", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		other := reopen()
		last, err := other.Changes(ctx)
		require.NoError(t, err)
		for what, write := range map[string]func() error{
			"discovery": func() error { return s.PutDiscovery(ctx, photos, store.Discovery{Metadata: json.RawMessage(`{}`)}) },
			"client":    func() error { return s.PutClient(ctx, photos, store.Client{}) },
			"no client": func() error { return s.DeleteClient(ctx, photos) },
			"pat":       func() error { return s.PutPAT(ctx, photos, store.PAT{}) },
			"key":       func() error { return s.PutClientKey(ctx, photos, store.ClientKey{ID: "kid"}) },
			"no key":    func() error { return s.DeleteClientKey(ctx, photos, "kid") },
			"login":     func() error { return s.PutLogin(ctx, photos, store.Login{}) },
			"forget":    func() error { return s.Forget(ctx, moved) },
			"resource": func() error {
				return s.PutResource(ctx, photos, store.Resource{Name: "a", Spec: json.RawMessage(`{}`)})
			},
			"none": func() error { return s.DeleteResource(ctx, photos, "a") },
		} {
			require.NoError(t, write(), what)
			now, err := other.Changes(ctx)
			require.NoError(t, err)
			require.Greater(t, now, last, what)
			last = now
		}
	})

	runInstances(t, open)

	t.Run("one leads", func(t *testing.T) {
		t.Parallel()
		first, reopen := open(t)
		second, command := reopen(), reopen()
		ctx := t.Context()
		lease, err := first.Lead(ctx)
		require.NoError(t, err)
		require.NoError(t, first.PutPAT(ctx, photos, store.PAT{ClientID: "first"}))
		_, err = second.Lead(ctx)
		require.True(t, errors.Is(err, store.ErrNotLeader) || errors.Is(err, store.ErrInUse), "%v", err)
		require.NoError(t, command.PutPAT(ctx, photos, store.PAT{ClientID: "command"}), "who never led may write")
		require.NoError(t, lease.Release())

		lease, err = second.Lead(ctx)
		require.NoError(t, err)
		require.NoError(t, second.PutPAT(ctx, photos, store.PAT{ClientID: "second"}))
		require.ErrorIs(t, first.PutPAT(ctx, photos, store.PAT{ClientID: "first"}), store.ErrReplaced)
		require.ErrorIs(t, first.DeleteClient(ctx, photos), store.ErrReplaced)
		pat, err := first.PAT(ctx, photos)
		require.NoError(t, err)
		require.Equal(t, "second", pat.ClientID)
		require.NoError(t, lease.Release())

		lease, err = first.Lead(ctx)
		require.NoError(t, err)
		require.NoError(t, first.PutPAT(ctx, photos, store.PAT{ClientID: "first"}))
		require.NoError(t, lease.Release())
	})

	t.Run("one changes a site", func(t *testing.T) {
		t.Parallel()
		first, reopen := open(t)
		second := reopen()
		ctx := t.Context()
		unlock, err := first.TryLock(ctx, photos)
		require.NoError(t, err)
		_, err = second.TryLock(ctx, photos)
		require.ErrorIs(t, err, store.ErrLocked)
		_, err = first.TryLock(ctx, photos)
		require.ErrorIs(t, err, store.ErrLocked, "nor does another part of the same process")
		other, err := second.TryLock(ctx, moved)
		require.NoError(t, err)
		require.NoError(t, other())
		require.NoError(t, unlock())
		unlock, err = second.TryLock(ctx, photos)
		require.NoError(t, err)
		require.NoError(t, unlock())
	})
}
