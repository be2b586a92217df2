package registration

import (
	"context"
	"errors"
	"sync"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/store"
)

// Store is what the owners keep, each its own part; [store.SQL] is one.
type Store interface {
	discoveryStore
	clientStore
	keyStore
	patStore
	resourceStore
	keptStore
	probeStore
	operationStore

	store.Locker
	AddAudit(ctx context.Context, e audit.Event) error
}

var (
	errDryRun   = errors.New("a dry run changes nothing")
	errDryLogin = errors.New("the PAT has ended, and a plan does not renew it with the refresh token of the login, which may be good once only")
)

// DryRun returns a store for an [Operation] that only plans. The little that a plan
// writes is forgotten: what was found out of the AS, and a PAT.
func DryRun(s Store) Store { return dryRun{s} }

type dryRun struct{ Store }

// onTrial keeps what a trial finds out for itself, until it has had success: the worker in
// use, and replicas that follow it, go by what is in the store. It is of one goroutine at a
// time, but for the PAT.
type onTrial struct {
	Store

	found *store.Discovery

	mu  sync.Mutex
	got *store.PAT
}

func (t *onTrial) PutDiscovery(_ context.Context, _ store.Key, d store.Discovery) error {
	t.found = &d
	return nil
}

func (t *onTrial) PutPAT(_ context.Context, _ store.Key, p store.PAT) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.got = &p
	return nil
}

// commit stores what the trial has found out.
func (t *onTrial) commit(ctx context.Context, key store.Key) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if t.found != nil {
		err = t.Store.PutDiscovery(ctx, key, *t.found)
	}
	if t.got != nil {
		err = errors.Join(err, t.Store.PutPAT(ctx, key, *t.got))
	}
	return err
}

func (dryRun) PutDiscovery(context.Context, store.Key, store.Discovery) error { return nil }

func (dryRun) PutKeptResources(context.Context, store.Key, store.KeptResources) error { return nil }

func (dryRun) PutPAT(context.Context, store.Key, store.PAT) error { return nil }

// Login refuses: a refresh token may be good once (RFC 9700 section 4.14.2), and the
// next one could not be kept.
func (dryRun) Login(context.Context, store.Key) (store.Login, error) {
	return store.Login{}, errDryLogin
}

// TryLock refuses: whatever changes something at the AS takes the lock before.
func (dryRun) TryLock(context.Context, store.Key) (func() error, error) {
	return nil, errDryRun
}
