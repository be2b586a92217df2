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

// ErrChanged means that the record is not as it was when it was read. Read it anew.
var ErrChanged = errors.New("store: another has changed this record since it was read")

// RP is a relying party that was registered by the protocol of oxd.
type RP struct {
	// ID is the oxd_id.
	ID string
	// ClientID is its client_id at Issuer.
	ClientID, Issuer string
	// Setup says that it is a setup client: its tokens protect commands.
	Setup bool
	// Record is what package oxd keeps of it, Secrets the same of what is sealed.
	Record  json.RawMessage
	Secrets secret.Text
	// Version is what Put compares; 0 for a new one.
	Version   int64
	UpdatedAt time.Time
}

// Memo is something remembered for a while: a login under way, whose access token
// it is. Its value is sealed.
type Memo struct {
	// Kind and ID are its name. OxdID is the RP that it goes with.
	Kind, ID, OxdID string
	Value           secret.Text
	ExpiresAt       time.Time
}

// RPs keeps what package oxd must not lose. Every replica writes, also one that
// does not lead: what an application asks of it is not the leader's business.
// Otherwise as [Store].
type RPs interface {
	RP(ctx context.Context, id string) (RP, error)
	// SetupRP finds the setup client of that client_id.
	SetupRP(ctx context.Context, issuer, clientID string) (RP, error)
	// RPs lists all, by id.
	RPs(ctx context.Context) ([]RP, error)
	// PutRP writes a new RP (Version 0) or the next version of one: ErrChanged when
	// it is no longer, or not yet, the one that was read. It gives the new version.
	PutRP(ctx context.Context, rp RP) (version int64, err error)
	// DeleteRP deletes it with its memos, with what it protects, and with everything
	// that is kept of its site: what is left at the AS is nobody's then.
	DeleteRP(ctx context.Context, id string, site Key) error

	// PutMemo writes or replaces a memo, and forgets those that have expired at now.
	PutMemo(ctx context.Context, m Memo, now time.Time) error
	// Memo reads one that has not expired at now.
	Memo(ctx context.Context, kind, id string, now time.Time) (Memo, error)
	// TakeMemo reads and deletes: of those who ask at the same time, one gets it.
	TakeMemo(ctx context.Context, kind, id string, now time.Time) (Memo, error)
}

var _ RPs = (*SQL)(nil)

const rpColumns = `id, client_id, issuer, setup, record, secrets, version, updated_at`

// RP implements [RPs].
func (s *SQL) RP(ctx context.Context, id string) (RP, error) {
	return s.oneRP(ctx, id, `SELECT `+rpColumns+` FROM oxd_rp WHERE id = $1`, id)
}

// SetupRP implements [RPs].
func (s *SQL) SetupRP(ctx context.Context, issuer, clientID string) (RP, error) {
	return s.oneRP(ctx, clientID, `SELECT `+rpColumns+` FROM oxd_rp WHERE setup = 1 AND issuer = $1 AND client_id = $2
		ORDER BY updated_at DESC LIMIT 1`, issuer, clientID)
}

func (s *SQL) oneRP(ctx context.Context, name, query string, args ...any) (RP, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rp, err := s.scanRP(s.db.QueryRowContext(ctx, query, args...))
	return rp, readingRP(name, err)
}

