package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/store"
)

// lead works as leader while it is one, and else serves what the leader writes
// and asks to lead. lease is nil for who does not lead at the start. When it
// returns, no worker runs and no lease is held.
func (s *serving) lead(ctx context.Context, lease store.Lease) {
	troubled := false
	for {
		if lease != nil {
			if s.hold(ctx, lease) {
				s.options.Logger.Warn("another replica leads; serving what it writes")
			}
			s.resign()
			if err := lease.Release(); err != nil {
				s.options.Logger.Warn("leadership not released; it ends by itself", slog.Any("error", err))
			}
			lease = nil
		}
		timer := time.NewTimer(s.options.Intervals.Standby)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.wake:
			// What is written in a burst is read once.
			timer.Reset(s.options.Intervals.Standby / burst)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		var err error
		if lease, err = s.follow(ctx); err != nil && ctx.Err() == nil && !troubled {
			s.options.Logger.Warn("the store is not read; what is published stays", slog.Any("error", err), slog.String("remedy", registration.Remedy(err)))
		}
		troubled = err != nil
	}
}

// follow becomes leader if no other is, and else takes over what is new.
func (s *serving) follow(ctx context.Context) (store.Lease, error) {
	lease, err := s.store.Lead(ctx)
	if errors.Is(err, store.ErrNotLeader) {
		return nil, s.refresh(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := s.takeOver(ctx); err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	return lease, nil
}

// refresh reads what the leader has written, if there is anything new.
func (s *serving) refresh(ctx context.Context) error {
	s.transition.Lock()
	defer s.transition.Unlock()
	number, err := s.store.Changes(ctx)
	if err != nil || number == s.read {
		return err
	}
	if s.dynamic != nil {
		if err := s.applyLocked(ctx, nil); err != nil {
			return err
		}
	}
	if err := s.restore(ctx, registration.Standby); err != nil {
		return err
	}
	leader, err := s.store.Leader(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.setLeader(leader)
	s.read = number
	return nil
}

// restore reads everything anew for every site. No worker runs.
func (s *serving) restore(ctx context.Context, phase registration.Phase) error {
	_, workers := s.current()
	var err error
	for _, w := range workers {
		if restoreErr := w.Restore(ctx, phase); restoreErr != nil {
			err = errors.Join(err, fmt.Errorf("site %s: %w", w.site.Name, restoreErr))
		}
	}
	s.publisher.changed()
	return err
}

// takeOver makes this process the one that asks anything of an AS. It begins
// with what the leader before has written last.
func (s *serving) takeOver(ctx context.Context) error {
	s.transition.Lock()
	defer s.transition.Unlock()
	if s.dynamic != nil {
		if err := s.applyLocked(ctx, nil); err != nil {
			return err
		}
	}
	if err := s.tellLeader(ctx); err != nil {
		return err
	}
	if err := s.restore(ctx, registration.Discovering); err != nil {
		return err
	}
	s.setLeading(true)
	if _, _, err := s.guard(ctx, s.base); err != nil {
		s.setLeading(false)
		return err
	}
	s.mu.Lock()
	workers := s.workers
	s.mu.Unlock()
	for _, w := range workers {
		w.start(ctx)
	}
	s.options.Logger.Info("this replica leads")
	s.recorder.Record(ctx, audit.Event{Action: audit.LeadershipTaken})
	return nil
}

// resign ends what only a leader does, and keeps what is published.
func (s *serving) resign() {
	s.transition.Lock()
	defer s.transition.Unlock()
	s.setLeading(false)
	s.stopWorkers(nil)
	_, workers := s.current()
	for _, w := range workers {
		w.StandBy()
	}
	s.read = unread
}

// nudge has the store looked at soon.
func (s *serving) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// tellLeader has the other replicas know who leads.
func (s *serving) tellLeader(ctx context.Context) error {
	l := store.Leader{Name: s.options.Name, Since: time.Now()}
	s.setLeader(l)
	return s.store.PutLeader(ctx, l)
}

func (s *serving) setLeader(l store.Leader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = l
}

// burst is the part of Follow in which what is written is read together.
const burst = 20

// unread is no number of changes that a store gives.
const unread = -1

func (s *serving) setLeading(leading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leading = leading
}

func (s *serving) leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading
}
