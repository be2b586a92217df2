package store_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/store"
)

// TestFileThatIsTakenAway: SQLite goes on with a file that has no name any more; what is
// written then is not called done.
func TestFileThatIsTakenAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		away, back func(path string) error
	}{
		{
			"moved", func(path string) error { return os.Rename(path, path+".away") },
			func(path string) error { return os.Rename(path+".away", path) },
		},
		{
			"replaced", func(path string) error {
				if err := os.Rename(path, path+".away"); err != nil {
					return err
				}
				return os.WriteFile(path, []byte("another"), 0o600)
			},
			func(path string) error { return os.Rename(path+".away", path) },
		},
		{
			"its journal moved", func(path string) error { return os.Rename(path+"-wal", path+".away") },
			func(path string) error { return os.Rename(path+".away", path+"-wal") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "umagate.db")
			s := openSQLite(t, path)
			revoke := func() error {
				now := time.Now()
				r := store.Revocation{ID: "r", Kind: "session", Value: "s", Source: "api", Digest: sha256.Sum256(nil), CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
				return s.AddRevocation(t.Context(), r, now, 10)
			}
			require.NoError(t, s.Check(t.Context()))
			require.NoError(t, c.away(path))
			require.ErrorIs(t, s.Check(t.Context()), store.ErrFileReplaced)
			require.ErrorIs(t, revoke(), store.ErrFileReplaced)
			_, err := s.TakeMessage(t.Context(), "m", time.Now().Add(time.Hour), time.Now())
			require.ErrorIs(t, err, store.ErrFileReplaced)
			require.ErrorIs(t, s.Unfenced().Check(t.Context()), store.ErrFileReplaced)
			require.NoError(t, c.back(path))
			require.NoError(t, s.Check(t.Context()))
			require.NoError(t, revoke())
		})
	}
}

// TestCheckTellsNobody: a trial is no change.
func TestCheckTellsNobody(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, filepath.Join(t.TempDir(), "umagate.db"))
	before, err := s.Changes(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Check(t.Context()))
	after, err := s.Changes(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// TestStoreThatIsOnlyRead: what a database says that takes nothing is one error.
func TestStoreThatIsOnlyRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db")
	openSQLite(t, path)
	s, err := store.ReadSQLite(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.ErrorIs(t, s.Check(t.Context()), store.ErrReadOnly)
	require.ErrorIs(t, s.PutReplica(t.Context(), "a", nil), store.ErrReadOnly)
}
