package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

func missing(t *testing.T, open opener) {
	t.Helper()
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
}

func lost(t *testing.T, open opener) {
	t.Helper()
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
}

func kept(t *testing.T, open opener) {
	t.Helper()
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
}

func records(t *testing.T, open opener) {
	t.Helper()
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
}

func renewals(t *testing.T, open opener) {
	t.Helper()
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
}

func protections(t *testing.T, open opener) {
	t.Helper()
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
}

func forgotten(t *testing.T, open opener) {
	t.Helper()
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
}
