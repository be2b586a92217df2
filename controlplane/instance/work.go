package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/store"
)

const (
	// atATime is how many instances one pass of Run works on, and concurrently how
	// many of them together.
	atATime      = 100
	concurrently = 4
)

// Run does what is due until ctx ends. The one that leads calls it.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(k.options.Pace.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := k.pass(ctx); err != nil && ctx.Err() == nil {
			k.options.Logger.Warn("instances are not looked after; it is tried again", slog.Any("error", err))
		}
	}
}

func (k *Keeper) pass(ctx context.Context) error {
	names, err := k.options.Store.DueInstances(ctx, k.options.Key, k.options.Now(), atATime)
	if err != nil || len(names) == 0 {
		return err
	}
	if _, err := k.options.AS(); err != nil {
		return nil //nolint:nilerr // why is told by the worker of the site
	}
	queue := make(chan string)
	var wg sync.WaitGroup
	for range concurrently {
		wg.Go(func() {
			for name := range queue {
				now := k.options.Now()
				in, ok, err := k.options.Store.ClaimInstance(ctx, k.options.Key, name, now, now.Add(k.options.Pace.Claim))
				if err != nil || !ok {
					continue
				}
				// It was told by work itself.
				_, _ = k.work(context.WithoutCancel(ctx), in)
			}
		})
	}
	for _, name := range names {
		if ctx.Err() != nil || !k.options.Leads() {
			break
		}
		queue <- name
	}
	close(queue)
	wg.Wait()
	return nil
}

// work does what an instance that was claimed waits for. Its error is one that
// trying again does not mend.
func (k *Keeper) work(ctx context.Context, in store.Instance) (store.Instance, error) {
	before := in.State
	in.Attempts++
	server, err := k.options.AS()
	done := in
	if err == nil {
		switch in.State {
		case store.InstancePending:
			done, err = k.create(ctx, server, in)
		case store.InstanceRemoving:
			return k.remove(ctx, server, in)
		case store.InstanceRegistered:
			done, err = k.check(ctx, server, in)
		}
	}
	if err != nil {
		return k.failed(ctx, in, err)
	}
	if done.State == "" { // it is gone at the AS
		err := k.options.Store.DeleteInstance(ctx, k.options.Key, in.Name, before)
		k.options.Ended(ctx)
		return done, err
	}
	done.Failure, done.Attempts, done.UpdatedAt = "", 0, k.options.Now()
	done.DueAt = k.options.Now().Add(k.options.Pace.Check - rand.N(k.options.Pace.Check/4+1)) //nolint:gosec // jitter, not a secret
	k.finder.forget(in.Name)
	ok, err := k.options.Store.PutInstance(ctx, k.options.Key, done, before)
	switch {
	case err != nil:
		return in, err
	case !ok: // it is to be removed since
		return in, fmt.Errorf("%s: %w", in.Name, ErrRemoving)
	case before == store.InstancePending:
		k.options.Record(ctx, audit.ResourceCreate, in.Name, map[string]string{"owner": in.Owner, "resource_id": done.ID})
		k.options.Logger.Info("instance registered", slog.String("resource", in.Name), slog.String("owner", in.Owner))
	}
	return done, nil
}

// create registers an instance at the AS. What an earlier try may have left, or
// its owner has registered, is taken over.
func (k *Keeper) create(ctx context.Context, server AS, in store.Instance) (store.Instance, error) {
	found, err := k.finder.named(ctx, server, in.Name, k.surveyAge(in.Attempts), k.options.Now)
	if err != nil {
		return in, err
	}
	registration := specOf(in).registration(in.Name, in.Owner, "")
	if len(found) == 0 {
		created, err := server.Create(ctx, registration)
		if err == nil {
			in.ID, in.State = created.ID, store.InstanceRegistered
			return in, nil
		}
		if !errors.Is(err, as.ErrConflict) {
			return in, err
		}
		if found, err = k.finder.named(ctx, server, in.Name, 0, k.options.Now); err != nil {
			return in, err
		}
	}
	have, err := theOne(found, in.Owner)
	if err != nil {
		return in, err
	}
	in.ID, in.State = have.ID, store.InstanceRegistered
	registration.ID = have.ID
	if differs(have, registration) {
		err = server.Update(ctx, registration)
	}
	return in, err
}

// surveyAge is how old a survey of the AS may be: an earlier try may have left
// something since.
func (k *Keeper) surveyAge(attempts int) time.Duration {
	if attempts > 1 {
		return 0
	}
	return k.options.Pace.Survey
}

