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

// TemporaryState is what an oxd command leaves for a later one, until it expires: a
// login under way, or whose an access token is. Its value is sealed.
type TemporaryState struct {
	// Kind and ID are its name. OxdID is the RP that it goes with.
	Kind, ID, OxdID string
	Value           secret.Text
	ExpiresAt       time.Time
}

func rpPlace(id string) string { return fmt.Sprintf("oxd %q rp.secrets", id) }

func temporaryPlace(kind, id string) string { return fmt.Sprintf("oxd %q %q memo.value", kind, id) }

func (s *SQL) rpColumns(rp *RP) columns {
	place := func() string { return rpPlace(rp.ID) }
	return columns{
		{"id", &rp.ID},
		{"client_id", &rp.ClientID},
		{"issuer", &rp.Issuer},
		{"setup", flag{&rp.Setup}},
		{"record", document{&rp.Record}},
		{"secrets", sealed{s.keys, place, &rp.Secrets}},
		{"version", &rp.Version},
		{"updated_at", millis{&rp.UpdatedAt}},
	}
}

// RP returns one.
func (s *SQL) RP(ctx context.Context, id string) (RP, error) {
	rp, err := one(ctx, s, s.rpColumns, `FROM oxd_rp WHERE id = $1`, id)
	return rp, reading("oxd "+id, err)
}

// SetupRP finds the setup client of that client_id.
func (s *SQL) SetupRP(ctx context.Context, issuer, clientID string) (RP, error) {
	rp, err := one(ctx, s, s.rpColumns, `FROM oxd_rp WHERE setup = 1 AND issuer = $1 AND client_id = $2
		ORDER BY updated_at DESC LIMIT 1`, issuer, clientID)
	return rp, reading("oxd "+clientID, err)
}

// RPs lists all, by id.
func (s *SQL) RPs(ctx context.Context) ([]RP, error) {
	rps, err := list(ctx, s, s.rpColumns, `FROM oxd_rp ORDER BY id`)
	return rps, reading("oxd", err)
}

// PutRP writes a new RP (Version 0) or the next version of one: ErrChanged when it is no
// longer, or not yet, the one that was read. It returns the new version.
func (s *SQL) PutRP(ctx context.Context, rp RP) (version int64, err error) {
	before := rp.Version
	rp.Version++
	c := s.rpColumns(&rp)
	statement := c.insert("oxd_rp") + ` ON CONFLICT (id) DO NOTHING`
	if before > 0 {
		statement = c.update("oxd_rp", 1) + fmt.Sprintf(` AND version = $%d`, len(c)+1)
	}
	err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		values, err := c.values()
		if err != nil {
			return err
		}
		if before > 0 {
			values = append(values, before)
		}
		return changing(ctx, tx, ErrChanged, statement, values...)
	})
	return rp.Version, writing("oxd "+rp.ID, err)
}

// DeleteRP deletes it with its temporary state, with what it protects, and with everything that is
// kept of its site: what is left at the AS is nobody's then.
func (s *SQL) DeleteRP(ctx context.Context, id string, site Key) error {
	return writing("oxd "+id, s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
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

func (s *SQL) temporaryColumns(m *TemporaryState) columns {
	place := func() string { return temporaryPlace(m.Kind, m.ID) }
	return columns{
		{"kind", &m.Kind},
		{"id", &m.ID},
		{"oxd_id", &m.OxdID},
		{"value", sealed{s.keys, place, &m.Value}},
		{"expires_at", millis{&m.ExpiresAt}},
	}
}

// PutTemporaryState writes or replaces one, and forgets those that have expired at now.
func (s *SQL) PutTemporaryState(ctx context.Context, m TemporaryState, now time.Time) error {
	err := s.quietly(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM oxd_memo WHERE expires_at <= $1`, toMillis(now)); err != nil {
			return err
		}
		return upsert(ctx, tx, "oxd_memo", 2, s.temporaryColumns(&m))
	})
	return writing("oxd "+m.OxdID, err)
}

// TemporaryState reads one that has not expired at now.
func (s *SQL) TemporaryState(ctx context.Context, kind, id string, now time.Time) (TemporaryState, error) {
	m, err := one(ctx, s, s.temporaryColumns, `FROM oxd_memo WHERE kind = $1 AND id = $2 AND expires_at > $3`, kind, id, toMillis(now))
	return m, reading("oxd "+kind, err)
}

// TakeTemporaryState reads and deletes: of those who ask at the same time, one gets it.
func (s *SQL) TakeTemporaryState(ctx context.Context, kind, id string, now time.Time) (TemporaryState, error) {
	var m TemporaryState
	c := s.temporaryColumns(&m)
	err := s.scan(ctx, c, `DELETE FROM oxd_memo WHERE kind = $1 AND id = $2 RETURNING `+c.names(), kind, id)
	if err == nil && !m.ExpiresAt.After(now) {
		err = sql.ErrNoRows
	}
	if err != nil {
		return TemporaryState{}, reading("oxd "+kind, err)
	}
	return m, nil
}
