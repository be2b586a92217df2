package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
)

// progressEvery is how often a long synchronisation shows what it has done.
const progressEvery = time.Second

// syncResources brings the AS's registrations in step when it is due.
func (w *worker) syncResources(ctx context.Context) error {
	if time.Now().Before(w.syncAt) {
		return nil
	}
	desired := link.Desired(w.site)
	if w.pats == nil && len(desired) == 0 {
		w.syncAt = time.Now().Add(w.interval())
		return nil
	}
	if w.phase != Serving {
		w.enter(Syncing)
	}
	shown := time.Now()
	r := &reconcile.Reconciler{
		Audit: recorder(w.store, w.logger), AS: w.server.Protection(w.source(ctx)), Records: w.store, Key: w.key, Retry: w.pace.retry(),
		Concurrency: w.site.Sync.Concurrency, Reads: readsOf(len(desired), w.interval()), From: w.driftFrom,
		Progress: func(done, total int) {
			// Thousands of resources take a while: those that are ready need not wait.
			if time.Since(shown) > progressEvery {
				shown = time.Now()
				w.logger.Info("resources being brought in step", slog.Int("done", done), slog.Int("total", total))
				if err := w.readIDs(ctx); err != nil {
					w.logger.Warn("resource ids not read", slog.Any("error", err))
				}
			}
		},
	}
	err := w.traced(ctx, "bring resources in step", func(ctx context.Context) error { return w.bringInStep(ctx, r, desired) })
	if errors.Is(err, store.ErrLocked) {
		// "umagate apply" is at it. The PAT must go on being renewed, so don't wait.
		w.syncAt = time.Now().Add(min(w.interval(), progressEvery))
		return w.readIDs(ctx)
	}
	if err != nil {
		return w.protectionFailed(ctx, err)
	}
	w.mu.Lock()
	w.synced = time.Now()
	w.mu.Unlock()
	w.driftFrom = r.Next
	w.syncAt = time.Now().Add(spread(w.interval()))
	return nil
}

// interval is how often the AS is looked at.
func (w *worker) interval() time.Duration {
	if w.pace.Sync > 0 {
		return w.pace.Sync
	}
	return w.site.Sync.Interval
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

// bringInStep plans and applies while no other process does.
func (w *worker) bringInStep(ctx context.Context, r *reconcile.Reconciler, desired []reconcile.Desired) (err error) {
	unlock, err := w.store.TryLock(ctx, w.key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	plan, err := r.Plan(ctx, desired)
	if err != nil {
		return err
	}
	plan = w.withhold(plan)
	for _, c := range plan {
		if len(c.Warnings) > 0 {
			w.logger.Warn("a change that the owner of policies may not expect", slog.String("kind", string(c.Kind)), slog.String("resource", c.Name),
				slog.Any("warnings", c.Warnings))
		}
	}
	r.Changed = w.tellChange
	if len(plan) > 0 {
		w.enter(Syncing)
	}
	_, err = r.Apply(ctx, plan)
	return errors.Join(err, w.readIDs(context.WithoutCancel(ctx)))
}

// withhold takes the deletions out of the plan if they are more than the site lets
// happen unasked: a umagate.yaml that was cut short must not delete what it lacks,
// and the policies on it.
func (w *worker) withhold(plan reconcile.Plan) reconcile.Plan {
	plan, n := plan.Bounded(w.site.Sync.MaxDeletions)
	w.mu.Lock()
	w.withheld = n
	w.mu.Unlock()
	if n == 0 {
		w.resolve(aboutDeletion)
		return plan
	}
	w.attend(aboutDeletion, fmt.Errorf("%d resources are no longer declared and stay at the authorization server, sync.max_deletions is %d: %w",
		n, w.site.Sync.MaxDeletions, reconcile.ErrManyDeletions))
	return plan
}

// tellChange logs what was done at the AS, each change once.
func (w *worker) tellChange(c reconcile.Change) {
	done := map[reconcile.Kind]string{
		reconcile.Create: "created", reconcile.Recreate: "created anew", reconcile.Adopt: "adopted", reconcile.Update: "updated",
		reconcile.Repair: "repaired", reconcile.Delete: "deleted",
	}[c.Kind]
	w.logger.Info("resource changed at the authorization server", slog.String("change", done), slog.String("resource", c.Name), slog.String("resource_id", c.ID),
		slog.Any("fields", c.Fields))
}

func (w *worker) protectionFailed(ctx context.Context, err error) error {
	if errors.Is(err, as.ErrClientRefused) {
		return w.clientRefused(ctx, err)
	}
	return err
}
