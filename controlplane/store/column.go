package store

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// column is a column of a table, with the field of a record that is read from it and
// written to it: a pointer to a text or a number, or one of the types below.
type column struct {
	name  string
	field any
}

// columns are those of one record. Statements are made of them, so that the columns of
// a table stand in one place.
type columns []column

func (c columns) names() string {
	names := make([]string, len(c))
	for i := range c {
		names[i] = c[i].name
	}
	return strings.Join(names, ", ")
}

// targets is what a row is scanned into.
func (c columns) targets() []any {
	out := make([]any, len(c))
	for i := range c {
		out[i] = c[i].field
	}
	return out
}

// values is what is written.
func (c columns) values() (_ []any, err error) {
	out := make([]any, len(c))
	for i := range c {
		if out[i], err = driver.DefaultParameterConverter.ConvertValue(c[i].field); err != nil {
			return nil, fmt.Errorf("store: column %s: %w", c[i].name, err)
		}
	}
	return out, nil
}

// insert is the statement that adds a row of these values.
func (c columns) insert(table string) string {
	return `INSERT INTO ` + table + ` (` + c.names() + `) VALUES (` + placeholders(len(c)) + `)`
}

// upsert is the statement that adds a row, or replaces the one that is the same in its
// first unique columns.
func (c columns) upsert(table string, unique int) string {
	var set []string
	for _, other := range c[unique:] {
		set = append(set, other.name+` = excluded.`+other.name)
	}
	return c.insert(table) + ` ON CONFLICT (` + c[:unique].names() + `) DO UPDATE SET ` + strings.Join(set, ", ")
}

// update is the statement that changes the row that is the same in its first unique
// columns.
func (c columns) update(table string, unique int) string {
	terms := make([]string, len(c))
	for i := range c {
		terms[i] = fmt.Sprintf("%s = $%d", c[i].name, i+1)
	}
	return `UPDATE ` + table + ` SET ` + strings.Join(terms[unique:], ", ") + ` WHERE ` + strings.Join(terms[:unique], " AND ")
}

// placeholders is "$1, $2, …".
func placeholders(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(out, ", ")
}

// list reads the records that a SELECT finds, of which rest is what follows the
// columns. bind returns the columns of a record.
func list[T any](ctx context.Context, s *SQL, bind func(*T) columns, rest string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT `+bind(new(T)).names()+` `+rest, args...) //nolint:gosec // names of the schema's own
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		var record T
		if err := rows.Scan(bind(&record).targets()...); err != nil {
			return nil, err
		}
		out = append(out, record)
	}
	return out, rows.Err()
}

// one is list for one record: sql.ErrNoRows where there is none.
func one[T any](ctx context.Context, s *SQL, bind func(*T) columns, rest string, args ...any) (T, error) {
	var record, none T
	c := bind(&record)
	if err := s.scan(ctx, c, `SELECT `+c.names()+` `+rest, args...); err != nil {
		return none, err
	}
	return record, nil
}

// scan reads the row that a statement gives.
func (s *SQL) scan(ctx context.Context, c columns, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.db.QueryRowContext(ctx, statement, args...).Scan(c.targets()...)
}

// millis is a time, kept in milliseconds since 1970; 0 for none.
type millis struct{ at *time.Time }

func (m millis) Value() (driver.Value, error) { return toMillis(*m.at), nil }

func (m millis) Scan(from any) error {
	ms, ok := from.(int64)
	if !ok {
		return fmt.Errorf("a time of type %T", from)
	}
	*m.at = fromMillis(ms)
	return nil
}

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// flag is a truth value, kept as 0 or 1.
type flag struct{ set *bool }

func (f flag) Value() (driver.Value, error) {
	if *f.set {
		return int64(1), nil
	}
	return int64(0), nil
}

func (f flag) Scan(from any) error {
	*f.set = from != int64(0)
	return nil
}

// document is a JSON document, kept byte for byte.
type document struct{ raw *json.RawMessage }

func (d document) Value() (driver.Value, error) { return string(*d.raw), nil }

func (d document) Scan(from any) error {
	*d.raw = json.RawMessage(text(from))
	return nil
}

// encoded is a value that is kept in JSON.
type encoded struct{ value any }

func (e encoded) Value() (driver.Value, error) {
	data, err := json.Marshal(e.value)
	return string(data), err
}

func (e encoded) Scan(from any) error { return json.Unmarshal([]byte(text(from)), e.value) }

// text is a text as the drivers give it.
func text(from any) string {
	if data, ok := from.([]byte); ok {
		return string(data)
	}
	s, _ := from.(string)
	return s
}

// digest is a SHA-256.
type digest struct{ sum *[sha256.Size]byte }

func (d digest) Value() (driver.Value, error) { return d.sum[:], nil }

func (d digest) Scan(from any) error {
	data, _ := from.([]byte)
	if copy(d.sum[:], data) != len(d.sum) {
		return fmt.Errorf("a digest of %d bytes", len(data))
	}
	return nil
}

// sealed is a secret, kept sealed. Columns that its place depends on are scanned
// before it.
type sealed struct {
	keys   *keyring
	place  func() string
	secret *secret.Text
}

func (s sealed) Value() (driver.Value, error) { return s.keys.seal(s.place(), *s.secret), nil }

func (s sealed) Scan(from any) (err error) {
	data, _ := from.([]byte)
	*s.secret, err = s.keys.open(s.place(), data)
	return err
}
