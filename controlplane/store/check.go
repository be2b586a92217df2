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
)

// Check reports whether what is written now would be there after the next start: the
// file is the one that was opened, a write goes through, and the key is known.
// [ErrFileReplaced], [ErrDiskFull], [ErrSealed], or what the database says.
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
	if full(err) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// full reports whether a database says that there is no room: a disk, a quota or a limit
// of the process.
func full(err error) bool {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code() == sqlite3.SQLITE_FULL || lite.Code() == sqlite3.SQLITE_IOERR_WRITE
	}
	const diskFull = "53100"
	said, ok := errors.AsType[*pgconn.PgError](err)
	return ok && said.Code == diskFull
}
