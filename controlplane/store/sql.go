package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/secret"
)

// callTimeout bounds each call: a database that does not answer must not hold up
// a stop, nor a leader that was replaced.
const callTimeout = 15 * time.Second

// SQL is a [Store] in a SQL database. Its statements are the same for each: SQLite
// takes PostgreSQL's placeholders too.
type SQL struct {
	db     *sql.DB
	sealer *Sealer
	locks  locks
	// key is what the sealer seals with; a backup can take it along.
	key secret.Text
	// session is how a session of its own begins; snapshot makes a transaction see one
	// moment; overriding lets an insert set a
	// column that the database counts. Each is PostgreSQL's, and zero for SQLite.
	session    *pgx.ConnConfig
	snapshot   *sql.TxOptions
	overriding string
	// epoch is that of the lease this process held last, 0 for none.
	epoch atomic.Int64
	// tracer is nil unless Trace gave one.
	tracer trace.Tracer
}

// locks are a database's own way of letting one process of many do something.
type locks interface {
	// lead gives the lease and its epoch, a number larger than every one before.
	lead(ctx context.Context) (Lease, int64, error)
	tryLock(ctx context.Context, key Key) (unlock func() error, err error)
	close() error
}

var _ Store = (*SQL)(nil)

// Close closes the database.
func (s *SQL) Close() error {
	if err := errors.Join(s.locks.close(), s.db.Close()); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

const sealPlace = "seal"

// checkKey writes a sealed value the first time and opens it each time after.
func (s *SQL) checkKey(ctx context.Context) error {
	sealed, err := s.sealer.seal(sealPlace, secret.New("umagate"))
	if err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, `INSERT INTO seal (one, check_value) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`, sealed); err != nil {
		return fmt.Errorf("store: check the key: %w", err)
	}
	if err := s.db.QueryRowContext(ctx, `SELECT check_value FROM seal WHERE one = 1`).Scan(&sealed); err != nil {
		return fmt.Errorf("store: check the key: %w", err)
	}
	_, err = s.sealer.open(sealPlace, sealed)
	return err
}

func place(key Key, what string) string {
	return fmt.Sprintf("%q %q %s", key.Site, key.Issuer, what)
}

// Discovery implements [Store].
func (s *SQL) Discovery(ctx context.Context, key Key) (Discovery, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var metadata string
	var found int64
	err := s.db.QueryRowContext(ctx, `SELECT metadata, found_at FROM discovery WHERE site = $1 AND issuer = $2`,
		key.Site, key.Issuer).Scan(&metadata, &found)
	if err != nil {
		return Discovery{}, reading("discovery", key, err)
	}
	return Discovery{Metadata: json.RawMessage(metadata), FoundAt: fromMillis(found)}, nil
}

// PutDiscovery implements [Store].
func (s *SQL) PutDiscovery(ctx context.Context, key Key, d Discovery) error {
	return s.write(ctx, "discovery", key, `INSERT INTO discovery (site, issuer, metadata, found_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (site, issuer) DO UPDATE SET metadata = excluded.metadata, found_at = excluded.found_at`,
		key.Site, key.Issuer, string(d.Metadata), toMillis(d.FoundAt))
}

// Client implements [Store].
func (s *SQL) Client(ctx context.Context, key Key) (Client, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var c Client
	var sealedSecret, sealedToken []byte
	var expires, updated, registered, retry int64
	err := s.db.QueryRowContext(ctx, `SELECT state, name, client_id, secret, secret_expires_at, auth_method, access_token, uri, updated_at,
		metadata, registered_at, registrations, attempts, retry_at
		FROM client WHERE site = $1 AND issuer = $2`, key.Site, key.Issuer).
		Scan(&c.State, &c.Name, &c.ClientID, &sealedSecret, &expires, &c.AuthMethod, &sealedToken, &c.URI, &updated,
			&c.Metadata, &registered, &c.Registrations, &c.Attempts, &retry)
	if err != nil {
		return Client{}, reading("client", key, err)
	}
	if c.Secret, err = s.sealer.open(place(key, "client.secret"), sealedSecret); err != nil {
		return Client{}, reading("client", key, err)
	}
	if c.AccessToken, err = s.sealer.open(place(key, "client.access_token"), sealedToken); err != nil {
		return Client{}, reading("client", key, err)
	}
	c.SecretExpiresAt, c.UpdatedAt = fromMillis(expires), fromMillis(updated)
	c.RegisteredAt, c.RetryAt = fromMillis(registered), fromMillis(retry)
	return c, nil
}

