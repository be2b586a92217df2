package store_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

// secrets puts one into every place that has some.
type secrets struct{ key store.Key }

func (s secrets) put(t *testing.T, to *store.SQL, value string) {
	t.Helper()
	ctx, text, now := t.Context(), func(what string) secret.Text { return secret.New(what + " " + value) }, time.Now()
	require.NoError(t, to.PutClient(ctx, s.key, store.Client{State: store.ClientRegistered, Secret: text("client"), AccessToken: text("access")}))
	require.NoError(t, to.PutPAT(ctx, s.key, store.PAT{Value: text("pat")}))
	require.NoError(t, to.PutLogin(ctx, s.key, store.Login{RefreshToken: text("refresh")}))
	require.NoError(t, to.PutClientKey(ctx, s.key, store.ClientKey{ID: "kid \"ü", Private: text("private")}))
	_, err := to.SharedSecret(ctx, "envoys", text("shared"))
	require.NoError(t, err)
	rp, err := to.RP(ctx, "rp")
	if err != nil {
		require.ErrorIs(t, err, store.ErrNotFound)
	}
	_, err = to.PutRP(ctx, store.RP{ID: "rp", Record: json.RawMessage(`{}`), Secrets: text("rp"), Version: rp.Version})
	require.NoError(t, err)
	require.NoError(t, to.PutTemporaryState(ctx, store.TemporaryState{Kind: "state", ID: "1", OxdID: "rp", Value: text("memo"), ExpiresAt: now.Add(time.Hour)}, now))
}

// read returns all of them; that of Envoys is made once.
func (s secrets) read(t *testing.T, from *store.SQL) []string {
	t.Helper()
	ctx := t.Context()
	var out []string
	add := func(text secret.Text, err error) {
		t.Helper()
		require.NoError(t, err)
		out = append(out, text.Reveal())
	}
	client, err := from.Client(ctx, s.key)
	add(client.Secret, err)
	add(client.AccessToken, err)
	pat, err := from.PAT(ctx, s.key)
	add(pat.Value, err)
	login, err := from.Login(ctx, s.key)
	add(login.RefreshToken, err)
	keys, err := from.ClientKeys(ctx, s.key)
	require.Len(t, keys, 1)
	add(keys[0].Private, err)
	rp, err := from.RP(ctx, "rp")
	add(rp.Secrets, err)
	memo, err := from.TemporaryState(ctx, "state", "1", time.Now())
	add(memo.Value, err)
	shared, err := from.SharedSecret(ctx, "envoys", secret.New("too late"))
	add(shared, err)
	return out
}

// unsealed are columns of bytes that have no secret.
var unsealed = map[string]bool{"revocation.digest": true}

