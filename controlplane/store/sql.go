package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// SQL is a [Store] in a SQL database.
type SQL struct {
	db     *sql.DB
	sealer *Sealer
	path   string
}

var _ Store = (*SQL)(nil)

// Close closes the database.
func (s *SQL) Close() error {
	if err := s.db.Close(); err != nil {
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
	if _, err := s.db.ExecContext(ctx, `INSERT INTO seal (one, check_value) VALUES (1, ?) ON CONFLICT (one) DO NOTHING`, sealed); err != nil {
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
	var metadata string
	var found int64
	err := s.db.QueryRowContext(ctx, `SELECT metadata, found_at FROM discovery WHERE site = ? AND issuer = ?`,
		key.Site, key.Issuer).Scan(&metadata, &found)
	if err != nil {
		return Discovery{}, reading("discovery", key, err)
	}
	return Discovery{Metadata: json.RawMessage(metadata), FoundAt: fromMillis(found)}, nil
}

// PutDiscovery implements [Store].
func (s *SQL) PutDiscovery(ctx context.Context, key Key, d Discovery) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO discovery (site, issuer, metadata, found_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (site, issuer) DO UPDATE SET metadata = excluded.metadata, found_at = excluded.found_at`,
		key.Site, key.Issuer, string(d.Metadata), toMillis(d.FoundAt))
	return writing("discovery", key, err)
}

// Client implements [Store].
func (s *SQL) Client(ctx context.Context, key Key) (Client, error) {
	var c Client
	var sealedSecret, sealedToken []byte
	var expires, updated int64
	err := s.db.QueryRowContext(ctx, `SELECT state, name, client_id, secret, secret_expires_at, auth_method, access_token, uri, updated_at
		FROM client WHERE site = ? AND issuer = ?`, key.Site, key.Issuer).
		Scan(&c.State, &c.Name, &c.ClientID, &sealedSecret, &expires, &c.AuthMethod, &sealedToken, &c.URI, &updated)
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
	_, err = s.db.ExecContext(ctx, `INSERT INTO client
		(site, issuer, state, name, client_id, secret, secret_expires_at, auth_method, access_token, uri, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (site, issuer) DO UPDATE SET state = excluded.state, name = excluded.name, client_id = excluded.client_id,
		secret = excluded.secret, secret_expires_at = excluded.secret_expires_at, auth_method = excluded.auth_method,
		access_token = excluded.access_token, uri = excluded.uri, updated_at = excluded.updated_at`,
		key.Site, key.Issuer, c.State, c.Name, c.ClientID, sealedSecret, toMillis(c.SecretExpiresAt), c.AuthMethod, sealedToken, c.URI,
		toMillis(c.UpdatedAt))
	return writing("client", key, err)
}

// DeleteClient implements [Store].
func (s *SQL) DeleteClient(ctx context.Context, key Key) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM client WHERE site = ? AND issuer = ?`, key.Site, key.Issuer)
	return writing("client", key, err)
}

// PAT implements [Store].
func (s *SQL) PAT(ctx context.Context, key Key) (PAT, error) {
	var p PAT
	var sealed []byte
	var issued, expires int64
	err := s.db.QueryRowContext(ctx, `SELECT client_id, value, issued_at, expires_at FROM pat WHERE site = ? AND issuer = ?`,
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
	_, err = s.db.ExecContext(ctx, `INSERT INTO pat (site, issuer, client_id, value, issued_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (site, issuer) DO UPDATE SET client_id = excluded.client_id, value = excluded.value,
		issued_at = excluded.issued_at, expires_at = excluded.expires_at`,
		key.Site, key.Issuer, p.ClientID, sealed, toMillis(p.IssuedAt), toMillis(p.ExpiresAt))
	return writing("pat", key, err)
}

// Resources implements [Store].
func (s *SQL) Resources(ctx context.Context, key Key) ([]Resource, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name, state, id, spec, updated_at FROM resource
		WHERE site = ? AND issuer = ? ORDER BY name`, key.Site, key.Issuer)
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

// PutResource implements [Store].
func (s *SQL) PutResource(ctx context.Context, key Key, r Resource) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO resource (site, issuer, name, state, id, spec, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (site, issuer, name) DO UPDATE SET state = excluded.state, id = excluded.id, spec = excluded.spec,
		updated_at = excluded.updated_at`,
		key.Site, key.Issuer, r.Name, r.State, r.ID, string(r.Spec), toMillis(r.UpdatedAt))
	return writing("resource", key, err)
}

// DeleteResource implements [Store].
func (s *SQL) DeleteResource(ctx context.Context, key Key, name string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM resource WHERE site = ? AND issuer = ? AND name = ?`, key.Site, key.Issuer, name)
	return writing("resource", key, err)
}

// Keys implements [Store].
func (s *SQL) Keys(ctx context.Context) ([]Key, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT site, issuer FROM client UNION SELECT site, issuer FROM resource ORDER BY site, issuer`)
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
