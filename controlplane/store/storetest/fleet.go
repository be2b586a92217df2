package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/store"
)

// fleet tests what replicas tell each other.
func fleet(t *testing.T, open func(t *testing.T) (s *store.SQL, reopen func() *store.SQL)) {
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
}
