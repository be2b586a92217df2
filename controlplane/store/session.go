package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// beatEvery is how often a session that has a lock is used, beatTimeout how long
	// the answer may take, and sessionTimeout after what silence the server ends the
	// session. A leader that cannot reach the server has given up, after at most
	// beatEvery+beatTimeout, before the server lets another lead.
	beatEvery      = time.Second
	beatTimeout    = 3 * time.Second
	sessionTimeout = 6 * time.Second
	// lockSessions bounds the sessions with locks: the leader's, and one for each
	// site that is being registered or synchronised. More wait for their turn.
	lockSessions = 16
)

// sessionLocks are advisory locks, each of a session of its own. The server
// releases one when its session ends: at once when the process dies, and after
// sessionTimeout when the machine or the network does.
type sessionLocks struct {
	// db is apart from the one that is written with: who has a lock and waits for
	// a connection must not wait for others who do the same.
	db *sql.DB
}

func newSessionLocks(config *pgx.ConnConfig) *sessionLocks {
	config = config.Copy()
	delete(config.RuntimeParams, "default_transaction_read_only")
	config.RuntimeParams["idle_session_timeout"] = fmt.Sprint(sessionTimeout.Milliseconds())
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(lockSessions)
	db.SetMaxIdleConns(0) // the server ends idle ones
	return &sessionLocks{db: db}
}

func (l *sessionLocks) close() error { return l.db.Close() }

func (l *sessionLocks) lead(ctx context.Context) (_ Lease, epoch int64, err error) {
	conn, err := l.lock(ctx, "lead", ErrNotLeader)
	if err != nil {
		return nil, 0, err
	}
	// On the same session: it has the lock as long as this can be written.
	if err := conn.QueryRowContext(ctx, nextEpoch).Scan(&epoch); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("store: lead: %w", err), conn.Close())
	}
	return hold(ctx, conn), epoch, nil
}

func (l *sessionLocks) tryLock(ctx context.Context, key Key) (unlock func() error, err error) {
	conn, err := l.lock(ctx, place(key, "lock"), fmt.Errorf("%w: %s", ErrLocked, key.Site))
	if err != nil {
		return nil, err
	}
	return hold(ctx, conn).Release, nil
}

// lock returns a session that has the lock of that name, or the error held.
func (l *sessionLocks) lock(ctx context.Context, name string, held error) (*sql.Conn, error) {
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: lock: %w", err)
	}
	// Installations in one database have schemas of their own, and so locks.
	var schema string
	var locked bool
	err = conn.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&schema)
	if err == nil {
		sum := sha256.Sum256([]byte(schema + " " + name))
		id := int64(binary.BigEndian.Uint64(sum[:8])) //nolint:gosec // any 64 bits will do
		err = conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, id).Scan(&locked)
	}
	switch {
	case err != nil:
		return nil, errors.Join(fmt.Errorf("store: lock: %w", err), conn.Close())
	case !locked:
		return nil, errors.Join(held, conn.Close())
	}
	return conn, nil
}

// hold keeps the session alive until it is released. It outlives ctx.
func hold(ctx context.Context, conn *sql.Conn) *sessionLease {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &sessionLease{conn: conn, cancel: cancel, lost: make(chan struct{}), done: make(chan struct{})}
	go l.beat(ctx)
	return l
}

// sessionLease is a session with the lock.
type sessionLease struct {
	conn   *sql.Conn
	cancel context.CancelFunc
	lost   chan struct{}
	done   chan struct{} // closed when beat has ended
}

// Lost implements [Lease].
func (l *sessionLease) Lost() <-chan struct{} { return l.lost }

// beat uses the session until it is gone or ctx ends.
func (l *sessionLease) beat(ctx context.Context) {
	defer close(l.done)
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if l.alive(ctx) != nil && ctx.Err() == nil {
			close(l.lost)
			return
		}
	}
}

// alive is not cut short by Release: that would end the session in the middle.
func (l *sessionLease) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	_, err := l.conn.ExecContext(ctx, `SELECT 1`)
	return err
}

// Release implements [Lease]. The lock is given up before the session is closed,
// since the server notices that a little later only.
func (l *sessionLease) Release() error {
	l.cancel()
	<-l.done
	err := l.conn.Raw(func(any) error { return nil })
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), beatTimeout)
		defer cancel()
		// If it fails, the end of the session does the same.
		_, _ = l.conn.ExecContext(ctx, `SELECT pg_advisory_unlock_all()`)
	}
	if err := l.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) && !errors.Is(err, driver.ErrBadConn) {
		return fmt.Errorf("store: close a session: %w", err)
	}
	return nil
}
