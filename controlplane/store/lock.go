package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gofrs/flock"
)

// nextEpoch begins the time of a new leader.
const nextEpoch = `UPDATE change SET epoch = epoch + 1, number = number + 1 WHERE one = 1 RETURNING epoch`

// Lead tries, once, to make this process the one that registers, renews and
// synchronises. ErrNotLeader says to try again later, ErrInUse not to.
func (s *SQL) Lead(ctx context.Context) (Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// Who cannot read what is sealed would only keep others from it.
	if err := s.useKey(ctx, s.db); err != nil {
		return nil, err
	}
	lease, epoch, err := s.locks.lead(ctx)
	if err != nil {
		return nil, s.written(err)
	}
	s.epoch.Store(epoch)
	return lease, nil
}

// Lease is leadership.
type Lease interface {
	// Lost is closed when another process may lead before Release was called.
	Lost() <-chan struct{}
	// Release ends it, so that another process can lead at once. It is called
	// once, also when the lease was lost.
	Release() error
}

// Unfenced is the same store for what every replica writes, under the lock of its key:
// that another has led since this process did does not stop it. Close s, not it.
func (s *SQL) Unfenced() *SQL {
	return &SQL{
		db: s.db, keys: s.keys, keyring: s.keyring, locks: s.locks, file: s.file, session: s.session, snapshot: s.snapshot, overriding: s.overriding, tracer: s.tracer,
	}
}

// TryLock keeps other processes from changing the registrations of a key, until unlock
// is called or the process ends. It does not wait: ErrLocked.
func (s *SQL) TryLock(ctx context.Context, key Key) (unlock func() error, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.locks.tryLock(ctx, key)
}

// Locker locks the registrations of a key; [SQL] is one.
type Locker interface {
	TryLock(ctx context.Context, key Key) (unlock func() error, err error)
}

// Lock is [SQL.TryLock] that waits until the lock is free or ctx ends. waiting is called
// once when another has it; may be nil.
func Lock(ctx context.Context, from Locker, key Key, waiting func()) (unlock func() error, err error) {
	const first, longest = 50 * time.Millisecond, 200 * time.Millisecond
	unlock, err = backoff.Retry(ctx, func() (func() error, error) {
		unlock, err := from.TryLock(ctx, key)
		if err != nil && !errors.Is(err, ErrLocked) {
			return nil, backoff.Permanent(err)
		}
		return unlock, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: first, MaxInterval: longest, Multiplier: backoff.DefaultMultiplier, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(error, time.Duration) {
		if waiting != nil {
			waiting()
			waiting = nil
		}
	}))
	if err != nil && ctx.Err() != nil {
		err = errors.Join(ErrLocked, err)
	}
	return unlock, err
}

// fileLocks lock files beside the database, which the system takes back when the
// process ends, however it ends. The database file itself would not do: SQLite
// loses its own locks when another descriptor of that file is closed.
type fileLocks struct {
	db   *sql.DB
	path string
}

func (l *fileLocks) lead(ctx context.Context) (Lease, int64, error) {
	lock, err := tryFile(l.path + ".lock")
	if err != nil {
		return nil, 0, err
	}
	if lock == nil {
		return nil, 0, fmt.Errorf("%w (%s.lock is held)", ErrInUse, l.path)
	}
	var epoch int64
	if err := l.db.QueryRowContext(ctx, nextEpoch).Scan(&epoch); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("store: lead: %w", err), lock.Close())
	}
	return fileLease{lock: lock}, epoch, nil
}

func (l *fileLocks) tryLock(_ context.Context, key Key) (unlock func() error, err error) {
	sum := sha256.Sum256([]byte(place(key, "lock")))
	lock, err := tryFile(l.path + "." + hex.EncodeToString(sum[:6]) + ".lock")
	if err != nil {
		return nil, err
	}
	if lock == nil {
		return nil, fmt.Errorf("%w: %s", ErrLocked, key.Site)
	}
	return fileLease{lock: lock}.Release, nil
}

func (*fileLocks) close() error { return nil }

// tryFile returns nil for a file that another holds.
func tryFile(path string) (*flock.Flock, error) {
	lock := flock.New(path, flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("store: lock %s: %w", path, err)
	case !held:
		return nil, nil //nolint:nilnil // held elsewhere is an answer
	}
	return lock, nil
}

// noLocks are those of a store that nobody writes to.
type noLocks struct{}

func (noLocks) lead(context.Context) (Lease, int64, error) { return nil, 0, ErrNotLeader }

func (noLocks) tryLock(context.Context, Key) (func() error, error) { return nil, ErrLocked }

func (noLocks) close() error { return nil }

// fileLease is a file that is locked.
type fileLease struct{ lock *flock.Flock }

// Lost never happens: the lock is this process's own.
func (fileLease) Lost() <-chan struct{} { return nil }

// Release implements [Lease].
func (l fileLease) Release() error {
	if err := l.lock.Close(); err != nil {
		return fmt.Errorf("store: unlock %s: %w", l.lock.Path(), err)
	}
	return nil
}
