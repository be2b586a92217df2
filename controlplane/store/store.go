package store

import (
	"context"
	"errors"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
)

var (
	// ErrNotFound: the store has no such record.
	ErrNotFound = errors.New("store: no such record")
	// ErrNewerSchema: a newer umagate has written the database.
	ErrNewerSchema = errors.New("store: the database is of a newer umagate; run that version, or restore a backup from before the upgrade")
	// ErrSealed: a secret cannot be opened with this key.
	ErrSealed = errors.New("store: a secret does not open with this key; give the store_key, or the key file beside the database, that it was written with")
	// ErrKeyNeeded: a store that replicas share has no place for a key of its own.
	ErrKeyNeeded = errors.New("store: PostgreSQL needs store_key, the same for every replica; make one with: openssl rand -base64 32")
	// ErrNotLeader: another process leads. It may be tried again.
	ErrNotLeader = errors.New("store: another process leads")
	// ErrInUse: another process serves from the same SQLite file.
	ErrInUse = errors.New("store: another umagate serve uses this SQLite file: stop it, or give each a store of its own; replicas that share one need store: postgres://…")
	// ErrLocked: another process is changing the registrations of that key.
	ErrLocked = errors.New("store: another umagate is changing the registrations of this site")
	// ErrTaken: sites may share a client, and so what it has at the AS, but no resource.
	ErrTaken = errors.New("store: another site has this resource_id")
	// ErrReplaced: this process led once, and another has led since.
	ErrReplaced = errors.New("store: another process leads by now; what this one wanted to write is left to it")
)

// Key is what a record belongs to.
type Key struct {
	Site   string
	Issuer string
}

// Store keeps records. Each method is one transaction, durable when it returns.
// Implementations are safe for concurrent use. Reading what is not there gives
// ErrNotFound; deleting it is no error.
type Store interface {
	Discovery(ctx context.Context, key Key) (Discovery, error)
	PutDiscovery(ctx context.Context, key Key, d Discovery) error

	Client(ctx context.Context, key Key) (Client, error)
	PutClient(ctx context.Context, key Key, c Client) error
	DeleteClient(ctx context.Context, key Key) error

	PAT(ctx context.Context, key Key) (PAT, error)
	PutPAT(ctx context.Context, key Key, p PAT) error

	// ClientKeys lists the client's keys, the oldest first.
	ClientKeys(ctx context.Context, key Key) ([]ClientKey, error)
	PutClientKey(ctx context.Context, key Key, k ClientKey) error
	DeleteClientKey(ctx context.Context, key Key, id string) error

	Login(ctx context.Context, key Key) (Login, error)
	// PutLogin stores another login, of the next generation.
	PutLogin(ctx context.Context, key Key, l Login) error
	// RenewLogin replaces the login of l's generation; ErrNotFound when there has
	// been another since.
	RenewLogin(ctx context.Context, key Key, l Login) error

	// Forget removes everything of a key, and leaves ClientDeregistered.
	Forget(ctx context.Context, key Key) error

	// Resources lists the records of a key by name.
	Resources(ctx context.Context, key Key) ([]Resource, error)
	// PutResource writes or replaces a record; [ErrTaken] when another site has one of
	// that resource_id. Of those who write at the same time, one has it.
	PutResource(ctx context.Context, key Key, r Resource) error
	DeleteResource(ctx context.Context, key Key, name string) error
	// ResourceSites lists the sites that have a resource_id of an issuer, as a resource
	// or an instance of one.
	ResourceSites(ctx context.Context, issuer, id string) ([]string, error)

	// TryLock keeps other processes from changing the registrations of a key, until
	// unlock is called or the process ends. It does not wait: ErrLocked.
	TryLock(ctx context.Context, key Key) (unlock func() error, err error)

	// Keys lists every key that has a client or a resource.
	Keys(ctx context.Context) ([]Key, error)

	// AddAudit adds an event to the audit log, whoever leads; Audit gives events, the
	// newest first. EndAudit removes those from before a time, which is more than a
	// day ago: younger ones cannot be removed, and none can be changed.
	AddAudit(ctx context.Context, e audit.Event) error
	Audit(ctx context.Context, filter AuditFilter) ([]audit.Event, error)
	EndAudit(ctx context.Context, before time.Time) (int64, error)

	// Changes gives a number that every write makes larger, whichever process
	// made it. It tells readers when to read anew.
	Changes(ctx context.Context) (int64, error)
	// Watch calls changed soon after a write of any process, until ctx ends, where the
	// database tells. It is no promise: Changes is asked now and then all the same.
	Watch(ctx context.Context, changed func())
	// Leader is who leads, or led last; PutLeader is called by who leads.
	Leader(ctx context.Context) (Leader, error)
	PutLeader(ctx context.Context, l Leader) error

	// GuardedHosts maps each host that a site has guarded to the site.
	GuardedHosts(ctx context.Context) (map[string]string, error)
	PutGuardedHost(ctx context.Context, host, site string) error
	DeleteGuardedHost(ctx context.Context, host string) error

	// Lead tries, once, to make this process the one that registers, renews and
	// synchronises. ErrNotLeader says to try again later, ErrInUse not to. Once
	// another has led, the writes of this store give ErrReplaced, until it leads
	// again. A store that never led may write: a command does, while none leads.
	Lead(ctx context.Context) (Lease, error)
	// Close closes the store. Leases are released before.
	Close() error
}

// Lease is leadership.
type Lease interface {
	// Lost is closed when another process may lead before Release was called.
	Lost() <-chan struct{}
	// Release ends it, so that another process can lead at once. It is called
	// once, also when the lease was lost.
	Release() error
}
