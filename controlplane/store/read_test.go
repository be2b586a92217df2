package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// TestReadSQLite: reading makes no file, changes nothing, and cannot write; also
// beside a process that writes.
func TestReadSQLite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	path := filepath.Join(dir, "umagate.db")
	_, err := store.ReadSQLite(ctx, path, secret.Text{})
	require.ErrorIs(t, err, store.ErrNoDatabase)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)

	writer, err := store.OpenSQLite(ctx, path, secret.Text{})
	require.NoError(t, err)
	key := store.Key{Site: "photos", Issuer: "https://as.example.com"}
	require.NoError(t, writer.PutPAT(ctx, key, store.PAT{Value: secret.New("pat"), ClientID: "rs", ExpiresAt: time.UnixMilli(5)}))
	require.NoError(t, writer.PutResource(ctx, key, store.Resource{Name: "a", State: store.ResourceRegistered, ID: "1"}))

	reader, err := store.ReadSQLite(ctx, path, secret.Text{})
	require.NoError(t, err)
	pat, err := reader.PAT(ctx, key)
	require.NoError(t, err)
	require.Equal(t, "pat", pat.Value.Reveal())
	require.Error(t, reader.PutResource(ctx, key, store.Resource{Name: "b"}), "for reading only")
	require.NoError(t, writer.PutResource(ctx, key, store.Resource{Name: "c", State: store.ResourcePending}))
	records, err := reader.Resources(ctx, key)
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.NoError(t, reader.Close())
	require.NoError(t, writer.Close())

	// Another key, or none.
	_, err = store.ReadSQLite(ctx, path, secret.New("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
	require.ErrorIs(t, err, store.ErrSealed)
	require.NoError(t, os.Remove(path+".key"))
	_, err = store.ReadSQLite(ctx, path, secret.Text{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoFileExists(t, path+".key", "a key is not made for reading")
}

// TestLock: one at a time for a key, whatever store object asks.
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db")
	one, err := store.OpenSQLite(t.Context(), path, secret.Text{})
	require.NoError(t, err)
	defer func() { require.NoError(t, one.Close()) }()
	two, err := store.OpenSQLite(t.Context(), path, secret.Text{})
	require.NoError(t, err)
	defer func() { require.NoError(t, two.Close()) }()
	photos, orders := store.Key{Site: "photos", Issuer: "i"}, store.Key{Site: "orders", Issuer: "i"}

	unlock, err := one.TryLock(t.Context(), photos)
	require.NoError(t, err)
	_, err = two.TryLock(t.Context(), photos)
	require.ErrorIs(t, err, store.ErrLocked)
	_, err = one.TryLock(t.Context(), photos)
	require.ErrorIs(t, err, store.ErrLocked)
	other, err := two.TryLock(t.Context(), orders)
	require.NoError(t, err)
	require.NoError(t, other())
	require.NoError(t, unlock())
	again, err := two.TryLock(t.Context(), photos)
	require.NoError(t, err)
	require.NoError(t, again())
}

// TestEmpty: where there is no database, there is nothing to read, and nowhere to write.
func TestEmpty(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	key := store.Key{Site: "photos", Issuer: "i"}
	empty, err := store.Empty(ctx)
	require.NoError(t, err)
	_, err = empty.Client(ctx, key)
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = empty.PAT(ctx, key)
	require.ErrorIs(t, err, store.ErrNotFound)
	keys, err := empty.Keys(ctx)
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Error(t, empty.PutResource(ctx, key, store.Resource{Name: "a"}))
	_, err = empty.Lead(ctx)
	require.ErrorIs(t, err, store.ErrNotLeader)
	_, err = empty.TryLock(ctx, key)
	require.ErrorIs(t, err, store.ErrLocked)
	require.NoError(t, empty.Close())
}
