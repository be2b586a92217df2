package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ErrFull says that as many are kept as may be.
var ErrFull = errors.New("store: there are too many revocations")

// Revocation is one set of tokens that every Envoy refuses.
type Revocation struct {
	// ID is the same for the same Site, Kind and Digest.
	ID string
	// Site is empty for every site.
	Site string
	// Kind and the others are what package revoke makes of them. Value is empty for
	// a token, of which only the Digest is kept.
	Kind, Value, Source string
	Digest              [32]byte
	// IssuedBefore is zero for whenever issued.
	IssuedBefore         time.Time
	CreatedAt, ExpiresAt time.Time
}

// Revocations keeps what package revoke must not lose. Every replica writes, also
// one that does not lead. Otherwise as [Store].
type Revocations interface {
	// Revocations lists those that have not expired at now, by id.
	Revocations(ctx context.Context, now time.Time) ([]Revocation, error)
	// AddRevocation adds one, or widens the one of the same id: later times count. It
	// forgets those that have expired at now, and gives ErrFull when most are left
	// and it is a new one.
	AddRevocation(ctx context.Context, r Revocation, now time.Time, most int) error
	// DeleteRevocation takes one back.
	DeleteRevocation(ctx context.Context, id string) error
	// TakeMessage tells that a message of that id was not taken before, and takes it.
	TakeMessage(ctx context.Context, id string, expires, now time.Time) (first bool, err error)
	// ForgetMessage lets a message be taken again.
	ForgetMessage(ctx context.Context, id string) error
}

var _ Revocations = (*SQL)(nil)

// Revocations implements [Revocations].
func (s *SQL) Revocations(ctx context.Context, now time.Time) ([]Revocation, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT id, site, kind, digest, value, issued_before, source, created_at, expires_at
		FROM revocation WHERE expires_at > $1 ORDER BY id`, toMillis(now))
	if err != nil {
		return nil, revocationError("read", err)
	}
	defer func() { _ = rows.Close() }()
	out := []Revocation{}
	for rows.Next() {
		var r Revocation
		var digest []byte
		var before, created, expires int64
		if err := rows.Scan(&r.ID, &r.Site, &r.Kind, &digest, &r.Value, &before, &r.Source, &created, &expires); err != nil {
			return nil, revocationError("read", err)
		}
		if copy(r.Digest[:], digest) != len(r.Digest) {
			return nil, revocationError("read", fmt.Errorf("%s has a digest of %d bytes", r.ID, len(digest)))
		}
		r.IssuedBefore, r.CreatedAt, r.ExpiresAt = fromMillis(before), fromMillis(created), fromMillis(expires)
		out = append(out, r)
	}
	return out, revocationError("read", rows.Err())
}

// AddRevocation implements [Revocations].
func (s *SQL) AddRevocation(ctx context.Context, r Revocation, now time.Time, most int) error {
	return revocationError("write", s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM revocation WHERE expires_at <= $1`, toMillis(now)); err != nil {
			return err
		}
		var others int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM revocation WHERE id <> $1`, r.ID).Scan(&others); err != nil {
			return err
		}
		if others >= most {
			return ErrFull
		}
		// 0 is whenever issued, which is more than any time.
		_, err := tx.ExecContext(ctx, `INSERT INTO revocation (id, site, kind, digest, value, issued_before, source, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (id) DO UPDATE SET source = excluded.source, created_at = excluded.created_at,
			issued_before = CASE WHEN revocation.issued_before = 0 OR excluded.issued_before = 0 THEN 0
				WHEN revocation.issued_before > excluded.issued_before THEN revocation.issued_before ELSE excluded.issued_before END,
			expires_at = CASE WHEN revocation.expires_at > excluded.expires_at THEN revocation.expires_at ELSE excluded.expires_at END`,
			r.ID, r.Site, r.Kind, r.Digest[:], r.Value, toMillis(r.IssuedBefore), r.Source, toMillis(r.CreatedAt), toMillis(r.ExpiresAt))
		return err
	}))
}

// DeleteRevocation implements [Revocations].
func (s *SQL) DeleteRevocation(ctx context.Context, id string) error {
	changed, err := s.writeAny(ctx, true, `DELETE FROM revocation WHERE id = $1`, id)
	if err == nil && changed == 0 {
		err = ErrNotFound
	}
	return revocationError("delete", err)
}

// TakeMessage implements [Revocations].
func (s *SQL) TakeMessage(ctx context.Context, id string, expires, now time.Time) (bool, error) {
	if _, err := s.writeAny(ctx, false, `DELETE FROM revocation_message WHERE expires_at <= $1`, toMillis(now)); err != nil {
		return false, revocationError("write", err)
	}
	changed, err := s.writeAny(ctx, false, `INSERT INTO revocation_message (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`,
		id, toMillis(expires))
	return changed > 0, revocationError("write", err)
}

// ForgetMessage implements [Revocations].
func (s *SQL) ForgetMessage(ctx context.Context, id string) error {
	_, err := s.writeAny(ctx, false, `DELETE FROM revocation_message WHERE id = $1`, id)
	return revocationError("write", err)
}

// change does several statements as one change that other replicas see, whoever
// leads. The row of the number is locked meanwhile, so that changes follow each other.
func (s *SQL) change(ctx context.Context, do func(context.Context, *sql.Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // what failed is told already
		}
	}()
	if _, err := tx.ExecContext(ctx, `UPDATE change SET number = number + 1 WHERE one = 1`); err != nil {
		return err
	}
	if err := do(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

func revocationError(verb string, err error) error {
	if err != nil {
		return fmt.Errorf("store: %s revocations: %w", verb, err)
	}
	return nil
}
