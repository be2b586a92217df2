package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

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

// siteColumns are those that say what a record belongs to.
func siteColumns(key *Key) columns {
	return columns{{"site", &key.Site}, {"issuer", &key.Issuer}}
}

// ofSite is how the record of a key is found.
const ofSite = ` WHERE site = $1 AND issuer = $2`

func (s *SQL) discoveryColumns(d *Discovery) columns {
	return columns{{"metadata", document{&d.Metadata}}, {"found_at", millis{&d.FoundAt}}}
}

// Discovery returns the metadata last found.
func (s *SQL) Discovery(ctx context.Context, key Key) (Discovery, error) {
	d, err := one(ctx, s, s.discoveryColumns, `FROM discovery`+ofSite, key.Site, key.Issuer)
	return d, reading(key.of("discovery"), err)
}

// PutDiscovery writes or replaces the metadata.
func (s *SQL) PutDiscovery(ctx context.Context, key Key, d Discovery) error {
	return s.put(ctx, key, "discovery", 2, s.discoveryColumns(&d))
}

// sealedAt is a secret of a key.
func (s *SQL) sealedAt(key Key, what string, of *secret.Text) sealed {
	return sealed{s.keys, func() string { return place(key, what) }, of}
}

func (s *SQL) clientColumns(key Key) func(*Client) columns {
	return func(c *Client) columns {
		return columns{
			{"state", &c.State},
			{"name", &c.Name},
			{"client_id", &c.ClientID},
			{"secret", s.sealedAt(key, "client.secret", &c.Secret)},
			{"secret_expires_at", millis{&c.SecretExpiresAt}},
			{"auth_method", &c.AuthMethod},
			{"access_token", s.sealedAt(key, "client.access_token", &c.AccessToken)},
			{"uri", &c.URI},
			{"updated_at", millis{&c.UpdatedAt}},
			{"metadata", &c.Metadata},
			{"registered_at", millis{&c.RegisteredAt}},
			{"registrations", &c.Registrations},
			{"attempts", &c.Attempts},
			{"retry_at", millis{&c.RetryAt}},
		}
	}
}

// Client returns the client registration.
func (s *SQL) Client(ctx context.Context, key Key) (Client, error) {
	c, err := one(ctx, s, s.clientColumns(key), `FROM client`+ofSite, key.Site, key.Issuer)
	return c, reading(key.of("client"), err)
}

// PutClient writes or replaces it.
func (s *SQL) PutClient(ctx context.Context, key Key, c Client) error {
	return s.put(ctx, key, "client", 2, s.clientColumns(key)(&c))
}

// DeleteClient deletes it.
func (s *SQL) DeleteClient(ctx context.Context, key Key) error {
	return s.write(ctx, key, "client", execute(`DELETE FROM client`+ofSite, key.Site, key.Issuer))
}

func (s *SQL) patColumns(key Key) func(*PAT) columns {
	return func(p *PAT) columns {
		return columns{
			{"client_id", &p.ClientID},
			{"value", s.sealedAt(key, "pat.value", &p.Value)},
			{"issued_at", millis{&p.IssuedAt}},
			{"expires_at", millis{&p.ExpiresAt}},
		}
	}
}

// PAT returns the PAT.
func (s *SQL) PAT(ctx context.Context, key Key) (PAT, error) {
	p, err := one(ctx, s, s.patColumns(key), `FROM pat`+ofSite, key.Site, key.Issuer)
	return p, reading(key.of("pat"), err)
}

// PutPAT writes or replaces it.
func (s *SQL) PutPAT(ctx context.Context, key Key, p PAT) error {
	return s.put(ctx, key, "pat", 2, s.patColumns(key)(&p))
}

func clientKeyPlace(key Key, id string) string {
	return place(key, fmt.Sprintf("client_key.private %q", id))
}

func (s *SQL) clientKeyColumns(key Key) func(*ClientKey) columns {
	return func(k *ClientKey) columns {
		private := func() string { return clientKeyPlace(key, k.ID) }
		return columns{
			{"kid", &k.ID},
			{"purpose", &k.Purpose},
			{"algorithm", &k.Algorithm},
			{"state", &k.State},
			{"private", sealed{s.keys, private, &k.Private}},
			{"certificate", &k.Certificate},
			{"created_at", millis{&k.CreatedAt}},
			{"state_at", millis{&k.StateAt}},
		}
	}
}

