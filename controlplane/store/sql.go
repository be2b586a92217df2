package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/secret"
)

// callTimeout bounds each call: a database that does not answer must not hold up
// a stop, nor a leader that was replaced.
const callTimeout = 15 * time.Second

// SQL is the store, in a SQL database. Its statements are the same for each: SQLite
// takes PostgreSQL's placeholders too.
//
// Each method is one transaction, durable when it returns. Reading what is not there
// gives ErrNotFound; deleting it is no error. Safe for concurrent use.
//
// What is registered at an AS is written by the leader: once another has led, such a
// write gives ErrReplaced, until this process leads again. A process that never led may
// write: a command does, while none leads. Instances, revocations, audit events, and
// what the protocol of oxd keeps are written by every replica.
type SQL struct {
	db    *sql.DB
	keys  *keyring
	locks locks
	// keyring makes another one, as [Open] makes that of keys.
	keyring func(keys []secret.Text) (*keyring, error)
	// file is SQLite's; nil for PostgreSQL.
	file *watched
	// copied is a folder with the copy of a database that is read there; empty for none.
	copied string
	// session is how a session of its own begins; snapshot makes a transaction see one
	// moment; overriding lets an insert set a
	// column that the database counts. Each is PostgreSQL's, and zero for SQLite.
	session    *pgx.ConnConfig
	snapshot   *sql.TxOptions
	overriding string
	// epoch is that of the lease this process held last, 0 for none.
	epoch atomic.Int64
	// tracer is nil unless Trace gave one.
	tracer trace.Tracer
}

// locks are a database's own way of letting one process of many do something.
type locks interface {
	// lead returns the lease and its epoch, a number larger than every one before.
	lead(ctx context.Context) (Lease, int64, error)
	tryLock(ctx context.Context, key Key) (unlock func() error, err error)
	close() error
}

// Close closes the database.
func (s *SQL) Close() error {
	if err := errors.Join(s.locks.close(), s.db.Close(), discard(s.copied)); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// Shared reports whether replicas can share the store.
func (s *SQL) Shared() bool { return s.session != nil }

func place(key Key, what string) string {
	return fmt.Sprintf("%q %q %s", key.Site, key.Issuer, what)
}

// Changes returns a number that every write makes larger, whichever process made it.
// It tells readers when to read anew.
func (s *SQL) Changes(ctx context.Context) (int64, error) {
	number, err := one(ctx, s, func(n *int64) columns { return columns{{"number", n}} }, `FROM change WHERE one = 1`)
	return number, reading("changes", err)
}

// exec executes one statement, whoever leads, and tells nobody.
func (s *SQL) exec(ctx context.Context, statement string, args ...any) (changed int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.file.intact(); err != nil {
		return 0, err
	}
	done, err := s.db.ExecContext(ctx, statement, args...)
	if err = s.written(err); err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// doing is what a transaction does.
type doing func(context.Context, *sql.Tx) error

// execute does one statement.
func execute(statement string, args ...any) doing {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	}
}

// changing does one statement, and returns none when it changed no row.
func changing(ctx context.Context, tx *sql.Tx, none error, statement string, args ...any) error {
	done, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	if rows, err := done.RowsAffected(); err != nil || rows > 0 {
		return err
	}
	return none
}

// write does what the leader may: it is a change, unless another process has led since
// this one did.
func (s *SQL) write(ctx context.Context, key Key, what string, do doing) error {
	ctx, end := s.span(ctx, what, key)
	err := s.transact(ctx, s.epoch.Load, do)
	end(err)
	return writing(key.of(what), err)
}

// put is write for a row, or for what replaces the one that is the same in its first
// unique columns, site and issuer included.
func (s *SQL) put(ctx context.Context, key Key, table string, unique int, c columns) error {
	return s.write(ctx, key, table, func(ctx context.Context, tx *sql.Tx) error {
		return upsert(ctx, tx, table, unique, append(siteColumns(&key), c...))
	})
}

func upsert(ctx context.Context, tx *sql.Tx, table string, unique int, c columns) error {
	values, err := c.values()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, c.upsert(table, unique), values...)
	return err
}

// change does what every replica may, whoever leads.
func (s *SQL) change(ctx context.Context, do doing) error {
	return s.transact(ctx, func() int64 { return 0 }, do)
}

// quietly does what tells no replica and has something sealed. The row of the seal is
// locked until its end, so that nobody seals the store anew meanwhile.
func (s *SQL) quietly(ctx context.Context, do doing) error {
	if err := s.file.intact(); err != nil {
		return err
	}
	return s.written(s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := lockSeal(ctx, tx, s.keys); err != nil {
			return err
		}
		return do(ctx, tx)
	}))
}

// transact does a change that other replicas see. The row of the number is locked until
// its end: changes follow each other, and a new leader and a write of the old one
// exclude each other. With an epoch other than 0, it is refused when that is over.
func (s *SQL) transact(ctx context.Context, epoch func() int64, do doing) error {
	if err := s.file.intact(); err != nil {
		return err
	}
	return s.written(s.transaction(ctx, epoch, do))
}

func (s *SQL) transaction(ctx context.Context, epoch func() int64, do doing) error {
	return s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := changing(ctx, tx, ErrReplaced, `UPDATE change SET number = number + 1
			WHERE one = 1 AND (CAST($1 AS BIGINT) = 0 OR epoch = CAST($1 AS BIGINT))`, epoch())
		if err != nil {
			return err
		}
		// The row of the number is locked: nobody seals the store anew meanwhile.
		if err := s.useKey(ctx, tx); err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// within does something in a transaction, within callTimeout.
func (s *SQL) within(ctx context.Context, do doing) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.atOnce(ctx, do)
}

// atOnce does something in a transaction.
func (s *SQL) atOnce(ctx context.Context, do doing) (err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // what failed is told already
		}
	}()
	if err := do(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// of says what a record is, and of which site.
func (k Key) of(what string) string { return what + " of site " + k.Site }

func reading(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s", ErrNotFound, what)
	default:
		return fmt.Errorf("store: read %s: %w", what, err)
	}
}

func writing(what string, err error) error {
	if err != nil {
		return fmt.Errorf("store: write %s: %w", what, err)
	}
	return nil
}
