package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pressly/goose/v3"

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
)

var (
	// ErrNoDatabase: there is no database yet.
	ErrNoDatabase = errors.New("store: there is no database yet")
	// ErrOlderSchema: the database is of an older umagate, and was opened for
	// reading only.
	ErrOlderSchema = errors.New("store: the database is of an older umagate; umagate serve and umagate apply bring it up to date")
)

// ReadSQLite opens the database file for reading: nothing is made, migrated or
// written, and every method that writes fails. ErrNoDatabase: there is none.
func ReadSQLite(ctx context.Context, path string, keys ...secret.Text) (*SQL, error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoDatabase, path)
	}
	ring, err := fileKeyring(path, true, keys)
	if err != nil {
		return nil, err
	}
	readable, copied, err := onWritable(path)
	if err != nil {
		return nil, err
	}
	// mode=rw, not ro: a journal that a killed process left is read with it.
	db, err := openFile(readable, url.Values{"_pragma": {"query_only(1)"}, "mode": {"rw"}})
	if err != nil {
		return nil, errors.Join(err, discard(copied))
	}
	s := &SQL{db: db, keys: ring, locks: &fileLocks{db: db, path: path}, copied: copied}
	if err := s.checkReadable(ctx, goose.DialectSQLite3, "sqlite"); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), db.Close(), discard(copied))
	}
	return s, nil
}

// onWritable returns where a database can be read by SQLite, which writes beside it: where
// it is or, if nothing can be written there any more, in a copy of it and its journal. The
// copy is in a folder of its own, which [discard] removes.
func onWritable(path string) (readable, folder string, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the store that umagate.yaml names
	if !errors.Is(err, syscall.EROFS) {
		if err == nil {
			err = file.Close()
		}
		return path, "", err
	}
	folder, err = os.MkdirTemp("", "umagate-read-")
	if err != nil {
		return "", "", fmt.Errorf("%w, and no copy of it can be made: %w", ErrReadOnly, err)
	}
	readable = filepath.Join(folder, filepath.Base(path))
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if err := copyFile(path+suffix, readable+suffix); err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return "", "", errors.Join(fmt.Errorf("%w, and no copy of it can be made: %w", ErrReadOnly, err), discard(folder))
		}
	}
	return readable, folder, nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from) //nolint:gosec // beside it
	if err != nil {
		return err
	}
	defer source.Close()                                                     //nolint:errcheck // only read from
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // in a folder that was just made
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// discard removes a folder; empty for none.
func discard(folder string) error {
	if folder == "" {
		return nil
	}
	return os.RemoveAll(folder)
}

// Empty returns a store without records, in memory. Nothing can be written to it.
func Empty(ctx context.Context) (*SQL, error) {
	db, _, err := memory(ctx, 0)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, `PRAGMA query_only(1)`); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), db.Close())
	}
	ring, err := newKeyring(nil, seal.NewKey())
	return &SQL{db: db, keys: ring, locks: noLocks{}}, err
}

// checkReadable checks schema and key.
func (s *SQL) checkReadable(ctx context.Context, dialect goose.Dialect, folder string, options ...goose.ProviderOption) error {
	provider, err := newProvider(dialect, folder, s.db, options...)
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("store: read the schema's version: %w", err)
	case current > target:
		return fmt.Errorf("schema %d, this umagate knows %d: %w", current, target, ErrNewerSchema)
	case current < target:
		return fmt.Errorf("schema %d, this umagate knows %d: %w", current, target, ErrOlderSchema)
	}
	return s.useKey(ctx, s.db)
}
