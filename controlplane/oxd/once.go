package oxd

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// putBackTimeout bounds how long a command that failed takes to give back what it did
// not use up.
const putBackTimeout = 5 * time.Second

// putState keeps a value that is good for a while.
func (s *rps) putState(ctx context.Context, kind, id, oxdID, value string, lifetime time.Duration) error {
	now := s.now()
	return s.store.PutTemporaryState(ctx, store.TemporaryState{Kind: kind, ID: id, OxdID: oxdID, Value: secret.New(value), ExpiresAt: now.Add(lifetime)}, now)
}

// once runs exchange with what is good once. It is taken first, so that of several who
// come at the same time one has it, and put back when exchange says that it was not used
// up: then the same may be tried again until it expires. unknown is the failure where
// there is none. A process that ends in between has used it up.
func (s *rps) once(ctx context.Context, kind, id string, unknown *Error, exchange func(store.TemporaryState) (used bool, err error)) error {
	state, err := s.store.TakeTemporaryState(ctx, kind, id, s.now())
	if errors.Is(err, store.ErrNotFound) {
		return unknown
	}
	if err != nil {
		return err
	}
	used, err := exchange(state)
	if used {
		return err
	}
	// Whoever asked may be gone already.
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackTimeout)
	defer cancel()
	if failed := s.store.PutTemporaryState(lasting, state, s.now()); failed != nil {
		s.logger.Warn("oxd: a state that was not used up is lost", slog.String("kind", kind), slog.Any("error", failed))
	}
	return err
}
