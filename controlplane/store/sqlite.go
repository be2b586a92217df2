package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/umagate/umagate/controlplane/secret"
)

// migratePoll is how often the lock of a migration under way is asked for again.
const migratePoll = 20 * time.Millisecond

// keyFileOf reads the key file of a database. One that has something in it was
// sealed with a key, so that a new one would only hide that the key is lost.
func keyFileOf(path string, written bool) (secret.Text, error) {
	if !written {
		return KeyFile(path + ".key")
	}
	key, err := readKey(path + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("%w: %s is missing, and %s is sealed with it: put it back", ErrSealed, path+".key", path)
	}
	return key, err
}

// OpenSQLite opens the database file, makes it where it is missing, and brings
// its schema up to date. With an empty key, the key is that of the file with
// ".key" after its name, made when missing. Close the store when done.
func OpenSQLite(ctx context.Context, path string, key secret.Text) (*SQL, error) {
	// SQLite would make the file, and the journals after its mode, readable to all.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names the place
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if key.IsZero() {
		if key, err = keyFileOf(path, info.Size() > 0); err != nil {
			return nil, err
		}
	}
	sealer, err := NewSealer(key)
	if err != nil {
		return nil, err
	}
	settings := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: settings.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// One connection: SQLite has one writer, and a second would only wait for it.
	db.SetMaxOpenConns(1)
	// "umagate apply" and "umagate serve" may meet a new database at the same time.
	migrating := flock.New(path+".migrate.lock", flock.SetPermissions(0o600))
	if _, err := migrating.TryLockContext(ctx, migratePoll); err != nil {
		return nil, errors.Join(fmt.Errorf("store: lock %s: %w", migrating.Path(), err), db.Close())
	}
	s, err := open(ctx, db, goose.DialectSQLite3, "sqlite", sealer)
	err = errors.Join(err, migrating.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	if s.file, err = watch(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.locks, s.key = &fileLocks{db: db, path: path}, key
	return s, nil
}
