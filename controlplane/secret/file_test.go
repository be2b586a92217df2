package secret_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
)

func TestReadFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	_, err := secret.ReadFile(path, 5)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("a key"), 0o600))
	text, err := secret.ReadFile(path, 5)
	require.NoError(t, err)
	require.Equal(t, "a key", string(text))
	_, err = secret.ReadFile(path, 4)
	require.ErrorIs(t, err, secret.ErrFileTooLarge)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = secret.ReadFile(path, 5)
		require.ErrorContains(t, err, path+" is open to others")
		require.ErrorContains(t, err, "chmod 600")
		_, err = secret.ReadFileOfAnyone(path, 5)
		require.ErrorContains(t, err, "chmod 600")
	}
}

// TestReadFileOfAnother needs root, to make a file of another user.
func TestReadFileOfAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("a key"), 0o600))
	require.NoError(t, os.Chown(path, 65534, 65534))
	_, err := secret.ReadFile(path, 5)
	require.ErrorContains(t, err, path+" belongs to user 65534, and this process is of user 0")
	text, err := secret.ReadFileOfAnyone(path, 5)
	require.NoError(t, err)
	require.Equal(t, "a key", string(text))
}