// RPs implements [RPs].
func (s *SQL) RPs(ctx context.Context) ([]RP, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT `+rpColumns+` FROM oxd_rp ORDER BY id`)
	if err != nil {
		return nil, readingRP("", err)
	}
	defer func() { _ = rows.Close() }()
	var out []RP
	for rows.Next() {
		rp, err := s.scanRP(rows)
		if err != nil {
			return nil, readingRP("", err)
		}
		out = append(out, rp)
	}
	return out, readingRP("", rows.Err())
}

func (s *SQL) scanRP(row interface{ Scan(...any) error }) (RP, error) {
	var rp RP
	var record string
	var sealed []byte
	var setup, updated int64
	if err := row.Scan(&rp.ID, &rp.ClientID, &rp.Issuer, &setup, &record, &sealed, &rp.Version, &updated); err != nil {
		return RP{}, err
	}
	var err error
	rp.Secrets, err = s.sealer.open(placeRP(rp.ID), sealed)
	rp.Setup, rp.Record, rp.UpdatedAt = setup != 0, json.RawMessage(record), fromMillis(updated)
	return rp, err
}

// PutRP implements [RPs].
func (s *SQL) PutRP(ctx context.Context, rp RP) (int64, error) {
	sealed, err := s.sealer.seal(placeRP(rp.ID), rp.Secrets)
	if err != nil {
		return 0, err
	}
	var setup int64
	if rp.Setup {
		setup = 1
	}
	next := rp.Version + 1
	statement := `INSERT INTO oxd_rp (client_id, issuer, setup, record, secrets, updated_at, version, id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`
	args := []any{rp.ClientID, rp.Issuer, setup, string(rp.Record), sealed, toMillis(rp.UpdatedAt), next, rp.ID}
	if rp.Version > 0 {
		statement = `UPDATE oxd_rp SET client_id = $1, issuer = $2, setup = $3, record = $4, secrets = $5, updated_at = $6, version = $7
			WHERE id = $8 AND version = $9`
		args = append(args, rp.Version)
	}
	changed, err := s.writeAny(ctx, true, statement, args...)
	if err == nil && changed == 0 {
		err = ErrChanged
	}
	return next, writingRP(rp.ID, err)
}

// DeleteRP implements [RPs].
func (s *SQL) DeleteRP(ctx context.Context, id string, site Key) error {
	return writingRP(id, s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, statement := range []string{
			`DELETE FROM oxd_rp WHERE id = $1`, `DELETE FROM oxd_protection WHERE oxd_id = $1`, `DELETE FROM oxd_memo WHERE oxd_id = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		return deleteSite(ctx, tx, site)
	}))
}

// PutMemo implements [RPs].
func (s *SQL) PutMemo(ctx context.Context, m Memo, now time.Time) error {
	sealed, err := s.sealer.seal(placeMemo(m.Kind, m.ID), m.Value)
	if err != nil {
		return err
	}
	if _, err := s.writeAny(ctx, false, `DELETE FROM oxd_memo WHERE expires_at <= $1`, toMillis(now)); err != nil {
		return writingRP(m.OxdID, err)
	}
	_, err = s.writeAny(ctx, false, `INSERT INTO oxd_memo (kind, id, oxd_id, value, expires_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (kind, id) DO UPDATE SET oxd_id = excluded.oxd_id, value = excluded.value, expires_at = excluded.expires_at`,
		m.Kind, m.ID, m.OxdID, sealed, toMillis(m.ExpiresAt))
	return writingRP(m.OxdID, err)
}

// Memo implements [RPs].
func (s *SQL) Memo(ctx context.Context, kind, id string, now time.Time) (Memo, error) {
	return s.memo(ctx, kind, id, now, `SELECT oxd_id, value, expires_at FROM oxd_memo WHERE kind = $1 AND id = $2`)
}

// TakeMemo implements [RPs].
func (s *SQL) TakeMemo(ctx context.Context, kind, id string, now time.Time) (Memo, error) {
	return s.memo(ctx, kind, id, now, `DELETE FROM oxd_memo WHERE kind = $1 AND id = $2 RETURNING oxd_id, value, expires_at`)
}

func (s *SQL) memo(ctx context.Context, kind, id string, now time.Time, statement string) (Memo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m := Memo{Kind: kind, ID: id}
	var sealed []byte
	var expires int64
	err := s.db.QueryRowContext(ctx, statement, kind, id).Scan(&m.OxdID, &sealed, &expires)
	if err == nil {
		m.Value, err = s.sealer.open(placeMemo(kind, id), sealed)
	}
	if m.ExpiresAt = fromMillis(expires); err == nil && !m.ExpiresAt.After(now) {
		err = sql.ErrNoRows
	}
	if err != nil {
		return Memo{}, readingRP(kind, err)
	}
	return m, nil
}

// writeAny executes one statement, whoever leads. Where notice is set, it counts
// as a change that other replicas see.
func (s *SQL) writeAny(ctx context.Context, notice bool, statement string, args ...any) (changed int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // what failed is told already
		}
	}()
	if notice {
		if _, err := tx.ExecContext(ctx, `UPDATE change SET number = number + 1 WHERE one = 1`); err != nil {
			return 0, err
		}
	}
	done, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	if changed, err = done.RowsAffected(); err != nil {
		return 0, err
	}
	return changed, tx.Commit()
}

func placeRP(id string) string { return fmt.Sprintf("oxd %q rp.secrets", id) }

func placeMemo(kind, id string) string { return fmt.Sprintf("oxd %q %q memo.value", kind, id) }

func readingRP(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: oxd %s", ErrNotFound, name)
	default:
		return fmt.Errorf("store: read oxd %s: %w", name, err)
	}
}

func writingRP(id string, err error) error {
	if err != nil {
		return fmt.Errorf("store: write oxd %s: %w", id, err)
	}
	return nil
}
