package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

const backedUp = `
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "https://as.example.com", client: {register: {}}}
  resources: [{name: albums, conditions: [{paths: ["/**"], scopes: [view]}]}]
`

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, file := filepath.Join(dir, "umagate.yaml"), filepath.Join(dir, "all.backup")
	require.NoError(t, os.WriteFile(config, []byte(backedUp), 0o600))
	path := filepath.Join(dir, "umagate.db")
	code, _, problems := run(t, nil, "backup", "-c", config, file)
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, problems, "no database yet")

	s, err := store.OpenSQLite(t.Context(), path, secret.Text{})
	require.NoError(t, err)
	photos := store.Key{Site: "photos", Issuer: "https://as.example.com"}
	require.NoError(t, s.PutPAT(t.Context(), photos, store.PAT{Value: secret.New("plain-pat")}))
	require.NoError(t, s.Close())
	code, out, problems := run(t, nil, "backup", "-c", config, file)
	require.Zero(t, code, problems)
	require.Contains(t, out, "rows of schema")
	require.Contains(t, problems, "key is not in it")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	code, _, problems = run(t, nil, "backup", "-c", config, file)
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, problems, "another name")

	code, _, problems = run(t, nil, "restore", "-c", config, file)
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, problems, "--force")
	code, out, problems = run(t, nil, "restore", "-c", config, "--force", file)
	require.Zero(t, code, problems)
	require.Contains(t, out, "before-restore")
	s, err = store.OpenSQLite(t.Context(), path, secret.Text{})
	require.NoError(t, err)
	pat, err := s.PAT(t.Context(), photos)
	require.NoError(t, err)
	require.Equal(t, "plain-pat", pat.Value.Reveal())
	require.NoError(t, s.Close())

	code, _, problems = run(t, nil, "backup", "-c", config, "--with-key", filepath.Join(dir, "key.backup"))
	require.Zero(t, code, problems)
	require.Contains(t, problems, "has the sealing key")
	require.NoError(t, os.Remove(path+".key"))
	require.NoError(t, os.Remove(path))
	code, _, problems = run(t, nil, "restore", "-c", config, file)
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, problems, "umagate.db.key: put it there")
	code, out, problems = run(t, nil, "restore", "-c", config, filepath.Join(dir, "key.backup"))
	require.Zero(t, code, problems)
	require.Contains(t, out, "the sealing key of the backup is in")
}
