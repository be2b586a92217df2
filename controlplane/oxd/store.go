package oxd

import (
	"context"
	"time"

	"github.com/umagate/umagate/controlplane/store"
)

// RPs keeps relying parties, and for a while their logins; [store.SQL] is one. Every
// replica writes: what an application asks of it is not the leader's business.
type RPs interface {
	RP(ctx context.Context, id string) (store.RP, error)
	SetupRP(ctx context.Context, issuer, clientID string) (store.RP, error)
	RPs(ctx context.Context) ([]store.RP, error)
	PutRP(ctx context.Context, rp store.RP) (version int64, err error)
	DeleteRP(ctx context.Context, id string, site store.Key) error

	PutTemporaryState(ctx context.Context, m store.TemporaryState, now time.Time) error
	TemporaryState(ctx context.Context, kind, id string, now time.Time) (store.TemporaryState, error)
	TakeTemporaryState(ctx context.Context, kind, id string, now time.Time) (store.TemporaryState, error)
}

// Protections keeps what relying parties protect, as [RPs] does.
type Protections interface {
	Protection(ctx context.Context, oxdID string) (store.Protection, error)
	Protections(ctx context.Context) ([]store.Protection, error)
	PutProtection(ctx context.Context, p store.Protection) error
}