// ClientKeys lists the client's keys, the oldest first.
func (s *SQL) ClientKeys(ctx context.Context, key Key) ([]ClientKey, error) {
	keys, err := list(ctx, s, s.clientKeyColumns(key), `FROM client_key`+ofSite+` ORDER BY created_at, kid`, key.Site, key.Issuer)
	return keys, reading(key.of("client keys"), err)
}

// PutClientKey writes or replaces a key.
func (s *SQL) PutClientKey(ctx context.Context, key Key, k ClientKey) error {
	return s.put(ctx, key, "client_key", 3, s.clientKeyColumns(key)(&k))
}

// DeleteClientKey deletes one.
func (s *SQL) DeleteClientKey(ctx context.Context, key Key, id string) error {
	return s.write(ctx, key, "client_key", execute(`DELETE FROM client_key`+ofSite+` AND kid = $3`, key.Site, key.Issuer, id))
}

func (s *SQL) loginColumns(key Key) func(*Login) columns {
	return func(l *Login) columns {
		return columns{
			{"client_id", &l.ClientID},
			{"generation", &l.Generation},
			{"subject", &l.Subject},
			{"scope", &l.Scope},
			{"refresh_token", s.sealedAt(key, "login.refresh_token", &l.RefreshToken)},
			{"obtained_at", millis{&l.ObtainedAt}},
			{"updated_at", millis{&l.UpdatedAt}},
			{"ended_at", millis{&l.EndedAt}},
		}
	}
}

// Login returns the login of the owner of the resources.
func (s *SQL) Login(ctx context.Context, key Key) (Login, error) {
	l, err := one(ctx, s, s.loginColumns(key), `FROM login`+ofSite, key.Site, key.Issuer)
	return l, reading(key.of("login"), err)
}

// PutLogin stores another login, of the next generation.
func (s *SQL) PutLogin(ctx context.Context, key Key, l Login) error {
	return s.write(ctx, key, "login", func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(generation), 0) + 1 FROM login`+ofSite, key.Site, key.Issuer).Scan(&l.Generation)
		if err != nil {
			return err
		}
		return upsert(ctx, tx, "login", 2, append(siteColumns(&key), s.loginColumns(key)(&l)...))
	})
}

// RenewLogin replaces the login of l's generation; ErrNotFound when there has been
// another since.
func (s *SQL) RenewLogin(ctx context.Context, key Key, l Login) error {
	c := append(siteColumns(&key), columns{
		{"generation", &l.Generation},
		{"refresh_token", s.sealedAt(key, "login.refresh_token", &l.RefreshToken)},
		{"scope", &l.Scope},
		{"updated_at", millis{&l.UpdatedAt}},
		{"ended_at", millis{&l.EndedAt}},
	}...)
	return s.write(ctx, key, "login", func(ctx context.Context, tx *sql.Tx) error {
		values, err := c.values()
		if err != nil {
			return err
		}
		return changing(ctx, tx, fmt.Errorf("%w: another login has been made since", ErrNotFound), c.update("login", 3), values...)
	})
}

// Forget removes everything of a key, and leaves ClientDeregistered.
func (s *SQL) Forget(ctx context.Context, key Key) error {
	return s.write(ctx, key, "everything", func(ctx context.Context, tx *sql.Tx) error {
		if err := deleteSite(ctx, tx, key); err != nil {
			return err
		}
		gone := s.clientColumns(key)(&Client{State: ClientDeregistered})
		return upsert(ctx, tx, "client", 2, append(siteColumns(&key), gone...))
	})
}

// Erase removes everything of a key, also that it was deregistered: for a site that is
// gone for good. One that is called so later is another.
func (s *SQL) Erase(ctx context.Context, key Key) error {
	return s.write(ctx, key, "everything", func(ctx context.Context, tx *sql.Tx) error { return deleteSite(ctx, tx, key) })
}

// deleteSite deletes everything of a key.
func deleteSite(ctx context.Context, tx *sql.Tx, key Key) error {
	for _, table := range []string{"discovery", "client", "pat", "client_key", "login", "resource", "instance", "lost_registration", "kept_resource"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+ofSite, key.Site, key.Issuer); err != nil { //nolint:gosec // a name of the schema's own
			return err
		}
	}
	return nil
}
