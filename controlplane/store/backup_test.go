package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

// sameForAll are the tables with one row that says nothing of registrations.
var sameForAll = map[string]bool{"change": true, "leader": true, "seal": true}

// tables lists those of a SQLite file that are umagate's.
func tables(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'`)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		out = append(out, name)
	}
	require.NoError(t, rows.Err())
	return out
}

// fillAll puts two rows into every table there is, whatever it is for.
func fillAll(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, table := range tables(t, db) {
		if sameForAll[table] {
			continue
		}
		for n := range 2 {
			var names, values []string
			rows, err := db.QueryContext(t.Context(), `SELECT name, type FROM pragma_table_info(?)`, table)
			require.NoError(t, err)
			for rows.Next() {
				var name, kind string
				require.NoError(t, rows.Scan(&name, &kind))
				names = append(names, `"`+name+`"`)
				switch kind {
				case "TEXT":
					values = append(values, fmt.Sprintf("'%s ü \" %d'", table, n))
				case "BLOB":
					values = append(values, fmt.Sprintf("x'00ff%02x'", n))
				case "BIGINT", "INTEGER":
					values = append(values, fmt.Sprint(int64(1)<<53+int64(n)+1))
				default:
					require.Fail(t, "a column of another kind", "%s.%s is %s: write TEXT, BLOB, BIGINT or INTEGER, which backups know in both databases", table, name, kind)
				}
			}
			require.NoError(t, rows.Err())
			require.NoError(t, rows.Close())
			_, err = db.ExecContext(t.Context(), `INSERT INTO "`+table+`" (`+strings.Join(names, ", ")+`) VALUES (`+strings.Join(values, ", ")+`)`)
			require.NoError(t, err, table)
		}
	}
}

func backUp(t *testing.T, s *store.SQL, options store.BackupOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	contents, err := s.Backup(t.Context(), &out, options)
	require.NoError(t, err)
	require.Positive(t, contents.Total())
	return out.Bytes()
}

