package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Protection is what an application protects by the protocol of oxd. The ids of
// its resources are records of [Store.Resources].
type Protection struct {
	OxdID string
	// Document is what package oxd/protection keeps of it.
	Document json.RawMessage
	// Settled says that the authorization server has all of it.
	Settled bool
	// CreatedAt is when the application protected something first.
	CreatedAt, UpdatedAt time.Time
}

// Protections keeps what applications protect. Every replica writes, as with
// [RPs]. Otherwise as [Store].
type Protections interface {
	Protection(ctx context.Context, oxdID string) (Protection, error)
	// Protections lists all, the earliest first.
	Protections(ctx context.Context) ([]Protection, error)
	// PutProtection writes or replaces one; the time of its creation stays.
	// It goes with the RP ([RPs]).
	PutProtection(ctx context.Context, p Protection) error
}

var _ Protections = (*SQL)(nil)

const protectionColumns = `oxd_id, document, settled, created_at, updated_at`

// Protection implements [Protections].
func (s *SQL) Protection(ctx context.Context, oxdID string) (Protection, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p, err := scanProtection(s.db.QueryRowContext(ctx, `SELECT `+protectionColumns+` FROM oxd_protection WHERE oxd_id = $1`, oxdID))
	if errors.Is(err, sql.ErrNoRows) {
		return Protection{}, fmt.Errorf("%w: protection of oxd %s", ErrNotFound, oxdID)
	}
	return p, readingProtection(oxdID, err)
}

// Protections implements [Protections].
func (s *SQL) Protections(ctx context.Context) ([]Protection, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT `+protectionColumns+` FROM oxd_protection ORDER BY created_at, oxd_id`)
	if err != nil {
		return nil, readingProtection("", err)
	}
	defer func() { _ = rows.Close() }()
	var out []Protection
	for rows.Next() {
		p, err := scanProtection(rows)
		if err != nil {
			return nil, readingProtection("", err)
		}
		out = append(out, p)
	}
	return out, readingProtection("", rows.Err())
}

func scanProtection(row interface{ Scan(...any) error }) (Protection, error) {
	var p Protection
	var document string
	var settled, created, updated int64
	if err := row.Scan(&p.OxdID, &document, &settled, &created, &updated); err != nil {
		return Protection{}, err
	}
	p.Document, p.Settled = json.RawMessage(document), settled != 0
	p.CreatedAt, p.UpdatedAt = fromMillis(created), fromMillis(updated)
	return p, nil
}

// PutProtection implements [Protections].
func (s *SQL) PutProtection(ctx context.Context, p Protection) error {
	var settled int64
	if p.Settled {
		settled = 1
	}
	_, err := s.writeAny(ctx, true, `INSERT INTO oxd_protection (oxd_id, document, settled, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
		ON CONFLICT (oxd_id) DO UPDATE SET document = excluded.document, settled = excluded.settled, updated_at = excluded.updated_at`,
		p.OxdID, string(p.Document), settled, toMillis(p.UpdatedAt))
	return writingProtection(p.OxdID, err)
}

func readingProtection(oxdID string, err error) error {
	if err != nil {
		return fmt.Errorf("store: read protection of oxd %s: %w", oxdID, err)
	}
	return nil
}

func writingProtection(oxdID string, err error) error {
	if err != nil {
		return fmt.Errorf("store: write protection of oxd %s: %w", oxdID, err)
	}
	return nil
}
