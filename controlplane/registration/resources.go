package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

// progressEvery is how often a long synchronisation shows what it has done.
const progressEvery = time.Second

// resourceStore is what is kept of resources.
type resourceStore interface {
	reconcile.Records
	PutLost(ctx context.Context, key store.Key, l store.Lost) error
}

// resources owns what is registered at the AS for the resources of the file.
type resources struct {
	*account

	store     resourceStore
	of        *Client // the one that compared last
	due       time.Time
	driftFrom int // whose turn it is to be read
}

// step brings the AS's registrations in step when it is due, and at once when the
// client is another. protection is nil for a site that needs no PAT.
func (r *resources) step(ctx context.Context, protection *as.Protection, client *Client) error {
	if r.of == client && time.Now().Before(r.due) {
		return nil
	}
	desired := reconcile.Declared(r.site)
	if protection == nil && len(desired) == 0 {
		r.of, r.due = client, time.Now().Add(r.interval())
		return nil
	}
	if r.board.read().Phase != Serving {
		r.enter(Syncing)
	}
	shown := time.Now()
	reconciler := &reconcile.Reconciler{
		Audit: r.audit, AS: protection, Records: r.store, Key: r.key, Retry: r.intervals.retry(), Changed: func(c reconcile.Change) { r.logChange(c); r.noteLost(ctx, c) },
		Concurrency: r.site.Sync.Concurrency, Reads: readsOf(len(desired), r.interval()), From: r.driftFrom,
		Progress: func(done, total int) {
			// Thousands of resources take a while: those that are ready need not wait.
			if time.Since(shown) > progressEvery {
				shown = time.Now()
				r.logger.Info("resources being brought in step", slog.Int("done", done), slog.Int("total", total))
				if err := r.restore(ctx); err != nil {
					r.logger.Warn("resource ids not read", slog.Any("error", err))
				}
			}
		},
	}
	err := r.traced(ctx, "bring resources in step", func(ctx context.Context) error {
		return r.locked(ctx, func(ctx context.Context) error { return r.bringInStep(ctx, reconciler, desired) })
	})
	if errors.Is(err, store.ErrLocked) {
		// "umagate apply" is at it. The PAT must go on being renewed, so don't wait.
		r.of, r.due = client, time.Now().Add(min(r.interval(), progressEvery))
		return r.restore(ctx)
	}
	if err != nil {
		return err
	}
	r.board.update(func(s *Snapshot) bool {
		s.SyncedAt = time.Now()
		return false
	})
	r.of, r.driftFrom, r.due = client, reconciler.Next, time.Now().Add(spread(r.interval()))
	return nil
}

// interval is how often the AS is looked at.
func (r *resources) interval() time.Duration {
	if r.intervals.Sync > 0 {
		return r.intervals.Sync
	}
	return r.site.Sync.Interval
}

// spread is within a tenth of d, so that many sites do not ask together.
func spread(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // jitter, not a secret
}

// allRead is how long it takes at most until each registration has been read,
// where the AS's list does not describe them.
const allRead = 12 * time.Hour

// readsOf is how many of n are read each time for that: few enough to be no load,
// and all where they are few.
func readsOf(n int, interval time.Duration) int {
	const few = 64
	return max(few, int(math.Ceil(float64(n)*interval.Seconds()/allRead.Seconds())))
}

// bringInStep plans and applies, under the lock.
func (r *resources) bringInStep(ctx context.Context, reconciler *reconcile.Reconciler, desired []reconcile.Desired) error {
	plan, err := reconciler.Plan(ctx, desired)
	if err != nil {
		return err
	}
	plan = r.withhold(plan)
	for _, c := range plan {
		if len(c.Warnings) > 0 {
			r.logger.Warn("a change that the owner of policies may not expect", slog.String("kind", string(c.Kind)), slog.String("resource", c.Name),
				slog.Any("warnings", c.Warnings))
		}
	}
	if len(plan) > 0 {
		r.enter(Syncing)
	}
	_, err = reconciler.Apply(ctx, plan)
	return errors.Join(err, r.restore(context.WithoutCancel(ctx)))
}

// withhold takes the deletions out of the plan if they are more than the site lets
// happen unasked: a umagate.yaml that was cut short must not delete what it lacks,
// and the policies on it.
func (r *resources) withhold(plan reconcile.Plan) reconcile.Plan {
	plan, n := plan.Bounded(r.site.Sync.MaxDeletions)
	r.board.update(func(s *Snapshot) bool {
		s.Withheld = n
		return false
	})
	if n == 0 {
		r.conditions.Set(health.DeletionsWithheld, nil)
		return plan
	}
	r.conditions.Set(health.DeletionsWithheld, fmt.Errorf("%d resources are no longer declared and stay at the authorization server, sync.max_deletions is %d: %w",
		n, r.site.Sync.MaxDeletions, reconcile.ErrManyDeletions))
	return plan
}

// logChange logs what was done at the AS, each change once.
func (r *resources) logChange(c reconcile.Change) {
	done := map[reconcile.Kind]string{
		reconcile.Create: "created", reconcile.Recreate: "created anew", reconcile.Adopt: "adopted", reconcile.Update: "updated",
		reconcile.Repair: "repaired", reconcile.Delete: "deleted",
	}[c.Kind]
	attributes := []any{slog.String("change", done), slog.String("resource", c.Name)}
	if c.ID != "" {
		attributes = append(attributes, slog.String("resource_id", c.ID))
	}
	r.logger.Info("resource changed at the authorization server", append(attributes, slog.Any("fields", c.Fields))...)
}

// noteLost notes a resource that the AS lost, for somebody to give rights on it again.
func (r *resources) noteLost(ctx context.Context, c reconcile.Change) {
	if c.Kind != reconcile.Recreate {
		return
	}
	err := r.store.PutLost(context.WithoutCancel(ctx), r.key, store.Lost{Name: c.Name, Kind: store.LostPolicies, At: time.Now()})
	if err != nil {
		r.logger.Error("that a resource was registered anew is not noted; policies on the one before do not count", slog.String("resource", c.Name), slog.Any("error", err))
	}
}

// restore takes the resource ids from the store.
func (r *resources) restore(ctx context.Context) error {
	ids, err := (&reconcile.Reconciler{Records: r.store, Key: r.key}).IDs(ctx)
	if err != nil {
		return err
	}
	r.board.update(func(s *Snapshot) bool {
		if maps.Equal(ids, s.ResourceIDs) {
			return false
		}
		s.ResourceIDs = ids
		return true
	})
	return nil
}

// sample returns the id of a resource that the PAT may read; empty for none. What
// "umagate apply" has registered meanwhile counts.
func (r *resources) sample(ctx context.Context) (string, error) {
	if err := r.restore(ctx); err != nil {
		return "", err
	}
	for _, id := range r.board.read().ResourceIDs {
		return id, nil
	}
	for i := range r.site.Resources {
		if id := r.site.Resources[i].ID; id != "" {
			return id, nil
		}
	}
	if k := r.board.read().Kept; k != nil && len(k.Reading.Resources) > 0 {
		return k.Reading.Resources[0].ID, nil
	}
	return "", nil
}