func readBackup(t *testing.T, data []byte) *store.Backup {
	t.Helper()
	b, err := store.ReadBackup(t.Context(), bytes.NewReader(data))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// content is a backup without what differs from one to the next.
func content(data []byte) string {
	var out []string
	table := ""
	for line := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n") {
		if rest, ok := strings.CutPrefix(line, `{"table":"`); ok {
			table, _, _ = strings.Cut(rest, `"`)
		}
		if table != "" && table != "change" && table != "leader" && !strings.HasPrefix(line, `{"sha256"`) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// TestBackup carries every table there is from SQLite to SQLite and PostgreSQL and
// back. A table that a backup forgets is missing here.
func TestBackup(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db")
	s, err := store.OpenSQLite(t.Context(), path, key(1))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	photos := store.Key{Site: "photos", Issuer: "https://as"}
	require.NoError(t, s.PutPAT(t.Context(), photos, store.PAT{Value: secret.New("plain-pat"), ClientID: "c", IssuedAt: time.UnixMilli(1), ExpiresAt: time.UnixMilli(2)}))
	fillAll(t, path)
	whole := backUp(t, s, store.BackupOptions{Version: "v1"})
	require.NotContains(t, string(whole), "plain-pat")
	require.NotContains(t, string(whole), key(1).Reveal())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	for _, table := range tables(t, db) {
		require.Contains(t, string(whole), `{"table":"`+table+`"`)
		if !sameForAll[table] {
			require.Contains(t, string(whole), table+` ü \" 1`, "the rows of %s", table)
		}
	}
	require.NoError(t, db.Close())

	check := func(t *testing.T, options store.RestoreOptions) {
		t.Helper()
		done, err := store.Restore(t.Context(), readBackup(t, whole), options)
		require.NoError(t, err)
		require.Empty(t, done.Copy)
		restored, err := store.Open(t.Context(), options.Location, options.Dir, options.Keys...)
		require.NoError(t, err)
		t.Cleanup(func() { _ = restored.Close() })
		require.Equal(t, content(whole), content(backUp(t, restored, store.BackupOptions{Version: "v1"})))
		pat, err := restored.PAT(t.Context(), photos)
		require.NoError(t, err)
		require.Equal(t, "plain-pat", pat.Value.Reveal())
		// It is a store like any other: it counts on, and takes the next.
		before, err := restored.Changes(t.Context())
		require.NoError(t, err)
		lease, err := restored.Lead(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = lease.Release() })
		require.NoError(t, restored.PutResource(t.Context(), photos, store.Resource{Name: "n", State: store.ResourcePending, Spec: []byte(`{}`)}))
		after, err := restored.Changes(t.Context())
		require.NoError(t, err)
		require.Greater(t, after, before)
		require.NoError(t, lease.Release())

		// A second time it is not empty any more.
		_, err = store.Restore(t.Context(), readBackup(t, whole), options)
		require.ErrorIs(t, err, store.ErrNotEmpty)
		held, err := restored.Lead(t.Context())
		require.NoError(t, err)
		options.Force, options.Copies = true, t.TempDir()
		_, err = store.Restore(t.Context(), readBackup(t, whole), options)
		require.Error(t, err, "while one serves")
		require.NoError(t, held.Release())
		require.NoError(t, restored.Close())
		done, err = store.Restore(t.Context(), readBackup(t, whole), options)
		require.NoError(t, err)
		require.FileExists(t, done.Copy)
		again, err := store.Open(t.Context(), options.Location, options.Dir, options.Keys...)
		require.NoError(t, err)
		require.Equal(t, content(whole), content(backUp(t, again, store.BackupOptions{Version: "v1"})))
		require.NoError(t, again.Close())
		if strings.HasSuffix(done.Copy, ".backup") {
			data, err := os.ReadFile(done.Copy)
			require.NoError(t, err)
			require.Equal(t, 3, readBackup(t, data).Contents.Rows["resource"])
		}
	}
	t.Run("into SQLite", func(t *testing.T) {
		check(t, store.RestoreOptions{Location: secret.New("sqlite:other.db"), Dir: t.TempDir(), Keys: []secret.Text{key(1)}})
	})
	t.Run("into PostgreSQL", func(t *testing.T) {
		address := postgrestest.Database(t, postgrestest.Start(t))
		check(t, store.RestoreOptions{Location: secret.New(address), Keys: []secret.Text{key(1)}})
	})
}

// TestBackupWhileServing: what is written meanwhile is in it whole or not at all.
func TestBackupWhileServing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db")
	s := openSQLite(t, path)
	photos := store.Key{Site: "photos", Issuer: "https://as"}
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := s.PutResource(context.WithoutCancel(ctx), photos, store.Resource{Name: fmt.Sprint(i), State: store.ResourcePending, Spec: []byte(`{}`)}); err != nil || ctx.Err() != nil {
				written <- err
				return
			}
		}
	}()
	for range 5 {
		reader, err := store.ReadSQLite(t.Context(), path, secret.Text{})
		require.NoError(t, err)
		var out bytes.Buffer
		_, err = reader.Backup(t.Context(), &out, store.BackupOptions{})
		require.NoError(t, err)
		require.NoError(t, reader.Close())
		b := readBackup(t, out.Bytes())
		require.Equal(t, b.Contents.Rows["resource"], strings.Count(out.String(), `"https://as"`))
	}
	cancel()
	require.NoError(t, <-written)
}

