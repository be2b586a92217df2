package store

import (
	"context"
	"fmt"
)

// Frozen is a store that forgets what is written to it, for a rehearsal.
type Frozen struct {
	// From is what is read; nil reads as empty.
	From Store
}

var _ Store = Frozen{}

// Discovery implements [Store].
func (f Frozen) Discovery(ctx context.Context, key Key) (Discovery, error) {
	if f.From == nil {
		return Discovery{}, missing("discovery", key)
	}
	return f.From.Discovery(ctx, key)
}

// PutDiscovery does nothing.
func (Frozen) PutDiscovery(context.Context, Key, Discovery) error { return nil }

// Client implements [Store].
func (f Frozen) Client(ctx context.Context, key Key) (Client, error) {
	if f.From == nil {
		return Client{}, missing("client", key)
	}
	return f.From.Client(ctx, key)
}

// PutClient does nothing.
func (Frozen) PutClient(context.Context, Key, Client) error { return nil }

// DeleteClient does nothing.
func (Frozen) DeleteClient(context.Context, Key) error { return nil }

// PAT implements [Store].
func (f Frozen) PAT(ctx context.Context, key Key) (PAT, error) {
	if f.From == nil {
		return PAT{}, missing("pat", key)
	}
	return f.From.PAT(ctx, key)
}

// PutPAT does nothing.
func (Frozen) PutPAT(context.Context, Key, PAT) error { return nil }

// ClientKeys implements [Store].
func (f Frozen) ClientKeys(ctx context.Context, key Key) ([]ClientKey, error) {
	if f.From == nil {
		return nil, nil
	}
	return f.From.ClientKeys(ctx, key)
}

// PutClientKey does nothing.
func (Frozen) PutClientKey(context.Context, Key, ClientKey) error { return nil }

// DeleteClientKey does nothing.
func (Frozen) DeleteClientKey(context.Context, Key, string) error { return nil }

// Login implements [Store].
func (f Frozen) Login(ctx context.Context, key Key) (Login, error) {
	if f.From == nil {
		return Login{}, missing("login", key)
	}
	return f.From.Login(ctx, key)
}

// PutLogin does nothing.
func (Frozen) PutLogin(context.Context, Key, Login) error { return nil }

// RenewLogin does nothing.
func (Frozen) RenewLogin(context.Context, Key, Login) error { return nil }

// Forget does nothing.
func (Frozen) Forget(context.Context, Key) error { return nil }

// Resources implements [Store].
func (f Frozen) Resources(ctx context.Context, key Key) ([]Resource, error) {
	if f.From == nil {
		return nil, nil
	}
	return f.From.Resources(ctx, key)
}

// ResourceSites implements [Store].
func (f Frozen) ResourceSites(ctx context.Context, issuer, id string) ([]string, error) {
	if f.From == nil {
		return nil, nil
	}
	return f.From.ResourceSites(ctx, issuer, id)
}

// PutResource does nothing.
func (Frozen) PutResource(context.Context, Key, Resource) error { return nil }

// DeleteResource does nothing.
func (Frozen) DeleteResource(context.Context, Key, string) error { return nil }

// Keys implements [Store].
func (f Frozen) Keys(ctx context.Context) ([]Key, error) {
	if f.From == nil {
		return nil, nil
	}
	return f.From.Keys(ctx)
}

// TryLock locks nothing: there is nothing that a rehearsal changes.
func (Frozen) TryLock(context.Context, Key) (func() error, error) {
	return func() error { return nil }, nil
}

// Changes implements [Store].
func (f Frozen) Changes(ctx context.Context) (int64, error) {
	if f.From == nil {
		return 0, nil
	}
	return f.From.Changes(ctx)
}

// Watch waits for ctx.
func (Frozen) Watch(ctx context.Context, _ func()) { <-ctx.Done() }

// Leader implements [Store].
func (f Frozen) Leader(ctx context.Context) (Leader, error) {
	if f.From == nil {
		return Leader{}, ErrNotFound
	}
	return f.From.Leader(ctx)
}

// PutLeader does nothing.
func (Frozen) PutLeader(context.Context, Leader) error { return nil }

// GuardedHosts implements [Store].
func (f Frozen) GuardedHosts(ctx context.Context) (map[string]string, error) {
	if f.From == nil {
		return map[string]string{}, nil
	}
	return f.From.GuardedHosts(ctx)
}

// PutGuardedHost does nothing.
func (Frozen) PutGuardedHost(context.Context, string, string) error { return nil }

// DeleteGuardedHost does nothing.
func (Frozen) DeleteGuardedHost(context.Context, string) error { return nil }

// Lead gives ErrNotLeader: a rehearsal never does.
func (Frozen) Lead(context.Context) (Lease, error) { return nil, ErrNotLeader }

// Close implements [Store].
func (f Frozen) Close() error {
	if f.From == nil {
		return nil
	}
	return f.From.Close()
}

func missing(what string, key Key) error {
	return fmt.Errorf("%w: %s of site %s", ErrNotFound, what, key.Site)
}
