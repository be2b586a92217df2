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
func (m *Manager) Run(ctx context.Context) {
	m.begun(ctx)
	ticker := time.NewTicker(m.options.Intervals.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := m.pass(ctx); err != nil && ctx.Err() == nil {
			m.options.Logger.Warn("instances are not looked after; it is tried again", slog.Any("error", err))
		}
	}
}

func (m *Manager) pass(ctx context.Context) error {
	names, err := m.options.Store.DueInstances(ctx, m.options.Key, m.options.Now(), atATime)
	if err != nil || len(names) == 0 {
		return err
	}
	if _, err := m.options.AS(); err != nil {
		return nil //nolint:nilerr // why is told by the worker of the site
	}
	queue := make(chan string)
	var wg sync.WaitGroup
	for range concurrently {
		wg.Go(func() {
			for name := range queue {
				in, done, ok, err := m.claim(ctx, name)
				if err != nil || !ok {
					continue
				}
				// It was told by work itself.
				_, _ = m.work(context.WithoutCancel(ctx), in)
				done()
			}
		})
	}
	away := m.outage.lasts()
	for _, name := range names {
		if ctx.Err() != nil || !m.options.Leads() {
			break
		}
		queue <- name
		if m.outage.lasts() && !away {
			break // it has begun: the others do not have to find out, too
		}
	}
	close(queue)
	wg.Wait()
	return nil
}

// work does what an instance that was claimed waits for. What fails stays as it is, with
// the reason, and is tried again; the error is the store's.
func (m *Manager) work(ctx context.Context, in store.Instance) (store.Instance, error) {
	before := in.State
	in.Attempts++
	server, err := m.options.AS()
	done := in
	if err != nil {
		err = notAskedError{err}
	} else {
		switch in.State {
		case store.InstancePending:
			done, err = m.create(ctx, server, in)
		case store.InstanceRemoving:
			return m.remove(ctx, server, in)
		case store.InstanceRegistered:
			done, err = m.check(ctx, server, in)
		}
	}
	if errors.Is(err, errGone) {
		return m.gone(ctx, in)
	}
	if err != nil {
		return m.failed(ctx, in, err)
	}
	done.Failure, done.Attempts, done.UpdatedAt = "", 0, m.options.Now()
	done.DueAt = m.options.Now().Add(m.options.Intervals.Check - rand.N(m.options.Intervals.Check/4+1)) //nolint:gosec // jitter, not a secret
	m.finder.forget(in.Name)
	ok, err := m.options.Store.PutInstance(ctx, m.options.Key, done, before)
	m.answered(ctx)
	switch {
	case err != nil:
		return in, err
	case !ok: // it is to be removed since
		return in, fmt.Errorf("%s: %w", in.Name, ErrRemoving)
	case before == store.InstancePending:
		m.options.Record(ctx, audit.ResourceCreate, in.Name, map[string]string{"owner": done.Owner, "resource_id": done.ID})
		m.options.Logger.Info("instance registered", slog.String("resource", in.Name), slog.String("owner", done.Owner))
	}
	return done, nil
}

// gone looks after an instance that the AS does not have any more. It is registered again
// for its owner, as a declared resource is: closed to everybody whom its owner does not let
// in anew, and told. One that nothing declares any more is forgotten, and that is told.
func (m *Manager) gone(ctx context.Context, in store.Instance) (store.Instance, error) {
	m.finder.removed(in.Name)
	if m.templates[in.Template] == nil {
		m.options.Logger.Warn("instance is gone at the authorization server, and nothing declares it; it is not registered any more",
			slog.String("resource", in.Name), slog.String("owner", in.Owner))
		m.options.Lost(ctx, in.Name, store.LostInstance)
		err := m.options.Store.DeleteInstance(ctx, m.options.Key, in.Name, store.InstanceRegistered)
		m.options.Ended(ctx)
		return in, err
	}
	m.options.Logger.Error("instance is gone at the authorization server, with what its owner has shared; registering it anew",
		slog.String("resource", in.Name), slog.String("owner", in.Owner), slog.String("resource_id_before", in.ID))
	m.options.Lost(ctx, in.Name, store.LostPolicies)
	now := m.options.Now()
	again, err := m.options.Store.ReopenInstance(ctx, m.options.Key, in.Name, now, now.Add(m.options.Intervals.Claim))
	m.options.Ended(ctx)
	if err != nil || again.State != store.InstancePending {
		return again, err // it is to be removed since
	}
	again.Spec = m.templates[in.Template].spec
	return m.work(ctx, again)
}