func TestBackupRefusals(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db")
	s := openSQLite(t, path)
	photos := store.Key{Site: "photos", Issuer: "https://as"}
	require.NoError(t, s.PutResource(t.Context(), photos, store.Resource{Name: "albums", State: store.ResourceRegistered, ID: "1", Spec: []byte(`{}`)}))
	whole := string(backUp(t, s, store.BackupOptions{Version: "v1"}))
	lines := strings.SplitAfter(strings.TrimSpace(whole), "\n")
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"empty":              {"", store.ErrNoBackup},
		"something else":     {"{}\n", store.ErrNoBackup},
		"cut short":          {whole[:len(whole)-len(lines[len(lines)-1])], store.ErrNoBackup},
		"cut in a row":       {whole[:len(whole)/2], store.ErrNoBackup},
		"a row is gone":      {strings.Replace(whole, lines[len(lines)/2], "", 1), store.ErrNoBackup},
		"a letter differs":   {strings.Replace(whole, "albums", "albumz", 1), store.ErrNoBackup},
		"something after it": {whole + "{}\n", store.ErrNoBackup},
		"a newer schema":     {strings.Replace(whole, `"schema":`, `"schema":99`, 1), store.ErrNewerSchema},
		"a newer format":     {strings.Replace(whole, `"format":1`, `"format":2`, 1), store.ErrNewerSchema},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := store.ReadBackup(t.Context(), strings.NewReader(tt.text))
			require.ErrorIs(t, err, tt.want)
		})
	}
}

// TestBackupKey: without the key nothing is restored that nobody could read.
func TestBackupKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db")
	s := openSQLite(t, path)
	photos := store.Key{Site: "photos", Issuer: "https://as"}
	require.NoError(t, s.PutPAT(t.Context(), photos, store.PAT{Value: secret.New("plain-pat")}))
	without := backUp(t, s, store.BackupOptions{})
	with := backUp(t, s, store.BackupOptions{WithKey: true})
	restore := func(data []byte, dir string, key secret.Text) (store.Restored, error) {
		return store.Restore(t.Context(), readBackup(t, data), store.RestoreOptions{Location: secret.New("sqlite:umagate.db"), Dir: dir, Keys: []secret.Text{key}})
	}
	dir := t.TempDir()
	_, err := restore(without, dir, secret.Text{})
	require.ErrorIs(t, err, store.ErrSealed)
	require.ErrorContains(t, err, "put it there")
	_, err = restore(with, dir, key(9))
	require.ErrorIs(t, err, store.ErrSealed)
	require.NoFileExists(t, filepath.Join(dir, "umagate.db"))

	done, err := restore(with, dir, secret.Text{})
	require.NoError(t, err)
	info, err := os.Stat(done.KeyFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	restored := openSQLite(t, filepath.Join(dir, "umagate.db"))
	pat, err := restored.PAT(t.Context(), photos)
	require.NoError(t, err)
	require.Equal(t, "plain-pat", pat.Value.Reveal())
}

// TestRestoreTwice: what is kept of the store before has a name of its own, also where
// two restores come in one second.
func TestRestoreTwice(t *testing.T) {
	t.Parallel()
	rekeyings(t, func(t *testing.T, on rekeyed) {
		t.Helper()
		copies, at := t.TempDir(), time.Date(2026, 11, 30, 21, 0, 0, 0, time.UTC)
		site := store.Key{Site: "photos", Issuer: "https://as"}
		put := func(value string) {
			s := on.open(t, key(1))
			require.NoError(t, s.PutPAT(t.Context(), site, store.PAT{Value: secret.New("pat"), ClientID: value}))
			require.NoError(t, s.Close())
		}
		put("backup")
		s := on.open(t, key(1))
		data := backUp(t, s, store.BackupOptions{})
		require.NoError(t, s.Close())
		kept := map[string]bool{}
		for n := range 3 {
			put(fmt.Sprint("before ", n))
			done, err := store.Restore(t.Context(), readBackup(t, data), store.RestoreOptions{
				Location: on.location, Dir: on.dir, Keys: []secret.Text{key(1)}, Force: true, Copies: copies, Now: func() time.Time { return at },
			})
			require.NoError(t, err)
			require.NotContains(t, kept, done.Copy)
			kept[done.Copy] = true
			content, err := os.ReadFile(done.Copy)
			require.NoError(t, err)
			require.Contains(t, string(content), fmt.Sprint("before ", n))
		}
		require.Len(t, kept, 3)
	})
}
