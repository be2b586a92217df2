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

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
)

// RestoreOptions is what [Restore] needs.
type RestoreOptions struct {
	// Location, Dir and Keys are those of [Open].
	Location secret.Text
	Dir      string
	Keys     []secret.Text
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
// not at all. One of the keys has to be that of the backup: secrets stay sealed with it.
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
	keys, keyFile, err := restoreKeys(b, path, options.Keys, options.Force || empty)
	if err != nil {
		return out, err
	}
	var undo []func() error
	// move keeps a file under a name that no other has.
	move := func(name string) (string, error) {
		kept, err := keep(name, ".before-restore-", options.Now())
		if err != nil {
			return "", err
		}
		if err := os.Remove(name); err != nil {
			return "", errors.Join(err, os.Remove(kept))
		}
		undo = append(undo, func() error { return os.Rename(kept, name) })
		return kept, nil
	}
	defer func() {
		// Whatever failed, what was there is there again.
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	if there {
		if out.Copy, err = move(path); err != nil {
			return out, fmt.Errorf("store: keep what is there: %w", err)
		}
	}
	if keyFile {
		if _, err := move(path + ".key"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return out, fmt.Errorf("store: keep the key: %w", err)
		}
		out.KeyFile = path + ".key"
		if err := seal.WriteKeyFile(out.KeyFile, keys[0]); err != nil {
			return out, err
		}
	}
	s, err := OpenSQLite(ctx, path, keys...)
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

// restoreKeys finds the keys, of which one is that of the backup, and reports whether it
// has to be written into the key file.
func restoreKeys(b *Backup, path string, given []secret.Text, replace bool) (keys []secret.Text, write bool, err error) {
	if len(given) > 0 && !given[0].IsZero() {
		return given, false, b.fits(given...)
	}
	found, err := seal.ReadKey(path + ".key")
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	case err == nil && b.fits(found) == nil:
		return []secret.Text{found}, false, nil
	case !b.Key.IsZero() && b.fits(b.Key) == nil && replace:
		return []secret.Text{b.Key}, true, nil
	case err != nil:
		return nil, false, fmt.Errorf("%w: the backup has no key, and there is no %s.key: put it there, or give store_key", ErrSealed, path)
	}
	return nil, false, fmt.Errorf("%w: %s.key is not the key of the backup; the key before the last umagate rekey is in a file beside it", ErrSealed, path)
}

// fits reports by its error whether the backup is sealed with one of the keys.
func (b *Backup) fits(keys ...secret.Text) error {
	ring, err := newKeyring(nil, keys...)
	if err != nil || len(b.seal) == 0 {
		return err
	}
	if err := ring.use(b.seal); err != nil {
		return fmt.Errorf("%w: neither store_key nor store_key_previous is the key of the backup", err)
	}
	return nil
}

// restorePostgres empties and fills the tables in one transaction.
func restorePostgres(ctx context.Context, b *Backup, options RestoreOptions) (out Restored, err error) {
	if err := b.fits(options.Keys...); err != nil {
		return out, err
	}
	s, err := OpenPostgres(ctx, options.Location, options.Keys...)
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
	var f *os.File
	path, err := unused(filepath.Join(options.Copies, "umagate-before-restore-"+stamp(options.Now())), ".backup", func(name string) (err error) {
		f, err = os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names the folder
		return err
	})
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
