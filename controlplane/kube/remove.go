package kube

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

const (
	// removalsAtOnce bounds how many are under way, removeWithin how long one may take.
	removalsAtOnce, removeWithin = 4, 2 * time.Minute
	removalConcurrency           = 4
)

// removals remove what deleted objects have at their ASs, beside everything else.
type removals struct {
	*source

	wg sync.WaitGroup
	mu sync.Mutex
	// of are those that are under way, done, or to be tried again.
	of map[types.UID]*removal
}

type removal struct {
	running, done bool
	again         time.Time
	// left is what stays at the AS, err why it failed.
	left []string
	err  error
}

func newRemovals(s *source) *removals { return &removals{source: s, of: map[types.UID]*removal{}} }

// wait returns when none is under way.
func (r *removals) wait() { r.wg.Wait() }

// look returns what came of an object's removal; begin says that it is to begin now.
func (r *removals) look(uid types.UID) (known removal, begin bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	running := 0
	for _, one := range r.of {
		if one.running {
			running++
		}
	}
	one := r.of[uid]
	if one == nil {
		one = &removal{}
		r.of[uid] = one
	}
	known = *one
	if !one.running && !one.done && time.Now().After(one.again) && running < removalsAtOnce {
		one.running, begin = true, true
	}
	return known, begin
}

func (r *removals) end(uid types.UID, left []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[uid] = &removal{done: err == nil, again: time.Now().Add(r.settings.RetryAfter), left: left, err: err}
}

// forget drops an object that is gone.
func (r *removals) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, uid)
}

// remove begins the removal of what a deleted object has at its AS, or takes up what came
// of it. The site is nil where its AS is not known any more.
func (r *reporter) remove(ctx context.Context, api *v1alpha1.ProtectedAPI, of *site.Site) {
	known, begin := r.removals.look(api.UID)
	switch {
	case known.done:
		if len(known.left) > 0 {
			r.event(api, "Warning", "LeftAtAuthorizationServer", strings.Join(known.left, "; "))
		}
		r.release(ctx, api)
		r.removals.forget(api.UID)
	case !begin:
	case of == nil:
		r.removals.end(api.UID, nil, errUnknownServer)
		r.event(api, "Warning", "DeregistrationFailed", errUnknownServer.Error())
	default:
		r.removals.wg.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, removeWithin)
			defer cancel()
			left, err := r.removals.deregister(bounded, of)
			if err == nil {
				err = r.host.Store.Erase(bounded, store.Key{Site: of.Name, Issuer: of.AuthorizationServer.Issuer})
			}
			if err != nil {
				r.logger.Warn("what a deleted object has at its authorization server is not removed, and tried again",
					slog.String("site", of.Name), slog.Any("error", err))
				message := err.Error()
				if remedy := registration.Remedy(err); remedy != "" {
					message += "; " + remedy
				}
				r.event(api, "Warning", "DeregistrationFailed", message)
			}
			r.removals.end(api.UID, left, err)
			r.changed()
		})
	}
}

var errUnknownServer = errors.New("what it has at its authorization server cannot be removed: its AuthorizationServer, or a Secret of that, is gone; " +
	"bring it back, or remove the client there by hand and take the finalizer " + v1alpha1.Finalizer + " out")

// deregister removes the client and the resources, and returns what stays.
func (r *removals) deregister(ctx context.Context, of *site.Site) (left []string, err error) {
	ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.KindServe})
	// The store's own, for the leader: it refuses what another leader has taken over.
	operation, err := registration.Open(ctx, registration.OperationOptions{Site: of, Store: r.host.Store, Logger: r.logger, Concurrency: removalConcurrency})
	if err != nil {
		return nil, err
	}
	defer operation.Close()
	if _, err := operation.PlanRemoval(ctx); err != nil {
		if errors.Is(err, registration.ErrNothingRegistered) || errors.Is(err, registration.ErrKeptAtAS) {
			return nil, nil
		}
		return nil, err
	}
	if left, err = operation.Remove(ctx, false); errors.Is(err, registration.ErrClientStays) {
		return operation.Remove(ctx, true)
	}
	return left, err
}
