package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ClientKeys implements [Store].
func (s *SQL) ClientKeys(ctx context.Context, key Key) ([]ClientKey, error) {
	const what = "client keys"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT kid, purpose, algorithm, state, private, certificate, created_at, state_at
		FROM client_key WHERE site = $1 AND issuer = $2 ORDER BY created_at, kid`, key.Site, key.Issuer)
	if err != nil {
		return nil, reading(what, key, err)
	}
	defer func() { _ = rows.Close() }()
	var out []ClientKey
	for rows.Next() {
		var k ClientKey
		var sealed []byte
		var created, since int64
		if err := rows.Scan(&k.ID, &k.Purpose, &k.Algorithm, &k.State, &sealed, &k.Certificate, &created, &since); err != nil {
			return nil, reading(what, key, err)
		}
		if k.Private, err = s.sealer.open(keyPlace(key, k.ID), sealed); err != nil {
			return nil, reading(what, key, err)
		}
		k.CreatedAt, k.StateAt = fromMillis(created), fromMillis(since)
		out = append(out, k)
	}
	return out, reading(what, key, rows.Err())
}

func keyPlace(key Key, id string) string { return place(key, fmt.Sprintf("client_key.private %q", id)) }

// PutClientKey implements [Store].
func (s *SQL) PutClientKey(ctx context.Context, key Key, k ClientKey) error {
	sealed, err := s.sealer.seal(keyPlace(key, k.ID), k.Private)
	if err != nil {
		return err
	}
	return s.write(ctx, "client key", key, `INSERT INTO client_key
		(site, issuer, kid, purpose, algorithm, state, private, certificate, created_at, state_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (site, issuer, kid) DO UPDATE SET purpose = excluded.purpose, algorithm = excluded.algorithm, state = excluded.state,
		private = excluded.private, certificate = excluded.certificate, created_at = excluded.created_at, state_at = excluded.state_at`,
		key.Site, key.Issuer, k.ID, k.Purpose, k.Algorithm, k.State, sealed, k.Certificate, toMillis(k.CreatedAt), toMillis(k.StateAt))
}

// DeleteClientKey implements [Store].
func (s *SQL) DeleteClientKey(ctx context.Context, key Key, id string) error {
	return s.write(ctx, "client key", key, `DELETE FROM client_key WHERE site = $1 AND issuer = $2 AND kid = $3`, key.Site, key.Issuer, id)
}

// Login implements [Store].
func (s *SQL) Login(ctx context.Context, key Key) (Login, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var l Login
	var sealed []byte
	var obtained, updated, ended int64
	err := s.db.QueryRowContext(ctx, `SELECT client_id, generation, subject, scope, refresh_token, obtained_at, updated_at, ended_at
		FROM login WHERE site = $1 AND issuer = $2`, key.Site, key.Issuer).
		Scan(&l.ClientID, &l.Generation, &l.Subject, &l.Scope, &sealed, &obtained, &updated, &ended)
	if err != nil {
		return Login{}, reading("login", key, err)
	}
	if l.RefreshToken, err = s.sealer.open(place(key, "login.refresh_token"), sealed); err != nil {
		return Login{}, reading("login", key, err)
	}
	l.ObtainedAt, l.UpdatedAt, l.EndedAt = fromMillis(obtained), fromMillis(updated), fromMillis(ended)
	return l, nil
}

// PutLogin implements [Store].
func (s *SQL) PutLogin(ctx context.Context, key Key, l Login) error {
	sealed, err := s.sealer.seal(place(key, "login.refresh_token"), l.RefreshToken)
	if err != nil {
		return err
	}
	return s.write(ctx, "login", key, `INSERT INTO login
		(site, issuer, client_id, generation, subject, scope, refresh_token, obtained_at, updated_at, ended_at)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (site, issuer) DO UPDATE SET client_id = excluded.client_id, generation = login.generation + 1,
		subject = excluded.subject, scope = excluded.scope, refresh_token = excluded.refresh_token,
		obtained_at = excluded.obtained_at, updated_at = excluded.updated_at, ended_at = excluded.ended_at`,
		key.Site, key.Issuer, l.ClientID, l.Subject, l.Scope, sealed, toMillis(l.ObtainedAt), toMillis(l.UpdatedAt), toMillis(l.EndedAt))
}

// RenewLogin implements [Store].
func (s *SQL) RenewLogin(ctx context.Context, key Key, l Login) error {
	sealed, err := s.sealer.seal(place(key, "login.refresh_token"), l.RefreshToken)
	if err != nil {
		return err
	}
	return s.transact(ctx, "login", key, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE login SET refresh_token = $1, scope = $2, updated_at = $3, ended_at = $4
			WHERE site = $5 AND issuer = $6 AND generation = $7`,
			sealed, l.Scope, toMillis(l.UpdatedAt), toMillis(l.EndedAt), key.Site, key.Issuer, l.Generation)
		if err != nil {
			return err
		}
		if rows, err := done.RowsAffected(); err != nil || rows == 0 {
			return errors.Join(fmt.Errorf("%w: another login has been made since", ErrNotFound), err)
		}
		return nil
	})
}

// Forget implements [Store].
func (s *SQL) Forget(ctx context.Context, key Key) error {
	return s.transact(ctx, "everything", key, func(tx *sql.Tx) error {
		if err := deleteSite(ctx, tx, key); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO client (site, issuer, state, name, client_id, secret_expires_at, auth_method, uri, updated_at)
			VALUES ($1, $2, $3, '', '', 0, '', '', 0)`, key.Site, key.Issuer, ClientDeregistered)
		return err
	})
}

// deleteSite deletes everything of a key.
func deleteSite(ctx context.Context, tx *sql.Tx, key Key) error {
	for _, statement := range []string{
		`DELETE FROM discovery WHERE site = $1 AND issuer = $2`,
		`DELETE FROM client WHERE site = $1 AND issuer = $2`,
		`DELETE FROM pat WHERE site = $1 AND issuer = $2`,
		`DELETE FROM client_key WHERE site = $1 AND issuer = $2`,
		`DELETE FROM login WHERE site = $1 AND issuer = $2`,
		`DELETE FROM resource WHERE site = $1 AND issuer = $2`,
		`DELETE FROM instance WHERE site = $1 AND issuer = $2`,
	} {
		if _, err := tx.ExecContext(ctx, statement, key.Site, key.Issuer); err != nil {
			return err
		}
	}
	return nil
}
