package store

import (
	"context"
	"database/sql"
	"time"
)

// LostKind is what became of a registration that the AS lost.
type LostKind string

// The kinds.
const (
	// LostPolicies: the resource was registered anew, under another id, so that policies on
	// the one before do not count.
	LostPolicies LostKind = "policies"
	// LostInstance: the instance is not registered any more, since nothing declares it.
	LostInstance LostKind = "instance"
)

// Lost is a registration that the AS lost, until somebody acknowledges it.
type Lost struct {
	Name string
	Kind LostKind
	At   time.Time
}

func (l *Lost) columns() columns {
	return columns{{"name", &l.Name}, {"kind", &l.Kind}, {"at", millis{&l.At}}}
}

// Lost lists what a site's AS lost, by name.
func (s *SQL) Lost(ctx context.Context, key Key) ([]Lost, error) {
	out, err := list(ctx, s, (*Lost).columns, `FROM lost_registration`+ofSite+` ORDER BY name`, key.Site, key.Issuer)
	return out, reading(key.of("lost registrations"), err)
}

// PutLost notes one.
func (s *SQL) PutLost(ctx context.Context, key Key, l Lost) error {
	return writing(key.of("lost registrations"), s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return upsert(ctx, tx, "lost_registration", 3, append(siteColumns(&key), l.columns()...))
	}))
}

// DeleteLost forgets one; ErrNotFound.
func (s *SQL) DeleteLost(ctx context.Context, key Key, name string) error {
	return writing(key.of("lost registrations"), s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return changing(ctx, tx, ErrNotFound, `DELETE FROM lost_registration`+ofSite+` AND name = $3`, key.Site, key.Issuer, name)
	}))
}
