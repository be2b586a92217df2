package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/store"
)

// leadership is who leads, as far as this replica knows.
type leadership struct {
	mu      sync.Mutex
	leading bool
	leader  store.Leader
}

// leads reports whether this replica may change anything at an AS.
func (l *leadership) leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leading
}

func (l *leadership) lead(leading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leading = leading
}

// follow notes who leads, or led last.
func (l *leadership) follow(leader store.Leader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader = leader
}

func (l *leadership) known() store.Leader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader
}

// burst is the part of the standby interval in which what is written is read together.
const burst = 20

// election has one of the replicas that share a store lead.
type election struct {
	board  *health.Board
	name   string
	store  *store.SQL
	logger *slog.Logger
	every  time.Duration
	// wake says that the store may have something new.
	wake chan struct{}
	// unfit says that another replica would lead better.
	unfit chan struct{}
	// lease is held by who leads; nil for who does not.
	lease store.Lease
}

func newElection(board *health.Board, name string, from *store.SQL, logger *slog.Logger, every time.Duration, lease store.Lease) *election {
	return &election{
		board: board, name: name, store: from, logger: logger, every: every,
		wake: make(chan struct{}, 1), unfit: make(chan struct{}, 1), lease: lease,
	}
}

// yield has this replica give up leading, if it does.
func (e *election) yield() {
	select {
	case e.unfit <- struct{}{}:
	default:
	}
}

// notify has the store looked at soon.
func (e *election) notify() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run works as leader of sites while this replica is one, and else serves what the leader
// writes and asks to lead. When it returns, no worker runs and no lease is held.
func (e *election) run(ctx context.Context, sites *sites) error {
	for {
		if e.lease != nil {
			if e.waitWhileLeading(ctx, sites) {
				e.logger.Warn("another replica leads or is to; serving what it writes")
			}
			sites.resign()
			if err := e.release(); err != nil {
				e.logger.Warn("leadership not released; it ends by itself", slog.Any("error", err))
			}
		}
		if !e.waitForNews(ctx) {
			return nil
		}
		err := e.follow(ctx, sites)
		if errors.Is(err, store.ErrSealed) {
			err = nil // which has a condition of its own, and another may lead
		}
		if ctx.Err() == nil {
			e.board.Set(health.NoLeader, err)
		}
	}
}

// release ends the lease, if there is one.
func (e *election) release() error {
	if e.lease == nil {
		return nil
	}
	lease := e.lease
	e.lease = nil
	return lease.Release()
}

// waitForNews waits until the store is to be read; it returns false when ctx has ended.
func (e *election) waitForNews(ctx context.Context) bool {
	timer := time.NewTimer(e.every)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-e.wake:
		// What is written in a burst is read once.
		timer.Reset(e.every / burst)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return ctx.Err() == nil
}

// follow becomes leader if no other is, and else takes over what is new.
func (e *election) follow(ctx context.Context, sites *sites) error {
	lease, err := e.store.Lead(ctx)
	if errors.Is(err, store.ErrNotLeader) {
		return sites.refresh(ctx)
	}
	if err != nil {
		return err
	}
	if err := sites.takeOver(ctx, e.name); err != nil {
		return errors.Join(err, lease.Release())
	}
	e.lease = lease
	select {
	case <-e.unfit: // that was before
	default:
	}
	return nil
}

// waitWhileLeading waits until the lease is lost or to be given up, or ctx ends. Meanwhile it takes over
// what other replicas write for applications: any of them may be asked to protect.
func (e *election) waitWhileLeading(ctx context.Context, sites *sites) (lost bool) {
	var due <-chan time.Time
	if sites.merge != nil {
		ticker := time.NewTicker(e.every)
		defer ticker.Stop()
		due = ticker.C
	}
	seen := int64(unread)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-e.lease.Lost():
			return true
		case <-e.unfit:
			return true
		case <-e.wake: // mostly of its own writes
		case <-due:
			var err error
			if seen, err = sites.poll(ctx, seen); err != nil && !errors.Is(err, context.Canceled) {
				e.logger.Warn("what applications protect is not read anew; what is published stays", slog.Any("error", err))
			}
		}
	}
}
