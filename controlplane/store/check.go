package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrFileReplaced: the database file that is open is not the one at its path any more,
	// so that what is written to it is lost with the next start.
	ErrFileReplaced = errors.New("store: the database file was removed or replaced while it was open")
	// ErrDiskFull: there is no room for what was to be written, and it was not.
	ErrDiskFull = errors.New("store: the disk is full")
	// ErrReadOnly: it can be read and not written.
	ErrReadOnly = errors.New("store: it is read-only")
	// ErrCrowded: PostgreSQL has no connection left.
	ErrCrowded = errors.New("store: PostgreSQL takes no more connections")
)

// Check reports whether what is written now would be there after the next start: the
// file is the one that was opened, a write goes through, and the key is known.
// [ErrFileReplaced], [ErrDiskFull], [ErrReadOnly], [ErrCrowded], [ErrSealed], or what the
// database says.
func (s *SQL) Check(ctx context.Context) error {
	if err := s.file.room(); err != nil {
		return err
	}
	// It tells no replica, and changes nothing.
	return writing("a trial", s.quietly(ctx, func(context.Context, *sql.Tx) error { return nil }))
}

// watched is a database file that is open.
type watched struct {
	path string
	info os.FileInfo
}

// watch is of the file that stands at path now.
func watch(path string) (*watched, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &watched{path: path, info: info}, nil
}

// intact reports by its error whether path still names the file, with its journal: SQLite
// goes on with a file that has no name any more. A nil w is no file.
func (w *watched) intact() error {
	if w == nil {
		return nil
	}
	now, err := os.Stat(w.path)
	if err == nil && !os.SameFile(w.info, now) {
		return fmt.Errorf("%w: %s is another file now", ErrFileReplaced, w.path)
	}
	if err == nil {
		_, err = os.Stat(w.path + "-wal")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrFileReplaced, err)
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// trialSize is more than what a revocation adds to the journal.
const trialSize = 64 << 10

// room reports by its error whether there is room for more: a small write may go to where
// the journal has some left, while the next one does not fit. A nil w has no disk here.
func (w *watched) room() error {
	if w == nil {
		return nil
	}
	name := w.path + ".trial"
	err := os.WriteFile(name, make([]byte, trialSize), 0o600)
	err = errors.Join(err, os.Remove(name))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: write beside the database: %w", ErrReadOnly, err)
	}
	if err != nil {
		return fmt.Errorf("store: write beside the database: %w", err)
	}
	return nil
}

// written is how a write ended, which must last: nobody is told that it is done before.
func (s *SQL) written(err error) error {
	if err == nil {
		return s.file.intact()
	}
	kind := kindOf(err)
	if kind == nil {
		return err
	}
	if errors.Is(kind, ErrReadOnly) && s.session != nil {
		// The connections may lead to what was the primary once. New ones are made by the URL.
		s.db.SetMaxIdleConns(0)
		s.db.SetMaxIdleConns(idleConnections)
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// kindOf returns the error of this package that says why a database takes nothing; nil for
// none.
func kindOf(err error) error {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		const primary = 0xff // the rest says more of the same
		switch {
		case lite.Code() == sqlite3.SQLITE_FULL, lite.Code() == sqlite3.SQLITE_IOERR_WRITE: // a disk, a quota or a limit of the process
			return ErrDiskFull
		case lite.Code()&primary == sqlite3.SQLITE_READONLY:
			return ErrReadOnly
		}
	}
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch said.Code {
		case "53100":
			return ErrDiskFull
		case "25006": // in recovery, too
			return ErrReadOnly
		case "53300":
			return ErrCrowded
		}
	}
	return nil
}
