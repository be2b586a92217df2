package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// TestReadOnlyMount: a database whose file system takes nothing any more can be read, with
// what its journal has, and not served.
func TestReadOnlyMount(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	folder := t.TempDir()
	err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=8m,mode=0700")
	if errors.Is(err, syscall.EPERM) {
		t.Skip("only root mounts")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
	running := filepath.Join(t.TempDir(), "umagate.db")
	s := openSQLite(t, running)
	require.NoError(t, s.AddRevocation(t.Context(), store.Revocation{ID: "a", Kind: "session", ExpiresAt: time.Now()}, time.Now(), 10))
	for _, suffix := range []string{"", "-wal", ".key"} { // as a killed process leaves them
		text, err := os.ReadFile(running + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "umagate.db")+suffix, text, 0o600))
	}
	require.NoError(t, syscall.Mount("", folder, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))

	path := filepath.Join(folder, "umagate.db")
	read, err := store.ReadSQLite(t.Context(), path)
	require.NoError(t, err)
	kept, err := read.Revocations(t.Context())
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.NoError(t, read.Close())
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = store.OpenSQLite(t.Context(), path, secret.Text{})
	require.ErrorIs(t, err, syscall.EROFS)
}