// PutClient implements [Store].
func (s *SQL) PutClient(ctx context.Context, key Key, c Client) error {
	sealedSecret, err := s.sealer.seal(place(key, "client.secret"), c.Secret)
	if err != nil {
		return err
	}
	sealedToken, err := s.sealer.seal(place(key, "client.access_token"), c.AccessToken)
	if err != nil {
		return err
	}
	return s.write(ctx, "client", key, `INSERT INTO client
		(site, issuer, state, name, client_id, secret, secret_expires_at, auth_method, access_token, uri, updated_at,
		metadata, registered_at, registrations, attempts, retry_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (site, issuer) DO UPDATE SET state = excluded.state, name = excluded.name, client_id = excluded.client_id,
		secret = excluded.secret, secret_expires_at = excluded.secret_expires_at, auth_method = excluded.auth_method,
		access_token = excluded.access_token, uri = excluded.uri, updated_at = excluded.updated_at, metadata = excluded.metadata,
		registered_at = excluded.registered_at, registrations = excluded.registrations, attempts = excluded.attempts,
		retry_at = excluded.retry_at`,
		key.Site, key.Issuer, c.State, c.Name, c.ClientID, sealedSecret, toMillis(c.SecretExpiresAt), c.AuthMethod, sealedToken, c.URI,
		toMillis(c.UpdatedAt), c.Metadata, toMillis(c.RegisteredAt), c.Registrations, c.Attempts, toMillis(c.RetryAt))
}

// DeleteClient implements [Store].
func (s *SQL) DeleteClient(ctx context.Context, key Key) error {
	return s.write(ctx, "client", key, `DELETE FROM client WHERE site = $1 AND issuer = $2`, key.Site, key.Issuer)
}

// PAT implements [Store].
func (s *SQL) PAT(ctx context.Context, key Key) (PAT, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var p PAT
	var sealed []byte
	var issued, expires int64
	err := s.db.QueryRowContext(ctx, `SELECT client_id, value, issued_at, expires_at FROM pat WHERE site = $1 AND issuer = $2`,
		key.Site, key.Issuer).Scan(&p.ClientID, &sealed, &issued, &expires)
	if err != nil {
		return PAT{}, reading("pat", key, err)
	}
	if p.Value, err = s.sealer.open(place(key, "pat.value"), sealed); err != nil {
		return PAT{}, reading("pat", key, err)
	}
	p.IssuedAt, p.ExpiresAt = fromMillis(issued), fromMillis(expires)
	return p, nil
}

// PutPAT implements [Store].
func (s *SQL) PutPAT(ctx context.Context, key Key, p PAT) error {
	sealed, err := s.sealer.seal(place(key, "pat.value"), p.Value)
	if err != nil {
		return err
	}
	return s.write(ctx, "pat", key, `INSERT INTO pat (site, issuer, client_id, value, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (site, issuer) DO UPDATE SET client_id = excluded.client_id, value = excluded.value,
		issued_at = excluded.issued_at, expires_at = excluded.expires_at`,
		key.Site, key.Issuer, p.ClientID, sealed, toMillis(p.IssuedAt), toMillis(p.ExpiresAt))
}

