package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// forgottenAfter is how long after its end a revocation is forgotten, so that a clock
// which was ahead for a while has lost none.
const forgottenAfter = 24 * time.Hour

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

func (s *SQL) revocationColumns(r *Revocation) columns {
	return columns{
		{"id", &r.ID},
		{"site", &r.Site},
		{"kind", &r.Kind},
		{"digest", digest{&r.Digest}},
		{"value", &r.Value},
		{"issued_before", millis{&r.IssuedBefore}},
		{"source", &r.Source},
		{"created_at", millis{&r.CreatedAt}},
		{"expires_at", millis{&r.ExpiresAt}},
	}
}

// Revocations lists all that there are, by id, also those that have ended and are not
// forgotten yet.
func (s *SQL) Revocations(ctx context.Context) ([]Revocation, error) {
	out, err := list(ctx, s, s.revocationColumns, `FROM revocation ORDER BY id`)
	return out, reading("revocations", err)
}

// AddRevocation adds one, or widens the one of the same id: later times count. It
// forgets those that ended a day before now, and returns ErrFull when most have not ended
// and it is a new one.
func (s *SQL) AddRevocation(ctx context.Context, r Revocation, now time.Time, most int) error {
	c := s.revocationColumns(&r)
	values, err := c.values()
	if err != nil {
		return err
	}
	err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM revocation WHERE expires_at <= $1`, toMillis(now.Add(-forgottenAfter))); err != nil {
			return err
		}
		var others int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM revocation WHERE id <> $1 AND expires_at > $2`, r.ID, toMillis(now)).Scan(&others); err != nil {
			return err
		}
		if others >= most {
			return ErrFull
		}
		// 0 is whenever issued, which is more than any time.
		_, err := tx.ExecContext(ctx, c.insert("revocation")+`
			ON CONFLICT (id) DO UPDATE SET source = excluded.source, created_at = excluded.created_at,
			issued_before = CASE WHEN revocation.issued_before = 0 OR excluded.issued_before = 0 THEN 0
				WHEN revocation.issued_before > excluded.issued_before THEN revocation.issued_before ELSE excluded.issued_before END,
			expires_at = CASE WHEN revocation.expires_at > excluded.expires_at THEN revocation.expires_at ELSE excluded.expires_at END`, values...)
		return err
	})
	return writing("revocations", err)
}

// DeleteRevocation takes one back; ErrNotFound.
func (s *SQL) DeleteRevocation(ctx context.Context, id string) error {
	return writing("revocations", s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return changing(ctx, tx, ErrNotFound, `DELETE FROM revocation WHERE id = $1`, id)
	}))
}

// TakeMessage reports whether no message of that id was taken before, and takes it.
func (s *SQL) TakeMessage(ctx context.Context, id string, expires, now time.Time) (first bool, err error) {
	if _, err := s.exec(ctx, `DELETE FROM revocation_message WHERE expires_at <= $1`, toMillis(now)); err != nil {
		return false, writing("revocation messages", err)
	}
	taken, err := s.exec(ctx, `INSERT INTO revocation_message (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, toMillis(expires))
	return taken > 0, writing("revocation messages", err)
}

// ForgetMessage lets a message be taken again.
func (s *SQL) ForgetMessage(ctx context.Context, id string) error {
	_, err := s.exec(ctx, `DELETE FROM revocation_message WHERE id = $1`, id)
	return writing("revocation messages", err)
}
