package store_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/store/storetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (*store.SQL, func() *store.SQL) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "umagate ü?.db")
		first := openSQLite(t, path)
		return first, func() *store.SQL { return openSQLite(t, path) }
	})
}

func openSQLite(t *testing.T, path string) *store.SQL {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path, secret.Text{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestSQLiteOpensBesideAWriter: who opens a store that is there waits for no lock, however
// long another process writes.
func TestSQLiteOpensBesideAWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db")
	require.NoError(t, openSQLite(t, path).Close())
	other, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	other.SetMaxOpenConns(1)
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	s := openSQLite(t, path)
	_, err = s.PAT(t.Context(), store.Key{Site: "photos", Issuer: "https://as"})
	require.ErrorIs(t, err, store.ErrNotFound)
}

func key(b byte) secret.Text {
	return secret.New(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, seal.KeySize)))
}

func TestSQLiteSealsSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "umagate.db")
	s := openSQLite(t, path)
	k := store.Key{Site: "photos", Issuer: "https://as"}
	client := store.Client{State: store.ClientRegistered, Secret: secret.New("plain-secret-1"), AccessToken: secret.New("plain-secret-2")}
	require.NoError(t, s.PutClient(t.Context(), k, client))
	require.NoError(t, s.PutPAT(t.Context(), k, store.PAT{Value: secret.New("plain-secret-3")}))
	names := 0
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s is open to others", name)
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NotContains(t, string(data), "plain-secret")
		names++
		return nil
	}))
	require.GreaterOrEqual(t, names, 2, "the database and its key")
}

func TestSQLiteRefusals(t *testing.T) {
	t.Parallel()
	t.Run("another key", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "umagate.db")
		s, err := store.OpenSQLite(t.Context(), path, key(1))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.NoFileExists(t, path+".key")
		_, err = store.OpenSQLite(t.Context(), path, key(2))
		require.ErrorIs(t, err, store.ErrSealed)
	})
	t.Run("a key that is no key", func(t *testing.T) {
		t.Parallel()
		_, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "umagate.db"), secret.New("too-short-key"))
		require.ErrorContains(t, err, "32 bytes in base64")
		require.NotContains(t, err.Error(), "too-short-key")
	})
	t.Run("a key file that others may read", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "umagate.db")
		require.NoError(t, openSQLite(t, path).Close())
		require.NoError(t, os.Chmod(path+".key", 0o644))
		_, err := store.OpenSQLite(t.Context(), path, secret.Text{})
		require.ErrorContains(t, err, "chmod 600")
	})
	t.Run("a key file that is lost", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "umagate.db")
		require.NoError(t, openSQLite(t, path).Close())
		require.NoError(t, os.Remove(path+".key"))
		_, err := store.OpenSQLite(t.Context(), path, secret.Text{})
		require.ErrorIs(t, err, store.ErrSealed)
		require.ErrorContains(t, err, "put it back")
		require.NoFileExists(t, path+".key", "another key would only hide that the right one is lost")
	})
	t.Run("a newer schema", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "umagate.db")
		require.NoError(t, openSQLite(t, path).Close())
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, err = store.OpenSQLite(t.Context(), path, secret.Text{})
		require.ErrorIs(t, err, store.ErrNewerSchema)
	})
	t.Run("a secret moved to another site", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "umagate.db")
		s := openSQLite(t, path)
		k := store.Key{Site: "photos", Issuer: "https://as"}
		require.NoError(t, s.PutPAT(t.Context(), k, store.PAT{Value: secret.New("x")}))
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), `UPDATE pat SET site = 'other'`)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, err = s.PAT(t.Context(), store.Key{Site: "other", Issuer: "https://as"})
		require.ErrorIs(t, err, store.ErrSealed)
	})
}
