package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// removalsTold is how many removals are told at least, and half of how many at most.
const removalsTold = 500

// Removal is a registration of an instance that has ended.
type Removal struct{ Site, Name, ID string }

// Removals implements [Instances].
func (s *SQL) Removals(ctx context.Context) (list []Removal, generation int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM instance_removal`).Scan(&generation); err != nil {
		return nil, 0, removalError("read", err)
	}
	generation = told(generation)
	rows, err := s.db.QueryContext(ctx, `SELECT site, name, id FROM instance_removal WHERE seq > $1 ORDER BY seq`, generation)
	if err != nil {
		return nil, 0, removalError("read", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r Removal
		if err := rows.Scan(&r.Site, &r.Name, &r.ID); err != nil {
			return nil, 0, removalError("read", err)
		}
		list = append(list, r)
	}
	return list, generation, removalError("read", rows.Err())
}

// told is the last removal before those that are told.
func told(last int64) int64 { return max(0, (last/removalsTold-1)*removalsTold) }

// removing changes an instance by do, and notes that what was registered of it has
// ended.
func (s *SQL) removing(ctx context.Context, key Key, name string, now time.Time, do string, args ...any) error {
	return s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		of := []any{key.Site, key.Issuer, name}
		if _, err := tx.ExecContext(ctx, `INSERT INTO instance_removal (seq, site, name, id, removed_at)
			SELECT (SELECT COALESCE(MAX(seq), 0) + 1 FROM instance_removal), site, name, id, $4
			FROM instance WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $5 AND id <> ''`,
			append(of, toMillis(now), string(InstanceRegistered))...); err != nil {
			return removalError("write", err)
		}
		var last int64
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM instance_removal`).Scan(&last); err != nil {
			return removalError("read", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM instance_removal WHERE seq <= $1`, told(last)); err != nil {
			return removalError("delete", err)
		}
		_, err := tx.ExecContext(ctx, do, append(of, args...)...)
		return writing("instance", key, err)
	})
}

func removalError(verb string, err error) error {
	if err != nil {
		return fmt.Errorf("store: %s removals of instances: %w", verb, err)
	}
	return nil
}
