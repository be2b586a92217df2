package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/store"
)

// fleet tests what replicas tell each other.
func fleet(t *testing.T, open opener) {
	t.Helper()
	t.Parallel()
	s, reopen := open(t)
	ctx := t.Context()
	_, err := s.Leader(ctx)
	require.ErrorIs(t, err, store.ErrNotFound)
	at := time.UnixMilli(1_790_000_000_123)
	for _, name := range []string{"one", "two"} {
		require.NoError(t, s.PutLeader(ctx, store.Leader{Name: name, Since: at}))
	}
	leader, err := reopen().Leader(ctx)
	require.NoError(t, err)
	require.Equal(t, store.Leader{Name: "two", Since: at}, leader)

	hosts, err := s.ProtectedHosts(ctx)
	require.NoError(t, err)
	require.Empty(t, hosts)
	require.NoError(t, s.PutProtectedHost(ctx, "a.example.com", "photos"))
	require.NoError(t, s.PutProtectedHost(ctx, "b.example.com", "photos"))
	require.NoError(t, s.PutProtectedHost(ctx, "a.example.com", "files"))
	require.NoError(t, s.DeleteProtectedHost(ctx, "b.example.com"))
	require.NoError(t, s.DeleteProtectedHost(ctx, "c.example.com"))
	hosts, err = reopen().ProtectedHosts(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a.example.com": "files"}, hosts)

	require.NoError(t, s.PutReplica(ctx, "b", json.RawMessage(`{"version":"1"}`)))
	require.NoError(t, reopen().PutReplica(ctx, "a", json.RawMessage(`{}`)))
	first, err := s.Replicas(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, []string{first[0].ID, first[1].ID})
	require.JSONEq(t, `{"version":"1"}`, string(first[1].Said))
	before, err := s.Changes(ctx)
	require.NoError(t, err)
	require.NoError(t, s.PutReplica(ctx, "b", json.RawMessage(`{"version":"2"}`)))
	second, err := reopen().Replicas(ctx)
	require.NoError(t, err)
	require.Equal(t, first[0], second[0])
	require.NotEqual(t, first[1].Beat, second[1].Beat, "it runs")
	require.JSONEq(t, `{"version":"2"}`, string(second[1].Said))
	after, err := s.Changes(ctx)
	require.NoError(t, err)
	require.Equal(t, before, after, "nobody has to read anything anew")
	require.NoError(t, s.DeleteReplica(ctx, "a"))
	require.NoError(t, s.DeleteReplica(ctx, "a"), "once more")
	left, err := s.Replicas(ctx)
	require.NoError(t, err)
	require.Len(t, left, 1)
}
