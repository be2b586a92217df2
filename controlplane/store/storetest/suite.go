// Package storetest is the conformance suite that every implementation of
// store.Store passes.
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

// Run tests a store. open gives an empty one; reopen, called after Close, the
// same one again.
func Run(t *testing.T, open func(t *testing.T) (s store.Store, reopen func() store.Store)) {
	t.Helper()
	photos := store.Key{Site: "photos", Issuer: "https://as.example.com/realms/demo"}
	moved := store.Key{Site: "photos", Issuer: "https://other.example.com"}
	at := time.UnixMilli(1_790_000_000_123)

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
			URI: "https://as.example.com/clients/c1", UpdatedAt: at,
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
}
