package store

import (
	"context"
	"encoding/json"
	"time"
)

// Protection is what an application protects by the protocol of oxd. The ids of
// its resources are records of [SQL.Resources].
type Protection struct {
	OxdID string
	// Document is what package oxd/protection keeps of it.
	Document json.RawMessage
	// Settled says that the authorization server has all of it.
	Settled bool
	// CreatedAt is when the application protected something first.
	CreatedAt, UpdatedAt time.Time
}

func (s *SQL) protectionColumns(p *Protection) columns {
	return columns{
		{"oxd_id", &p.OxdID},
		{"document", document{&p.Document}},
		{"settled", flag{&p.Settled}},
		{"created_at", millis{&p.CreatedAt}},
		{"updated_at", millis{&p.UpdatedAt}},
	}
}

// Protection returns what an RP protects.
func (s *SQL) Protection(ctx context.Context, oxdID string) (Protection, error) {
	p, err := one(ctx, s, s.protectionColumns, `FROM oxd_protection WHERE oxd_id = $1`, oxdID)
	return p, reading("protection of oxd "+oxdID, err)
}

// Protections lists all, the earliest first.
func (s *SQL) Protections(ctx context.Context) ([]Protection, error) {
	out, err := list(ctx, s, s.protectionColumns, `FROM oxd_protection ORDER BY created_at, oxd_id`)
	return out, reading("protections", err)
}

// PutProtection writes or replaces one; the time of its creation stays. It goes with the
// RP ([SQL.DeleteRP]).
func (s *SQL) PutProtection(ctx context.Context, p Protection) error {
	p.CreatedAt = p.UpdatedAt
	c := s.protectionColumns(&p)
	values, err := c.values()
	if err != nil {
		return err
	}
	return writing("protection of oxd "+p.OxdID, s.change(ctx, execute(c.insert("oxd_protection")+`
		ON CONFLICT (oxd_id) DO UPDATE SET document = excluded.document, settled = excluded.settled, updated_at = excluded.updated_at`, values...)))
}
