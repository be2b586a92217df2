package reconcile

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
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
	if atLeast <= 0 {
		return wait
	}
	// Never sooner than the AS asks, and not all at the same moment.
	return max(wait, atLeast+rand.N(min(atLeast/10, time.Second)+1)) //nolint:gosec // jitter
}

// attempt calls f, again where the failure may pass. f is idempotent.
func (r *Reconciler) attempt(ctx context.Context, f func(ctx context.Context) error) error {
	return r.again(ctx, f, (*as.Error).Temporary)
}

// again calls f as long as retry says that its failure may pass.
func (r *Reconciler) again(ctx context.Context, f func(ctx context.Context) error, retry func(*as.Error) bool) error {
	for n := 1; ; n++ {
		if err := r.pause.over(ctx, r.sleep); err != nil {
			return err
		}
		err := f(ctx)
		if err == nil {
			return nil
		}
		failed, ok := errors.AsType[*as.Error](err)
		if !ok || !retry(failed) || n >= r.Retry.Attempts || ctx.Err() != nil {
			return err
		}
		d := r.Retry.Backoff(n, failed.RetryAfter)
		if failed.RetryAfter > 0 { // 429, or 503: it holds for all calls
			r.pause.until(time.Now().Add(failed.RetryAfter))
		}
		if sleepErr := r.sleep(ctx, d); sleepErr != nil {
			return errors.Join(err, sleepErr)
		}
	}
}

func (r *Reconciler) sleep(ctx context.Context, d time.Duration) error {
	if r.Retry.Sleep != nil {
		return r.Retry.Sleep(ctx, d)
	}
	return wait(ctx, d)
}

// pause holds back every call while the AS asks to wait. The zero value holds
// back none.
type pause struct {
	mu  sync.Mutex
	end time.Time
}

func (p *pause) until(end time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end.After(p.end) {
		p.end = end
	}
}

func (p *pause) over(ctx context.Context, sleep func(context.Context, time.Duration) error) error {
	p.mu.Lock()
	left := time.Until(p.end)
	p.mu.Unlock()
	if left <= 0 {
		return nil
	}
	return sleep(ctx, left)
}

// refusedUnheard says that the AS did not act on the call. Only then is it safe
// to repeat a creation: any other failure may hide a success.
func refusedUnheard(e *as.Error) bool {
	return errors.Is(e, as.ErrRateLimited) || errors.Is(e, as.ErrCollision)
}

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
