package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

func resourceSites(t *testing.T, open opener) {
	t.Helper()
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
}

func oneSite(t *testing.T, open opener) {
	t.Helper()
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
}

func clientKeys(t *testing.T, open opener) {
	t.Helper()
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
}
