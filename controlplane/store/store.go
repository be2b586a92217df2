package store

import "errors"

var (
	// ErrNotFound: the store has no such record.
	ErrNotFound = errors.New("store: no such record")
	// ErrNewerSchema: a newer umagate has written the database.
	ErrNewerSchema = errors.New("store: the database is of a newer umagate; run that version, or restore a backup from before the upgrade")
	// ErrSealed: a secret cannot be opened with the keys at hand.
	ErrSealed = errors.New("store: it is sealed with another key than the one given; give that one as store_key (or as store_key_previous, where store_key is to follow it), or put back the key file beside the database")
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
