package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// RestoreOptions is what [Restore] needs.
type RestoreOptions struct {
	// Location, Dir and Key are those of [Open].
	Location secret.Text
	Dir      string
	Key      secret.Text
	// Force replaces a store that is not empty. A copy of what it has is kept.
	Force bool
	// Copies is the folder for the copy of a PostgreSQL store; that of a SQLite file
	// stays beside it. Version is for its header.
	Copies  string
	Version string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Restored tells what [Restore] has done.
type Restored struct {
	Contents Contents `json:"contents"`
	// Copy is where what was there before is kept; empty when there was nothing.
	Copy string `json:"copy,omitempty"`
	// KeyFile is the key file that was written, because the key was in the backup.
	KeyFile string `json:"key_file,omitempty"`
}

// Restore puts a backup into a store that is empty or is to be replaced, and that
// nobody serves from: ErrInUse, ErrNotLeader. What it puts there appears whole or
// not at all. The key has to be the one that the backup was written with: secrets
// stay sealed.
func Restore(ctx context.Context, b *Backup, options RestoreOptions) (Restored, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	path, ok := strings.CutPrefix(options.Location.Reveal(), "sqlite:")
	if !ok {
		return restorePostgres(ctx, b, options)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(options.Dir, path)
	}
	return restoreSQLite(ctx, b, path, options)
}

// restoreSQLite makes a new file; the one that was there is renamed.
func restoreSQLite(ctx context.Context, b *Backup, path string, options RestoreOptions) (out Restored, err error) {
	lock, err := tryFile(path + ".lock")
	switch {
	case err != nil:
		return out, err
	case lock == nil:
		return out, fmt.Errorf("%w (%s.lock is held)", ErrInUse, path)
	}
	defer func() { err = errors.Join(err, fileLease{lock: lock}.Release()) }()
	there, empty, err := emptySQLite(ctx, path)
	if err != nil {
		return out, err
	}
	if !empty && !options.Force {
		return out, fmt.Errorf("%s: %w", path, ErrNotEmpty)
	}
	key, keyFile, err := restoreKey(b, path, options.Key, options.Force || empty)
	if err != nil {
		return out, err
	}
	aside := ".before-restore-" + options.Now().UTC().Format("20060102T150405Z")
	var moved []string
	move := func(name string) error {
		err := os.Rename(name, name+aside)
		if err == nil {
			moved = append(moved, name)
		}
		return err
	}
	defer func() {
		// Whatever failed, what was there is there again.
		for i := len(moved) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, os.Rename(moved[i]+aside, moved[i]))
		}
	}()
	if there {
		if err := move(path); err != nil {
			return out, fmt.Errorf("store: keep what is there: %w", err)
		}
		out.Copy = path + aside
	}
	if keyFile {
		if err := move(path + ".key"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return out, fmt.Errorf("store: keep the key: %w", err)
		}
		out.KeyFile = path + ".key"
		if err := writeKeyFile(out.KeyFile, key); err != nil {
			return out, err
		}
	}
	s, err := OpenSQLite(ctx, path, key)
	if err != nil {
		return out, err
	}
	out.Contents, err = s.fill(ctx, b, `DELETE FROM `)
	return out, errors.Join(err, s.Close())
}

// emptySQLite looks into a database file without its key, and folds its journal
// into it, so that it can be moved.
func emptySQLite(ctx context.Context, path string) (there, empty bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, true, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("store: %w", err)
	}
	if info.Size() == 0 {
		return true, true, nil
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return true, false, fmt.Errorf("store: %w", err)
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return true, false, fmt.Errorf("store: %s cannot be read, move it away to restore: %w", path, err)
	}
	tables, err := tablesOf(ctx, db)
	if err != nil {
		return true, false, err
	}
	empty, err = noRows(ctx, db, tables)
	return true, empty, err
}

