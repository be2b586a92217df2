package store

import (
	"context"
	"database/sql"
	"time"
)

// removalsTold is how many removals are told at least, and half of how many at most.
const removalsTold = 500

// Removal is a registration of an instance that has ended.
type Removal struct{ Site, Name, ID string }

// Removals lists the registrations that have ended, the last one last: the newest 500
// at least, where there are as many. earlier is how many more there were. [SQL.Changes]
// tells of another.
func (s *SQL) Removals(ctx context.Context) (removals []Removal, earlier int64, err error) {
	last, err := one(ctx, s, func(n *int64) columns { return columns{{"COALESCE(MAX(seq), 0)", n}} }, `FROM instance_removal`)
	if err != nil {
		return nil, 0, reading("removals of instances", err)
	}
	earlier = told(last)
	removals, err = list(ctx, s, func(r *Removal) columns { return columns{{"site", &r.Site}, {"name", &r.Name}, {"id", &r.ID}} },
		`FROM instance_removal WHERE seq > $1 ORDER BY seq`, earlier)
	return removals, earlier, reading("removals of instances", err)
}

// told is the last removal before those that are told.
func told(last int64) int64 { return max(0, (last/removalsTold-1)*removalsTold) }

// removing changes an instance by do, and notes that what was registered of it has
// ended.
func (s *SQL) removing(ctx context.Context, key Key, name string, now time.Time, do string, args ...any) error {
	of := []any{key.Site, key.Issuer, name}
	err := s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO instance_removal (seq, site, name, id, removed_at)
			SELECT (SELECT COALESCE(MAX(seq), 0) + 1 FROM instance_removal), site, name, id, $4
			FROM instance WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $5 AND id <> ''`,
			append(of, toMillis(now), string(InstanceRegistered))...); err != nil {
			return err
		}
		var last int64
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM instance_removal`).Scan(&last); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM instance_removal WHERE seq <= $1`, told(last)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, do, append(of, args...)...)
		return err
	})
	return writing(key.of("instance"), err)
}