// create registers an instance at the AS. What an earlier try may have left, or
// its owner has registered, is taken over.
func (m *Manager) create(ctx context.Context, server AS, in store.Instance) (store.Instance, error) {
	found, err := m.finder.named(ctx, server, in.Name, m.listingAge(in.Attempts), m.options.Now)
	if err != nil {
		return in, err
	}
	registration := specOf(in).registration(in.Name, in.Owner, "")
	if len(found) == 0 {
		created, err := server.Create(ctx, registration)
		if err == nil {
			return registeredAs(in, created), nil
		}
		if !errors.Is(err, as.ErrConflict) {
			return in, err
		}
		if found, err = m.finder.named(ctx, server, in.Name, 0, m.options.Now); err != nil {
			return in, err
		}
	}
	have, err := theOne(found, in.Owner)
	if err != nil {
		return in, err
	}
	registration.ID = have.ID
	if differs(have, registration) {
		if err := server.Update(ctx, registration); err != nil {
			return in, err
		}
	}
	return registeredAs(in, have), nil
}

// registeredAs is an instance as the AS has it: of the subject whose user name was given.
func registeredAs(in store.Instance, have as.Resource) store.Instance {
	in.ID, in.State = have.ID, store.InstanceRegistered
	if in.Owner != "" && have.Owner != "" {
		in.Owner = have.Owner
	}
	return in
}

// listingAge is how old a listing of the AS may be: an earlier try may have left
// something since.
func (m *Manager) listingAge(attempts int) time.Duration {
	if attempts > 1 {
		return 0
	}
	return m.options.Intervals.List
}

// theOne chooses the resource of an owner among those of a name. An AS that tells no
// owners has one.
func theOne(found []as.Resource, owner string) (as.Resource, error) {
	var own []as.Resource
	for _, r := range found {
		if r.OwnedBy(owner) || r.Owner == "" || owner == "" {
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
func (m *Manager) remove(ctx context.Context, server AS, in store.Instance) (store.Instance, error) {
	err := func() error {
		if in.ID == "" {
			// Its creation may have had no answer.
			found, err := m.finder.named(ctx, server, in.Name, 0, m.options.Now)
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
		return m.failed(ctx, in, err)
	}
	m.finder.removed(in.Name)
	defer m.answered(ctx)
	m.options.Record(ctx, audit.ResourceDelete, in.Name, map[string]string{"owner": in.Owner, "resource_id": in.ID})
	m.options.Logger.Info("instance removed", slog.String("resource", in.Name), slog.String("owner", in.Owner))
	return in, m.options.Store.DeleteInstance(ctx, m.options.Key, in.Name, store.InstanceRemoving)
}

// missed stands in Failure of an instance that the AS did not have once.
const missed = "the authorization server does not have it"

// check compares a registration with the AS's and the declared one; errGone. It has to be
// missed twice: an AS may fail in strange ways.
func (m *Manager) check(ctx context.Context, server AS, in store.Instance) (store.Instance, error) {
	have, err := server.Read(ctx, in.ID)
	if errors.Is(err, as.ErrNotFound) && in.Failure != missed {
		return in, errMissed
	}
	if errors.Is(err, as.ErrNotFound) {
		return in, errGone
	}
	if err != nil {
		return in, err
	}
	t := m.templates[in.Template]
	if t == nil {
		return in, nil // not declared any more: it stays as it is
	}
	in.Spec = t.spec
	if want := specOf(in).registration(in.Name, in.Owner, in.ID); differs(have, want) {
		m.options.Logger.Info("instance differs from what is declared; put right", slog.String("resource", in.Name))
		err = server.Update(ctx, want)
	}
	return in, err
}

// failed records a failure and its reason. Whether trying again mends it is not for umagate
// to know: who has the AS give a role, or removes what is in the way, tells nobody.
func (m *Manager) failed(ctx context.Context, in store.Instance, cause error) (store.Instance, error) {
	if in.State == store.InstanceRegistered && in.Failure == missed {
		cause = errMissed // something else went wrong in between
	}
	longest := m.options.Intervals.RetryMax
	if m.outage.concerns(cause) {
		longest = m.outage.failed(m.options.Now(), &m.options.Intervals)
	} else {
		defer m.answered(ctx)
	}
	wait := min(longest, m.options.Intervals.RetryMax, m.options.Intervals.Retry<<min(in.Attempts-1, 16))
	wait = max(wait-rand.N(wait/2+1), as.RetryAfter(cause)) //nolint:gosec // jitter, not a secret
	in.Failure, in.DueAt, in.UpdatedAt = cause.Error(), m.options.Now().Add(wait), m.options.Now()
	remedy := as.Remedy(cause)
	if remedy != "" {
		in.Failure += ". " + remedy
	}
	m.options.Logger.Warn("instance is not as asked yet; it is tried again", slog.String("resource", in.Name), slog.String("state", string(in.State)),
		slog.Int("attempts", in.Attempts), slog.Duration("retry_in", wait.Round(time.Millisecond)), slog.Any("error", cause), slog.String("remedy", remedy))
	_, err := m.options.Store.PutInstance(ctx, m.options.Key, in, in.State)
	return in, err
}

var (
	errMissed = errors.New(missed)
	errGone   = errors.New("the authorization server does not have it any more")
)
