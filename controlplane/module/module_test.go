package module_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/module"
)

func TestFind(t *testing.T) {
	t.Parallel()
	const sum = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae" // of "foo"
	for _, tt := range []struct{ name, place string }{
		{"beside the program", "bin/umagate.wasm"},
		{"in the folder of a package", "share/umagate/umagate.wasm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			prefix := folder(t)
			program := write(t, prefix, "bin/umagate", "")
			path := write(t, prefix, tt.place, "foo")

			found, err := module.Find(program)
			require.NoError(t, err)
			require.Equal(t, module.Module{Path: path, SHA256: sum}, found)

			link := filepath.Join(folder(t), "umagate")
			require.NoError(t, os.Symlink(program, link))
			found, err = module.Find(link)
			require.NoError(t, err)
			require.Equal(t, path, found.Path, "through a symbolic link")
		})
	}
}

func TestFindPrefersTheFileBesideTheProgram(t *testing.T) {
	t.Parallel()
	prefix := folder(t)
	program := write(t, prefix, "bin/umagate", "")
	write(t, prefix, "share/umagate/umagate.wasm", "foo")
	path := write(t, prefix, "bin/umagate.wasm", "foo")
	found, err := module.Find(program)
	require.NoError(t, err)
	require.Equal(t, path, found.Path)
}

func TestFindNamesWhereItLooked(t *testing.T) {
	t.Parallel()
	prefix := folder(t)
	program := write(t, prefix, "bin/umagate", "")
	_, err := module.Find(program)
	require.ErrorIs(t, err, module.ErrNotFound)
	require.ErrorContains(t, err, filepath.Join(prefix, "bin", "umagate.wasm"))
	require.ErrorContains(t, err, filepath.Join(prefix, "share", "umagate", "umagate.wasm"))
	_, err = module.Find(filepath.Join(prefix, "nothing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// folder is an empty folder, by a path without symbolic links.
func folder(t *testing.T) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	return path
}

func write(t *testing.T, folder, name, contents string) string {
	t.Helper()
	path := filepath.Join(folder, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(contents), 0o644))
	return path
}
