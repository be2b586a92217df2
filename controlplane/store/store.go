package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/secret"
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

// Discovery is the metadata last found.
type Discovery struct {
	// Metadata is the JSON form of as.Metadata.
	Metadata json.RawMessage
	FoundAt  time.Time
}

// ClientState says how far a registration has come.
type ClientState string

// The states of a client.
const (
	// ClientRegistering: a registration was begun. If no answer was recorded, the
	// AS may or may not have a client of that name. The other fields are those of
	// the registration before it, if there was one.
	ClientRegistering ClientState = "registering"
	// ClientRegistered: the AS's answer is recorded.
	ClientRegistered ClientState = "registered"
	// ClientUpdating: an update of the registration was begun (RFC 7592 section
	// 2.2). If no answer was recorded, AccessToken may be one that the AS has
	// replaced. The other fields are those from before it.
	ClientUpdating ClientState = "updating"
	// ClientDeregistering: its removal was begun; the fields are still needed.
	ClientDeregistering ClientState = "deregistering"
	// ClientDeregistered: it was removed on request, and is not registered anew
	// without another. The other fields are empty.
	ClientDeregistered ClientState = "deregistered"
)

// Client is the client registration of a site.
type Client struct {
	State ClientState
	// Name is the client_name sent; it tells the registration from all others.
	Name     string
	ClientID string
	Secret   secret.Text
	// SecretExpiresAt is zero for a secret that does not expire.
	SecretExpiresAt time.Time
	AuthMethod      string
	// AccessToken and URI manage the registration (RFC 7592); may be empty.
	AccessToken secret.Text
	URI         string
	UpdatedAt   time.Time
	// Metadata is a hash of what was registered; empty when not known.
	Metadata string
	// RegisteredAt is when the AS gave this client.
	RegisteredAt time.Time
	// Registrations counts those that followed each other closely, so that an AS
	// that forgets every client is not filled with them.
	Registrations int
	// Attempts counts registrations whose outcome is not known; RetryAt is the
	// earliest time of the next.
	Attempts int
	RetryAt  time.Time
}

// KeyPurpose says what a client's key is for.
type KeyPurpose string

// The purposes.
const (
	// KeySignature signs client assertions (private_key_jwt).
	KeySignature KeyPurpose = "sig"
	// KeyTLS is the key of the client's certificate (RFC 8705).
	KeyTLS KeyPurpose = "tls"
)

// KeyState says how far a key has come. The order is the order of a key's life.
type KeyState string

// The states of a key.
const (
	// KeyNew: made, and perhaps not known to the AS.
	KeyNew KeyState = "new"
	// KeyPublished: the AS knows it, or can.
	KeyPublished KeyState = "published"
	// KeyActive: it is in use.
	KeyActive KeyState = "active"
	// KeyRetiring: another is in use, and this one stays published for a while.
	KeyRetiring KeyState = "retiring"
)

// ClientKey is a key of the client that umagate made.
type ClientKey struct {
	// ID is the kid, the JWK thumbprint (RFC 7638).
	ID      string
	Purpose KeyPurpose
	// Algorithm is that of JWS (RFC 7518 section 3.1).
	Algorithm string
	State     KeyState
	// Private is the key in PKCS#8 and PEM.
	Private secret.Text
	// Certificate is PEM; empty for a key that only signs.
	Certificate string
	CreatedAt   time.Time
	// StateAt is since when it is in State.
	StateAt time.Time
}

// Login is the consent of a person who owns the resources: what renews the PAT.
type Login struct {
	ClientID string
	// Generation counts logins; the store sets it.
	Generation int64
	// Subject names the person, for people to read.
	Subject string
	// Scope is what was granted.
	Scope        string
	RefreshToken secret.Text
	ObtainedAt   time.Time
	UpdatedAt    time.Time
	// EndedAt is when the AS said that the refresh token is no longer good.
	EndedAt time.Time
}

// PAT is a protection API access token.
type PAT struct {
	Value               secret.Text
	ClientID            string
	IssuedAt, ExpiresAt time.Time
}

// ResourceState says how far a resource's registration has come.
type ResourceState string

// The states of a resource.
const (
	// ResourcePending: its creation was announced, and no answer is recorded.
	ResourcePending ResourceState = "pending"
	// ResourceRegistered: it has an id at the AS, and is ours.
	ResourceRegistered ResourceState = "registered"
)

// Resource is one resource registration.
type Resource struct {
	Name  string
	State ResourceState
	// ID is the resource_id; empty while pending.
	ID string
	// Spec is what was registered, in the form that package reconcile gives it.
	Spec      json.RawMessage
	UpdatedAt time.Time
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
