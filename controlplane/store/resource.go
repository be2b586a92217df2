package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// ResourceState says how far a resource's registration has come.
type ResourceState string

// The states of a resource.
const (
	// ResourcePending: its creation was announced, and no answer is recorded.
	ResourcePending ResourceState = "pending"
	// ResourceRegistered: it has an id at the AS, and is ours.
	ResourceRegistered ResourceState = "registered"
)

// Resource is one resource registration.
type Resource struct {
	Name  string
	State ResourceState
	// ID is the resource_id; empty while pending.
	ID string
	// Spec is what was registered, in the form that package reconcile gives it.
	Spec      json.RawMessage
	UpdatedAt time.Time
}

func (s *SQL) resourceColumns(r *Resource) columns {
	return columns{
		{"name", &r.Name},
		{"state", &r.State},
		{"id", &r.ID},
		{"spec", document{&r.Spec}},
		{"updated_at", millis{&r.UpdatedAt}},
	}
}

// Resources lists the records of a key by name.
func (s *SQL) Resources(ctx context.Context, key Key) ([]Resource, error) {
	records, err := list(ctx, s, s.resourceColumns, `FROM resource`+ofSite+` ORDER BY name`, key.Site, key.Issuer)
	return records, reading(key.of("resources"), err)
}

// sitesOfResource finds the sites that have a resource_id.
const sitesOfResource = `FROM resource WHERE issuer = $1 AND id = $2 AND id <> ''
	UNION SELECT site FROM instance WHERE issuer = $1 AND id = $2 AND id <> ''`

// ResourceSites lists the sites that have a resource_id of an issuer, as a resource
// or an instance of one.
func (s *SQL) ResourceSites(ctx context.Context, issuer, id string) ([]string, error) {
	sites, err := list(ctx, s, named("site"), sitesOfResource+` ORDER BY site`, issuer, id)
	return sites, reading("the sites of resource "+id, err)
}

// PutResource writes or replaces a record; [ErrTaken] when another site has one of
// that resource_id. Of those who write at the same time, one has it: writes exclude
// each other, so that what another site has taken is seen.
func (s *SQL) PutResource(ctx context.Context, key Key, r Resource) error {
	return s.write(ctx, key, "resource", func(ctx context.Context, tx *sql.Tx) error {
		var taken int64
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT site `+sitesOfResource+`) AS sites WHERE site <> $3`,
			key.Issuer, r.ID, key.Site).Scan(&taken)
		if err != nil {
			return err
		}
		if taken > 0 {
			return fmt.Errorf("%w: %s", ErrTaken, r.ID)
		}
		return upsert(ctx, tx, "resource", 3, append(siteColumns(&key), s.resourceColumns(&r)...))
	})
}

// DeleteResource deletes a record.
func (s *SQL) DeleteResource(ctx context.Context, key Key, name string) error {
	return s.write(ctx, key, "resource", execute(`DELETE FROM resource`+ofSite+` AND name = $3`, key.Site, key.Issuer, name))
}

// Keys lists every key that has a client or a resource.
func (s *SQL) Keys(ctx context.Context) ([]Key, error) {
	keys, err := list(ctx, s, siteColumns,
		`FROM client WHERE state <> $1 UNION SELECT site, issuer FROM resource ORDER BY site, issuer`, ClientDeregistered)
	return keys, reading("keys", err)
}
