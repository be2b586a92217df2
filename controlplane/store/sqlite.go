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

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
)

// migratePoll is how often the lock of a migration under way is asked for again.
const migratePoll = 20 * time.Millisecond

// keyFilesOf reads the key file of a database, and the one that a rekeying that is under
// way, or was cut off, has made beside it. A database that has something in it was
// sealed with a key, so that a new one would only hide that the key is lost.
func keyFilesOf(path string, written bool) ([]secret.Text, error) {
	if !written {
		key, err := seal.KeyFile(path + ".key")
		return []secret.Text{key}, err
	}
	// The one that gets the name of the other is read first: so none is missed.
	next, err := seal.ReadKey(path + nextKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := seal.ReadKey(path + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w: put it back", ErrSealed, err)
	}
	return []secret.Text{key, next}, err
}

// fileKeyring is the keyring of a database file: the given keys, or else those of its
// key files, which are read anew when none of them fits.
func fileKeyring(path string, written bool, keys []secret.Text) (*keyring, error) {
	if len(keys) > 0 && !keys[0].IsZero() {
		return newKeyring(nil, keys...)
	}
	found, err := keyFilesOf(path, written)
	if err != nil {
		return nil, err
	}
	return newKeyring(func() ([]secret.Text, error) { return keyFilesOf(path, true) }, found...)
}

// openFile prepares one connection to a database file: SQLite has one writer, and a second
// would only wait for it. For those of other processes it waits as long as a call may last.
func openFile(path string, settings url.Values) (*sql.DB, error) {
	settings.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", callTimeout.Milliseconds()))
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: settings.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// OpenSQLite opens the database file, makes it where it is missing, and brings
// its schema up to date. The keys are those of [Open]. Without one, the key is that of the
// file with ".key" after its name, made when missing. Close the store when done.
func OpenSQLite(ctx context.Context, path string, keys ...secret.Text) (*SQL, error) {
	// SQLite would make the file, and the journals after its mode, readable to all.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names the place
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	ring, err := fileKeyring(path, info.Size() > 0, keys)
	if err != nil {
		return nil, err
	}
	db, err := openFile(path, url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}})
	if err != nil {
		return nil, err
	}
	// "umagate apply" and "umagate serve" may meet a new database at the same time.
	migrating := flock.New(path+".migrate.lock", flock.SetPermissions(0o600))
	if _, err := migrating.TryLockContext(ctx, migratePoll); err != nil {
		return nil, errors.Join(fmt.Errorf("store: lock %s: %w", migrating.Path(), err), db.Close())
	}
	s, err := open(ctx, db, goose.DialectSQLite3, "sqlite", ring)
	err = errors.Join(err, migrating.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	if s.file, err = watch(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.locks = &fileLocks{db: db, path: path}
	s.keyring = func(keys []secret.Text) (*keyring, error) { return fileKeyring(path, true, keys) }
	return s, nil
}