// Resources implements [Store].
func (s *SQL) Resources(ctx context.Context, key Key) ([]Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT name, state, id, spec, updated_at FROM resource
		WHERE site = $1 AND issuer = $2 ORDER BY name`, key.Site, key.Issuer)
	if err != nil {
		return nil, reading("resources", key, err)
	}
	defer func() { _ = rows.Close() }()
	var out []Resource
	for rows.Next() {
		var r Resource
		var spec string
		var updated int64
		if err := rows.Scan(&r.Name, &r.State, &r.ID, &spec, &updated); err != nil {
			return nil, reading("resources", key, err)
		}
		r.Spec, r.UpdatedAt = json.RawMessage(spec), fromMillis(updated)
		out = append(out, r)
	}
	return out, reading("resources", key, rows.Err())
}

// sitesOfResource selects the sites that have a resource_id.
const sitesOfResource = `SELECT site FROM resource WHERE issuer = $1 AND id = $2 AND id <> ''
	UNION SELECT site FROM instance WHERE issuer = $1 AND id = $2 AND id <> ''`

// ResourceSites implements [Store].
func (s *SQL) ResourceSites(ctx context.Context, issuer, id string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := Key{Issuer: issuer}
	rows, err := s.db.QueryContext(ctx, sitesOfResource+` ORDER BY site`, issuer, id)
	if err != nil {
		return nil, reading("resources", key, err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var site string
		if err := rows.Scan(&site); err != nil {
			return nil, reading("resources", key, err)
		}
		out = append(out, site)
	}
	return out, reading("resources", key, rows.Err())
}

// PutResource implements [Store]. Writes exclude each other (count), so that what
// another site has taken is seen.
func (s *SQL) PutResource(ctx context.Context, key Key, r Resource) error {
	return s.transact(ctx, "resource", key, func(tx *sql.Tx) error {
		var taken int64
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM (`+sitesOfResource+`) AS sites WHERE site <> $3`, key.Issuer, r.ID, key.Site).Scan(&taken)
		if err != nil {
			return err
		}
		if taken > 0 {
			return fmt.Errorf("%w: %s", ErrTaken, r.ID)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO resource (site, issuer, name, state, id, spec, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (site, issuer, name) DO UPDATE SET state = excluded.state, id = excluded.id, spec = excluded.spec,
			updated_at = excluded.updated_at`,
			key.Site, key.Issuer, r.Name, r.State, r.ID, string(r.Spec), toMillis(r.UpdatedAt))
		return err
	})
}

// DeleteResource implements [Store].
func (s *SQL) DeleteResource(ctx context.Context, key Key, name string) error {
	return s.write(ctx, "resource", key, `DELETE FROM resource WHERE site = $1 AND issuer = $2 AND name = $3`,
		key.Site, key.Issuer, name)
}

// Keys implements [Store].
func (s *SQL) Keys(ctx context.Context) ([]Key, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT site, issuer FROM client WHERE state <> 'deregistered' UNION SELECT site, issuer FROM resource ORDER BY site, issuer`)
	if err != nil {
		return nil, reading("keys", Key{}, err)
	}
	defer func() { _ = rows.Close() }()
	var out []Key
	for rows.Next() {
		var k Key
		if err := rows.Scan(&k.Site, &k.Issuer); err != nil {
			return nil, reading("keys", Key{}, err)
		}
		out = append(out, k)
	}
	return out, reading("keys", Key{}, rows.Err())
}

// Changes implements [Store].
func (s *SQL) Changes(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var number int64
	err := s.db.QueryRowContext(ctx, `SELECT number FROM change WHERE one = 1`).Scan(&number)
	return number, reading("changes", Key{}, err)
}

// write executes one statement and counts it as a change, unless another process
// has led since this one did.
func (s *SQL) write(ctx context.Context, what string, key Key, statement string, args ...any) error {
	return s.transact(ctx, what, key, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	})
}

// transact is write for more than one statement.
func (s *SQL) transact(ctx context.Context, what string, key Key, do func(*sql.Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, end := s.span(ctx, what, key)
	defer func() { end(err) }()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return writing(what, key, err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // what failed is told already
		}
	}()
	if err := s.count(ctx, tx); err != nil {
		return writing(what, key, err)
	}
	if err := do(tx); err != nil {
		return writing(what, key, err)
	}
	return writing(what, key, tx.Commit())
}

// count makes the number of changes larger. The row's lock lasts until the
// transaction ends, so that a new leader and a write of the old one exclude each
// other.
func (s *SQL) count(ctx context.Context, tx *sql.Tx) error {
	done, err := tx.ExecContext(ctx, `UPDATE change SET number = number + 1
		WHERE one = 1 AND (CAST($1 AS BIGINT) = 0 OR epoch = CAST($1 AS BIGINT))`, s.epoch.Load())
	if err != nil {
		return err
	}
	rows, err := done.RowsAffected()
	if err == nil && rows == 0 {
		err = ErrReplaced
	}
	return err
}

func reading(what string, key Key, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s of site %s", ErrNotFound, what, key.Site)
	default:
		return fmt.Errorf("store: read %s of site %s: %w", what, key.Site, err)
	}
}

func writing(what string, key Key, err error) error {
	if err != nil {
		return fmt.Errorf("store: write %s of site %s: %w", what, key.Site, err)
	}
	return nil
}

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
