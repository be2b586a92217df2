package as

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// Tries of a write that collides, and the waits between them: each is at random
// between nothing and a bound that doubles, so that those that collided do not
// meet again. All together they take 1.6 s at most.
const (
	collisionTries = 8
	collisionWait  = 20 * time.Millisecond
	collisionMax   = 500 * time.Millisecond
)

// apart makes a write again as long as the AS says that another one at the same
// moment was in its way. The AS has done nothing of it then, so that nothing is
// done twice.
func (s *Server) apart(ctx context.Context, write func() (answer, error)) (answer, error) {
	for n := 1; ; n++ {
		out, err := write()
		err = s.collided(err)
		if n == collisionTries || !errors.Is(err, ErrCollision) {
			return out, err
		}
		bound := min(collisionWait<<(n-1), collisionMax)
		timer := time.NewTimer(rand.N(bound) + 1) //nolint:gosec // jitter, not a secret
		select {
		case <-ctx.Done():
			timer.Stop()
			return out, errors.Join(err, ctx.Err())
		case <-timer.C:
		}
	}
}

// collided tells a collision from a name that is taken: both are a 409.
func (s *Server) collided(err error) error {
	e, ok := errors.AsType[*Error](err)
	if taken := s.dialect.NameTaken; ok && e.Status == http.StatusConflict && taken != "" && e.Code != taken {
		e.Kind = ErrCollision
	}
	return err
}