// theOne chooses the resource of an owner among those of a name. An AS that tells no
// owners has one.
func theOne(found []as.Resource, owner string) (as.Resource, error) {
	var own []as.Resource
	for _, r := range found {
		if r.Owner == owner || r.Owner == "" || owner == "" {
			own = append(own, r)
		}
	}
	switch {
	case len(own) == 1:
		return own[0], nil
	case len(own) > 1:
		return as.Resource{}, ErrAmbiguous
	}
	return as.Resource{}, ErrOwned
}

func differs(have, want as.Resource) bool {
	return have.Type != want.Type || have.IconURI != want.IconURI || !slices.Equal(slices.Compact(slices.Sorted(slices.Values(have.Scopes))), want.Scopes)
}

// remove ends a registration. It is recorded by itself, since nothing is left.
func (k *Keeper) remove(ctx context.Context, server AS, in store.Instance) (store.Instance, error) {
	err := func() error {
		if in.ID == "" {
			// Its creation may have had no answer.
			found, err := k.finder.named(ctx, server, in.Name, 0, k.options.Now)
			if err != nil || len(found) == 0 {
				return err
			}
			have, err := theOne(found, in.Owner)
			if err != nil {
				return nil //nolint:nilerr // what is there is not ours
			}
			in.ID = have.ID
		}
		return server.Delete(ctx, in.ID)
	}()
	if err != nil {
		return k.failed(ctx, in, err)
	}
	k.finder.removed(in.Name)
	k.options.Record(ctx, audit.ResourceDelete, in.Name, map[string]string{"owner": in.Owner, "resource_id": in.ID})
	k.options.Logger.Info("instance removed", slog.String("resource", in.Name), slog.String("owner", in.Owner))
	return in, k.options.Store.DeleteInstance(ctx, k.options.Key, in.Name, store.InstanceRemoving)
}

// missed stands in Failure of an instance that the AS did not have once.
const missed = "the authorization server does not have it"

// check compares a registration with the AS's and the declared one. One that is
// gone there was removed by who may: it is forgotten, and what it guards is denied.
// It has to be missed twice: an AS may fail in strange ways.
func (k *Keeper) check(ctx context.Context, server AS, in store.Instance) (store.Instance, error) {
	have, err := server.Read(ctx, in.ID)
	if errors.Is(err, as.ErrNotFound) && in.Failure != missed {
		return in, errMissed
	}
	if errors.Is(err, as.ErrNotFound) {
		k.options.Logger.Warn("instance is gone at the authorization server; it is not registered any more", slog.String("resource", in.Name), slog.String("owner", in.Owner))
		return store.Instance{}, nil
	}
	if err != nil {
		return in, err
	}
	t := k.templates[in.Template]
	if t == nil {
		return in, nil // not declared any more: it stays as it is
	}
	in.Spec = t.spec
	if want := specOf(in).registration(in.Name, in.Owner, in.ID); differs(have, want) {
		k.options.Logger.Info("instance differs from what is declared; put right", slog.String("resource", in.Name))
		err = server.Update(ctx, want)
	}
	return in, err
}

// failed records a failure. One that is final ends what was pending.
func (k *Keeper) failed(ctx context.Context, in store.Instance, cause error) (store.Instance, error) {
	if in.State == store.InstanceRegistered && in.Failure == missed {
		cause = errMissed // something else went wrong in between
	}
	if in.State == store.InstancePending && final(cause) {
		k.options.Logger.Error("instance cannot be registered", slog.String("resource", in.Name), slog.String("owner", in.Owner), slog.Any("error", cause))
		return in, errors.Join(fmt.Errorf("%s: %w", in.Name, cause), k.options.Store.DeleteInstance(ctx, k.options.Key, in.Name, in.State))
	}
	wait := min(k.options.Pace.RetryMax, k.options.Pace.Retry<<min(in.Attempts-1, 16))
	wait = max(wait-rand.N(wait/2+1), as.RetryAfter(cause)) //nolint:gosec // jitter, not a secret
	in.Failure, in.DueAt, in.UpdatedAt = cause.Error(), k.options.Now().Add(wait), k.options.Now()
	k.options.Logger.Warn("instance is not as asked yet; it is tried again", slog.String("resource", in.Name), slog.String("state", string(in.State)),
		slog.Int("attempts", in.Attempts), slog.Duration("retry_in", wait.Round(time.Millisecond)), slog.Any("error", cause))
	_, err := k.options.Store.PutInstance(ctx, k.options.Key, in, in.State)
	return in, err
}

var errMissed = errors.New(missed)

// final says that nothing but a change by somebody mends it.
func final(err error) bool {
	return errors.Is(err, ErrOwned) || errors.Is(err, ErrAmbiguous) || errors.Is(err, as.ErrRejected)
}