func noRows(ctx context.Context, db *sql.DB, tables []table) (bool, error) {
	for _, t := range tables {
		if unsaved[t.name] {
			continue
		}
		var n int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM `+quoted(t.name)).Scan(&n); err != nil {
			return false, fmt.Errorf("store: look into table %s: %w", t.name, err)
		}
		if n > 0 {
			return false, nil
		}
	}
	return true, nil
}

// restoreKey finds the key that the backup was written with, and reports whether it
// has to be written into the key file.
func restoreKey(b *Backup, path string, given secret.Text, replace bool) (key secret.Text, write bool, err error) {
	fits := func(key secret.Text) bool { return len(b.seal) == 0 || sealedWith(key, b.seal) == nil }
	if !given.IsZero() {
		if !fits(given) {
			return given, false, fmt.Errorf("%w: store_key is not the key of the backup", ErrSealed)
		}
		return given, false, nil
	}
	found, err := readKey(path + ".key")
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return key, false, err
	case err == nil && fits(found):
		return found, false, nil
	case !b.Key.IsZero() && fits(b.Key) && replace:
		return b.Key, true, nil
	case err != nil:
		return key, false, fmt.Errorf("%w: the backup has no key, and there is no %s.key: put it there, or give store_key", ErrSealed, path)
	}
	return key, false, fmt.Errorf("%w: %s.key is not the key of the backup", ErrSealed, path)
}

// restorePostgres empties and fills the tables in one transaction.
func restorePostgres(ctx context.Context, b *Backup, options RestoreOptions) (out Restored, err error) {
	if options.Key.IsZero() {
		return out, ErrKeyNeeded
	}
	if err := sealedWith(options.Key, b.seal); err != nil && len(b.seal) > 0 {
		return out, fmt.Errorf("%w: store_key is not the key of the backup", err)
	}
	s, err := OpenPostgres(ctx, options.Location, options.Key)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	lease, err := s.Lead(ctx)
	if err != nil {
		return out, fmt.Errorf("%w: stop every umagate serve of this store", err)
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	empty, err := noRows(ctx, s.db, b.tables)
	if err != nil {
		return out, err
	}
	if !empty {
		if !options.Force {
			return out, ErrNotEmpty
		}
		if out.Copy, err = s.copyInto(ctx, options); err != nil {
			return out, err
		}
	}
	// Not DELETE: the audit log has a trigger that lets nobody take rows out.
	out.Contents, err = s.fill(ctx, b, `TRUNCATE TABLE `)
	return out, err
}

func (s *SQL) copyInto(ctx context.Context, options RestoreOptions) (string, error) {
	path := filepath.Join(options.Copies, "umagate-before-restore-"+options.Now().UTC().Format("20060102T150405Z")+".backup")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return "", fmt.Errorf("store: keep a copy: %w", err)
	}
	_, err = s.Backup(ctx, f, BackupOptions{Version: options.Version})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("store: keep a copy: %w", err)
	}
	return path, nil
}

// fill makes every table what the backup has. The number of changes and the epoch
// go on from the larger of both: to who has read the store, all of it is new.
func (s *SQL) fill(ctx context.Context, b *Backup, emptying string) (_ Contents, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return b.Contents, fmt.Errorf("store: restore: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // what failed is told already
		}
	}()
	var number, epoch int64
	if err := tx.QueryRowContext(ctx, `SELECT number, epoch FROM change WHERE one = 1`).Scan(&number, &epoch); err != nil {
		return b.Contents, fmt.Errorf("store: restore: %w", err)
	}
	for _, t := range slices.Backward(b.tables) {
		if _, err := tx.ExecContext(ctx, emptying+quoted(t.name)); err != nil {
			return b.Contents, fmt.Errorf("store: empty table %s: %w", t.name, err)
		}
	}
	for _, t := range b.tables {
		if err := s.fillTable(ctx, tx, b, t); err != nil {
			return b.Contents, fmt.Errorf("store: restore table %s: %w", t.name, err)
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE change SET number = CASE WHEN number > CAST($1 AS BIGINT) THEN number ELSE CAST($1 AS BIGINT) END + 1,
		epoch = CASE WHEN epoch > CAST($2 AS BIGINT) THEN epoch ELSE CAST($2 AS BIGINT) END + 1 WHERE one = 1`, number, epoch)
	if err != nil {
		return b.Contents, fmt.Errorf("store: restore: %w", err)
	}
	return b.Contents, tx.Commit()
}

func (s *SQL) fillTable(ctx context.Context, tx *sql.Tx, b *Backup, t table) error {
	insert, err := tx.PrepareContext(ctx, insertInto(t, s.overriding))
	if err != nil {
		return err
	}
	err = eachRow(ctx, b.db, t, func(row []any) error {
		_, err := insert.ExecContext(ctx, row...)
		return err
	})
	if err = errors.Join(err, insert.Close()); err != nil || s.overriding == "" {
		return err
	}
	// PostgreSQL counts on from where it was, not from what was put in.
	for _, column := range t.columns {
		var sequence sql.NullString
		if err := tx.QueryRowContext(ctx, `SELECT pg_get_serial_sequence($1, $2)`, quoted(t.name), column).Scan(&sequence); err != nil {
			return err
		}
		if !sequence.Valid {
			continue
		}
		next := `SELECT setval($1::regclass, (SELECT coalesce(max(` + quoted(column) + `), 0) + 1 FROM ` + quoted(t.name) + `), false)` //nolint:gosec // names of the schema's own
		_, err := tx.ExecContext(ctx, next, sequence.String)
		if err != nil {
			return err
		}
	}
	return nil
}