// sealedValues lists what is in every other column of bytes, whatever table it is in.
func sealedValues(t *testing.T, db *sql.DB) map[string][]byte {
	t.Helper()
	// The columns are those of a new SQLite file: both databases have the same.
	path := filepath.Join(t.TempDir(), "schema.db")
	require.NoError(t, openSQLite(t, path).Close())
	schema, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer func() { require.NoError(t, schema.Close()) }()
	out := map[string][]byte{}
	for _, table := range tables(t, schema) {
		rows, err := schema.QueryContext(t.Context(), `SELECT name FROM pragma_table_info(?) WHERE type = 'BLOB'`, table)
		require.NoError(t, err)
		var columns []string
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			columns = append(columns, name)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		for _, column := range columns {
			if unsealed[table+"."+column] {
				continue
			}
			var value []byte
			err := db.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT %q FROM %q`, column, table)).Scan(&value)
			require.NoError(t, err, "%s.%s: have the test put something there", table, column)
			require.NotEmpty(t, value, "%s.%s: have the test put something there", table, column)
			out[table+"."+column] = value
		}
	}
	return out
}

// rekeyed is a database that is opened with several keys.
type rekeyed struct {
	location secret.Text
	dir      string
	db       func(t *testing.T) *sql.DB
}

func (r rekeyed) tryOpen(t *testing.T, keys ...secret.Text) (*store.SQL, error) {
	t.Helper()
	s, err := store.Open(t.Context(), r.location, r.dir, keys...)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func (r rekeyed) open(t *testing.T, keys ...secret.Text) *store.SQL {
	t.Helper()
	s, err := r.tryOpen(t, keys...)
	require.NoError(t, err)
	return s
}

func (r rekeyed) rekey(t *testing.T, keys ...secret.Text) (store.Rekeyed, error) {
	t.Helper()
	return store.Rekey(t.Context(), store.RekeyOptions{Location: r.location, Dir: r.dir, Keys: keys})
}

// rekeyings are run with either database.
func rekeyings(t *testing.T, run func(t *testing.T, on rekeyed)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		run(t, rekeyed{secret.New("sqlite:umagate.db"), dir, func(t *testing.T) *sql.DB {
			t.Helper()
			db, err := sql.Open("sqlite", filepath.Join(dir, "umagate.db"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			return db
		}})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := postgrestest.Database(t, postgrestest.Start(t))
		run(t, rekeyed{secret.New(url), "", func(t *testing.T) *sql.DB { t.Helper(); return database(t, url) }})
	})
}

// TestRekey: replicas that know both keys go on, one that knows the key before alone
// changes nothing, and after it nothing opens with the key before.
func TestRekey(t *testing.T) {
	t.Parallel()
	rekeyings(t, func(t *testing.T, on rekeyed) {
		t.Helper()
		photos := secrets{store.Key{Site: "photos \"ü", Issuer: "https://as"}}
		one, two, stale := on.open(t, key(1)), on.open(t, key(2), key(1)), on.open(t, key(1))
		photos.put(t, one, "v1")
		require.Equal(t, photos.read(t, one), photos.read(t, two))
		photos.put(t, two, "v2")
		before := sealedValues(t, on.db(t))
		want := photos.read(t, one)
		require.Contains(t, want, "private v2")
		require.NoError(t, one.SetKeys(t.Context(), key(2), key(1)), "a replica takes the new key while it runs")
		require.ErrorIs(t, one.SetKeys(t.Context(), key(3)), store.ErrSealed, "and none that does not fit")

		number, err := one.Changes(t.Context())
		require.NoError(t, err)
		done, err := on.rekey(t, key(2), key(1))
		require.NoError(t, err)
		require.Equal(t, store.Rekeyed{Secrets: len(want)}, done)
		after := sealedValues(t, on.db(t))
		require.Len(t, after, len(before))
		for column, value := range after {
			require.NotEqual(t, before[column], value, "%s is sealed anew", column)
		}
		next, err := one.Changes(t.Context())
		require.NoError(t, err)
		require.Greater(t, next, number, "replicas read anew")
		events, err := one.Audit(t.Context(), store.AuditFilter{Action: audit.StoreRekey, Limit: 10})
		require.NoError(t, err)
		require.Len(t, events, 1)

		for _, s := range []*store.SQL{one, two} {
			require.Equal(t, want, photos.read(t, s))
			require.NoError(t, s.Check(t.Context()))
		}
		photos.put(t, one, "v3")
		photos.put(t, two, "v4")
		want = photos.read(t, on.open(t, key(2)))
		require.Contains(t, want, "memo v4")

		require.ErrorIs(t, stale.Check(t.Context()), store.ErrSealed)
		require.ErrorIs(t, stale.PutPAT(t.Context(), photos.key, store.PAT{Value: secret.New("lost")}), store.ErrSealed)
		require.ErrorIs(t, stale.PutTemporaryState(t.Context(), store.TemporaryState{Kind: "state", ID: "1"}, time.Now()), store.ErrSealed)
		_, err = stale.PAT(t.Context(), photos.key)
		require.ErrorIs(t, err, store.ErrSealed)
		_, err = stale.Lead(t.Context())
		require.ErrorIs(t, err, store.ErrSealed, "it keeps no other from leading")
		require.NoError(t, stale.SetKeys(t.Context(), key(2)), "until it is given the key")
		require.Equal(t, want, photos.read(t, stale))

		_, err = on.tryOpen(t, key(1))
		require.ErrorIs(t, err, store.ErrSealed)
		require.ErrorContains(t, err, "store_key_previous")
		require.NoError(t, one.SetKeys(t.Context(), key(2)), "the key before can go")
		done, err = on.rekey(t, key(2), key(1))
		require.NoError(t, err)
		require.Equal(t, store.Rekeyed{Already: true}, done)
		_, err = on.rekey(t, key(3))
		require.ErrorIs(t, err, store.ErrSealed)
		require.Equal(t, want, photos.read(t, one))
	})
}

// TestRekeyRefused: a secret that does not open is named, and nothing is changed.
func TestRekeyRefused(t *testing.T) {
	t.Parallel()
	rekeyings(t, func(t *testing.T, on rekeyed) {
		t.Helper()
		photos := secrets{store.Key{Site: "photos", Issuer: "https://as"}}
		s := on.open(t, key(1))
		photos.put(t, s, "v1")
		_, err := on.db(t).ExecContext(t.Context(), `UPDATE shared_secret SET value = (SELECT value FROM pat)`)
		require.NoError(t, err)
		before := sealedValues(t, on.db(t))
		_, err = on.rekey(t, key(2), key(1))
		require.ErrorIs(t, err, store.ErrSealed)
		require.ErrorContains(t, err, `nothing was changed: value of table shared_secret: the row of ["envoys"]`)
		require.Equal(t, before, sealedValues(t, on.db(t)))
		require.NoError(t, s.Check(t.Context()))
	})
}

// TestRekeyWhileWriting: whatever is written meanwhile is sealed with the key that the
// store has then.
func TestRekeyWhileWriting(t *testing.T) {
	t.Parallel()
	rekeyings(t, func(t *testing.T, on rekeyed) {
		t.Helper()
		var writers sync.WaitGroup
		stop := make(chan struct{})
		all := []secrets{}
		for i := range 3 {
			of := secrets{store.Key{Site: fmt.Sprint("site", i), Issuer: "https://as"}}
			all = append(all, of)
			s := on.open(t, key(1), key(2))
			writers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					value := secret.New(fmt.Sprint("v", n))
					state := store.TemporaryState{Kind: "state", ID: of.key.Site, Value: value, ExpiresAt: time.Now().Add(time.Hour)}
					if err := s.PutTemporaryState(t.Context(), state, time.Now()); err != nil {
						t.Error(err)
						return
					}
					if err := s.PutPAT(t.Context(), of.key, store.PAT{Value: value}); err != nil {
						t.Error(err)
						return
					}
					if got, err := s.PAT(t.Context(), of.key); err != nil || got.Value.Reveal() != value.Reveal() {
						t.Error(got, err)
						return
					}
				}
			})
		}
		end := sync.OnceFunc(func() { close(stop); writers.Wait() })
		defer end()
		check := func(only secret.Text) {
			s := on.open(t, only)
			for _, of := range all {
				for _, err := range []error{second(s.PAT(t.Context(), of.key)), second(s.TemporaryState(t.Context(), "state", of.key.Site, time.Now()))} {
					if err != nil {
						require.ErrorIs(t, err, store.ErrNotFound)
					}
				}
			}
			require.NoError(t, s.Close())
		}
		for range 10 {
			for _, keys := range [][]secret.Text{{key(2), key(1)}, {key(1), key(2)}} {
				_, err := on.rekey(t, keys...)
				require.NoError(t, err)
				check(keys[0])
			}
		}
		end()
		check(key(1))
	})
}

func second[T any](_ T, err error) error { return err }

// TestRekeyFile: without a key in umagate.yaml the new key takes the name of the one
// before, who has the file open goes on, and what was cut off at any step goes on.
func TestRekeyFile(t *testing.T) {
	t.Parallel()
	photos := secrets{store.Key{Site: "photos", Issuer: "https://as"}}
	at := time.Date(2026, 11, 30, 21, 0, 0, 0, time.UTC)
	start := func(t *testing.T) (dir string, s *store.SQL, rekey func() store.Rekeyed) {
		t.Helper()
		dir = t.TempDir()
		s = openSQLite(t, filepath.Join(dir, "umagate.db"))
		photos.put(t, s, "v1")
		return dir, s, func() store.Rekeyed {
			t.Helper()
			done, err := store.Rekey(t.Context(), store.RekeyOptions{Location: secret.New("sqlite:umagate.db"), Dir: dir, Now: func() time.Time { return at }})
			require.NoError(t, err)
			require.NoFileExists(t, filepath.Join(dir, "umagate.db.key.next"))
			return done
		}
	}
	goesOn := func(t *testing.T, dir string, s *store.SQL) {
		t.Helper()
		want := photos.read(t, s)
		require.Equal(t, want, photos.read(t, openSQLite(t, filepath.Join(dir, "umagate.db"))))
		photos.put(t, s, "later")
		require.Contains(t, photos.read(t, openSQLite(t, filepath.Join(dir, "umagate.db"))), "pat later")
	}
	t.Run("twice in one second", func(t *testing.T) {
		t.Parallel()
		dir, s, rekey := start(t)
		file := func(name string) []byte {
			data, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			return data
		}
		first := file("umagate.db.key")
		done := rekey()
		require.Equal(t, 8, done.Secrets)
		require.Equal(t, filepath.Join(dir, "umagate.db.key"), done.KeyFile)
		require.Equal(t, filepath.Join(dir, "umagate.db.key.before-rekey-20261130T210000Z"), done.Before)
		goesOn(t, dir, s)
		second := file("umagate.db.key")
		again := rekey()
		require.Equal(t, done.Before+"-2", again.Before)
		goesOn(t, dir, s)
		require.Equal(t, first, file("umagate.db.key.before-rekey-20261130T210000Z"), "nothing that is kept is overwritten")
		require.Equal(t, second, file("umagate.db.key.before-rekey-20261130T210000Z-2"))
		for _, name := range []string{again.Before, again.KeyFile} {
			info, err := os.Stat(name)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
	})
	t.Run("cut off before the store is sealed", func(t *testing.T) {
		t.Parallel()
		dir, s, rekey := start(t)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "umagate.db.key.next"), []byte(key(9).Reveal()+"\n"), 0o600))
		goesOn(t, dir, s)
		rekey()
		goesOn(t, dir, s)
	})
	t.Run("cut off before the key has its name", func(t *testing.T) {
		t.Parallel()
		dir, s, rekey := start(t)
		done := rekey()
		require.NoError(t, os.Rename(done.KeyFile, filepath.Join(dir, "umagate.db.key.next")))
		require.NoError(t, os.Rename(done.Before, done.KeyFile))
		goesOn(t, dir, s)
		require.Zero(t, rekey().Secrets, "it was sealed before")
		goesOn(t, dir, s)
	})
	t.Run("no database", func(t *testing.T) {
		t.Parallel()
		_, err := store.Rekey(t.Context(), store.RekeyOptions{Location: secret.New("sqlite:none.db"), Dir: t.TempDir()})
		require.ErrorIs(t, err, store.ErrNoDatabase)
	})
	t.Run("to a key of umagate.yaml", func(t *testing.T) {
		t.Parallel()
		dir, s, _ := start(t)
		before, err := os.ReadFile(filepath.Join(dir, "umagate.db.key"))
		require.NoError(t, err)
		keys := []secret.Text{key(2), secret.New(strings.TrimSpace(string(before)))}
		require.NoError(t, s.SetKeys(t.Context(), keys...))
		done, err := store.Rekey(t.Context(), store.RekeyOptions{Location: secret.New("sqlite:umagate.db"), Dir: dir, Keys: keys})
		require.NoError(t, err)
		require.Empty(t, done.KeyFile)
		require.Contains(t, photos.read(t, s), "pat v1")
	})
}

// TestBackupAfterRekey: a backup has the key that the store had, and is restored where
// that one is known.
func TestBackupAfterRekey(t *testing.T) {
	t.Parallel()
	photos := secrets{store.Key{Site: "photos", Issuer: "https://as"}}
	dir := t.TempDir()
	on := rekeyed{location: secret.New("sqlite:umagate.db"), dir: dir}
	s := on.open(t, key(2), key(1))
	photos.put(t, s, "v1")
	_, err := on.rekey(t, key(1), key(2))
	require.NoError(t, err)
	data := backUp(t, s, store.BackupOptions{WithKey: true})
	require.Contains(t, string(data), key(1).Reveal(), "the key of now, not the first")
	require.False(t, bytes.Contains(data, []byte(key(2).Reveal())))
	other := rekeyed{location: secret.New("sqlite:umagate.db"), dir: t.TempDir()}
	_, err = store.Restore(t.Context(), readBackup(t, data), store.RestoreOptions{Location: other.location, Dir: other.dir, Keys: []secret.Text{key(3), key(2)}})
	require.ErrorIs(t, err, store.ErrSealed)
	_, err = store.Restore(t.Context(), readBackup(t, data), store.RestoreOptions{Location: other.location, Dir: other.dir, Keys: []secret.Text{key(3), key(1)}})
	require.NoError(t, err)
	require.Contains(t, photos.read(t, other.open(t, key(3), key(1))), "pat v1")
}
