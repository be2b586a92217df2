package sync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/umagate/umagate/controlplane/as"
)

// Retry says how a call to the AS is tried again. The zero value does not.
type Retry struct {
	// Attempts is how often a call is made at most.
	Attempts int
	// Base is the first wait; each further one is twice as long, up to Max. The AS
	// can ask for a longer one. Each is shortened at random by up to a half.
	Base, Max time.Duration
	// Sleep waits; a test's own or, when nil, a timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Backoff is the wait before attempt n, counted from 1 for the first retry.
func (r Retry) Backoff(n int, atLeast time.Duration) time.Duration {
	wait := r.Base << min(n-1, 20)
	if wait <= 0 || wait > r.Max {
		wait = r.Max
	}
	wait -= rand.N(wait/2 + 1) //nolint:gosec // jitter, not a secret
	return max(wait, atLeast)
}

// attempt calls f, again where the failure may pass. f is idempotent.
func (r *Reconciler) attempt(ctx context.Context, f func(ctx context.Context) error) error {
	return r.again(ctx, f, (*as.Error).Temporary)
}

// again calls f as long as retry says that its failure may pass.
func (r *Reconciler) again(ctx context.Context, f func(ctx context.Context) error, retry func(*as.Error) bool) error {
	for n := 1; ; n++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		failed, ok := errors.AsType[*as.Error](err)
		if !ok || !retry(failed) || n >= r.Retry.Attempts || ctx.Err() != nil {
			return err
		}
		sleep := r.Retry.Sleep
		if sleep == nil {
			sleep = wait
		}
		if sleepErr := sleep(ctx, r.Retry.Backoff(n, failed.RetryAfter)); sleepErr != nil {
			return errors.Join(err, sleepErr)
		}
	}
}

// refusedUnheard says that the AS did not act on the call. Only then is it safe
// to repeat a creation: any other failure may hide a success.
func refusedUnheard(e *as.Error) bool { return errors.Is(e, as.ErrRateLimited) }

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
