package storetest

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// runRPs tests what package oxd keeps.
func runRPs(t *testing.T, open opener) {
	t.Helper()
	at := time.UnixMilli(1_790_000_000_123)

	t.Run("relying parties", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		_, err := s.RP(ctx, "none")
		require.ErrorIs(t, err, store.ErrNotFound)
		require.NoError(t, s.DeleteRP(ctx, "none", store.Key{}))
		before, err := s.Changes(ctx)
		require.NoError(t, err)
		rp := store.RP{
			ID: "b", ClientID: "c1", Issuer: "https://op.example.com", Setup: true, Record: json.RawMessage(`{"a":1}`), Secrets: secret.New("hush"), UpdatedAt: at,
		}
		version, err := s.PutRP(ctx, rp)
		require.NoError(t, err)
		_, err = s.PutRP(ctx, rp) // as new once more
		require.ErrorIs(t, err, store.ErrChanged)
		plain := rp
		plain.ID, plain.Setup, plain.Secrets = "a", false, secret.Text{}
		_, err = s.PutRP(ctx, plain)
		require.NoError(t, err)
		after, err := s.Changes(ctx)
		require.NoError(t, err)
		require.Greater(t, after, before, "other replicas see it")

		other := reopen()
		got, err := other.SetupRP(ctx, "https://op.example.com", "c1")
		require.NoError(t, err)
		rp.Version = version
		require.Equal(t, rp, got)
		_, err = other.SetupRP(ctx, "https://elsewhere.example.com", "c1")
		require.ErrorIs(t, err, store.ErrNotFound)
		all, err := other.RPs(ctx)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.Equal(t, "a", all[0].ID)

		// Of two that change the same version, one does.
		got.Record = json.RawMessage(`{"a":2}`)
		_, err = other.PutRP(ctx, got)
		require.NoError(t, err)
		rp.Record = json.RawMessage(`{"a":3}`)
		_, err = s.PutRP(ctx, rp)
		require.ErrorIs(t, err, store.ErrChanged)
		require.NoError(t, s.PutTemporaryState(ctx, store.TemporaryState{Kind: "k", ID: "1", OxdID: "b", Value: secret.New("v"), ExpiresAt: at.Add(time.Hour)}, at))
		// With it goes what is kept of its site, and of no other.
		photos := store.Key{Site: "photos", Issuer: rp.Issuer}
		site := store.Key{Site: "oxd-b", Issuer: rp.Issuer}
		for _, key := range []store.Key{site, photos} {
			require.NoError(t, s.PutPAT(ctx, key, store.PAT{Value: secret.New("pat"), ClientID: "c1"}))
			require.NoError(t, s.PutResource(ctx, key, store.Resource{Name: "albums", State: store.ResourceRegistered, ID: "r-" + key.Site, Spec: json.RawMessage(`{}`)}))
		}
		for _, id := range []string{"a", "b"} {
			require.NoError(t, s.PutProtection(ctx, store.Protection{OxdID: id, Document: json.RawMessage(`[]`), CreatedAt: at, UpdatedAt: at}))
		}
		require.NoError(t, s.DeleteRP(ctx, "b", site))
		left, err := s.Protections(ctx)
		require.NoError(t, err)
		require.Len(t, left, 1)
		require.Equal(t, "a", left[0].OxdID)
		_, err = s.PAT(ctx, site)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.PAT(ctx, photos)
		require.NoError(t, err)
		keys, err := s.Keys(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Key{photos}, keys)
		_, err = s.RP(ctx, "b")
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.TemporaryState(ctx, "k", "1", at)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.PutRP(ctx, rp) // a change of what is gone
		require.ErrorIs(t, err, store.ErrChanged)
	})

	t.Run("states", func(t *testing.T) {
		t.Parallel()
		s, reopen := open(t)
		ctx := t.Context()
		state := store.TemporaryState{Kind: "login", ID: "1", OxdID: "a", Value: secret.New("v1"), ExpiresAt: at.Add(time.Minute)}
		require.NoError(t, s.PutTemporaryState(ctx, state, at))
		state.Value = secret.New("v2")
		require.NoError(t, s.PutTemporaryState(ctx, state, at))
		_, err := s.TemporaryState(ctx, "other", "1", at)
		require.ErrorIs(t, err, store.ErrNotFound)
		got, err := s.TemporaryState(ctx, "login", "1", at)
		require.NoError(t, err)
		require.Equal(t, "v2", got.Value.Reveal())
		_, err = s.TemporaryState(ctx, "login", "1", state.ExpiresAt)
		require.ErrorIs(t, err, store.ErrNotFound, "it has expired")

		other := reopen()
		const asking = 8
		var wg sync.WaitGroup
		taken := make(chan error, asking)
		for i := range asking {
			from := s
			if i%2 == 0 {
				from = other
			}
			wg.Go(func() {
				_, err := from.TakeTemporaryState(ctx, "login", "1", at)
				taken <- err
			})
		}
		wg.Wait()
		close(taken)
		winners := 0
		for err := range taken {
			if err == nil {
				winners++
			} else {
				require.ErrorIs(t, err, store.ErrNotFound)
			}
		}
		require.Equal(t, 1, winners, "one of many gets it")

		state.ExpiresAt = at.Add(time.Second)
		require.NoError(t, s.PutTemporaryState(ctx, state, at))
		require.NoError(t, s.PutTemporaryState(ctx, store.TemporaryState{Kind: "login", ID: "2", ExpiresAt: at.Add(time.Hour)}, at.Add(time.Minute)))
		_, err = s.TemporaryState(ctx, "login", "1", at) // it was forgotten, whatever the clock says now
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}
