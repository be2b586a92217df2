package seal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	key, err := seal.KeyFile(path)
	require.NoError(t, err)
	again, err := seal.KeyFile(path)
	require.NoError(t, err)
	require.True(t, key.Equal(again))
	sealer, err := seal.New(key)
	require.NoError(t, err)
	sealed := sealer.Seal("here", secret.New("a secret"))
	plain, err := sealer.Open("here", sealed)
	require.NoError(t, err)
	require.Equal(t, "a secret", plain.Reveal())
	_, err = sealer.Open("elsewhere", sealed)
	require.ErrorIs(t, err, seal.ErrKey)
	_, err = sealer.Open("here", sealed[:10])
	require.ErrorIs(t, err, seal.ErrKey)
	other, err := seal.New(seal.NewKey())
	require.NoError(t, err)
	_, err = other.Open("here", sealed)
	require.ErrorIs(t, err, seal.ErrKey)

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = seal.ReadKey(path)
	require.ErrorContains(t, err, "chmod 600")
}

// TestPlantedKey: a key that another user has put there first is not taken.
func TestPlantedKey(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	path := filepath.Join(t.TempDir(), "last_good.key")
	require.NoError(t, seal.WriteKeyFile(path, seal.NewKey()))
	require.NoError(t, os.Chown(path, 65534, 65534))
	_, err := seal.KeyFile(path)
	require.ErrorContains(t, err, path+" belongs to user 65534")
}
