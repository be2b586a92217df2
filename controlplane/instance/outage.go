package instance

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

// brief is an outage after which nobody waits for long: waits grow as it lasts.
const brief = 5 * time.Second

// notAskedError says that the AS cannot be asked for anything.
type notAskedError struct{ error }

func (n notAskedError) Unwrap() error { return n.error }

// outage is a time in which the AS does nothing of what is asked about instances, whichever
// it is asked about. The waits of all that failed grow in it. One is the pilot, and waits
// for seconds only: when that is done, so are the others.
type outage struct {
	mu    sync.Mutex
	since time.Time // zero while there is none
	pilot time.Time // when the pilot is tried
}

// concerns reports whether a failure is of any instance, and not of one.
func (*outage) concerns(err error) bool {
	if _, ok := errors.AsType[notAskedError](err); ok {
		return true
	}
	return errors.Is(err, as.ErrUnavailable) || errors.Is(err, as.ErrRateLimited) || errors.Is(err, as.ErrClientRefused) || errors.Is(err, as.ErrPATRefused)
}

// failed notes a failure that concerns all, and returns the longest wait of the one that
// failed.
func (o *outage) failed(now time.Time, i *Intervals) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = now
	}
	if now.Before(o.pilot) {
		return i.RetryMax
	}
	o.pilot = now.Add(i.Pilot)
	return i.Pilot
}

// lasts reports whether there is one.
func (o *outage) lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// end notes that the AS does what it is asked, and returns for how long it did not.
func (o *outage) end(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return 0
	}
	lasted := now.Sub(o.since)
	o.since, o.pilot = time.Time{}, time.Time{}
	return lasted
}

// busy are the instances that this process is at. Claims are made while it is read.
type busy struct {
	claiming sync.RWMutex
	mu       sync.Mutex
	names    map[string]int
}

func (b *busy) add(name string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.names[name] += n; b.names[name] <= 0 {
		delete(b.names, name)
	}
}

func (b *busy) list() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.names))
}

// claim claims an instance that is due. Whoever got it calls done after its work.
func (m *Manager) claim(ctx context.Context, name string) (in store.Instance, done func(), ok bool, err error) {
	m.busy.claiming.RLock()
	defer m.busy.claiming.RUnlock()
	now := m.options.Now()
	m.busy.add(name, 1)
	in, ok, err = m.options.Store.ClaimInstance(ctx, m.options.Key, name, now, now.Add(m.options.Intervals.Claim))
	if err != nil || !ok {
		m.busy.add(name, -1)
		return in, nil, false, err
	}
	return in, func() { m.busy.add(name, -1) }, true, nil
}

// answered is called when the AS has done, or refused, what it was asked about an instance.
// After an outage those that wait are due: a pass takes a hundred of them in a second, and
// four at once, until the AS fails again.
func (m *Manager) answered(ctx context.Context) {
	lasted := m.outage.end(m.options.Now())
	if lasted < brief {
		return
	}
	m.options.Logger.Info("the authorization server is back: what waits for it is tried now", slog.Duration("was_away", lasted.Round(time.Second)))
	m.busy.claiming.Lock()
	defer m.busy.claiming.Unlock()
	m.hasten(ctx, m.options.Now(), m.busy.list()...)
}

// begun is called when this process begins to look after instances. Another one may have
// waited for an AS that is back since, and may still be at an instance that it claimed.
func (m *Manager) begun(ctx context.Context) {
	m.hasten(ctx, m.options.Now().Add(m.options.Intervals.Claim))
}

// hasten makes due what has failed and waits for longer than until after.
func (m *Manager) hasten(ctx context.Context, after time.Time, except ...string) {
	if err := m.options.Store.HastenInstances(ctx, m.options.Key, m.options.Now(), after, except); err != nil {
		m.options.Logger.Warn("what waits for the authorization server is not tried before its time", slog.Any("error", err))
	}
}
