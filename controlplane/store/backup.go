package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
)

// backupFormat is the version of the form that [SQL.Backup] writes: one JSON
// document to a line. The first is a backupHeader; then, for each table, a
// backupTable and an array for each of its rows; the last is a backupEnd.
const backupFormat = 1

type backupHeader struct {
	Umagate   string    `json:"umagate_backup"` // the release that wrote it
	Format    int       `json:"format"`
	Schema    int64     `json:"schema"`
	CreatedAt time.Time `json:"created_at"`
	// Key is the sealing key, where the operator asked for it to be there.
	Key string `json:"key,omitempty"`
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	Rows    int      `json:"rows"`
}

// backupEnd tells a whole backup from one that was cut short or damaged. It is no
// proof of where it comes from.
type backupEnd struct {
	SHA256 string `json:"sha256"` // of every byte before this line
}

// blob is how bytes are written, to tell them from texts.
type blob struct {
	Bytes []byte `json:"bytes"`
}

// BackupOptions is what [SQL.Backup] needs to know.
type BackupOptions struct {
	// Version is the release, for the header.
	Version string
	// WithKey puts the sealing key into the backup: whoever has the file can read
	// every secret in it.
	WithKey bool
}

// Contents counts what a backup has.
type Contents struct {
	Schema    int64          `json:"schema"`
	CreatedAt time.Time      `json:"created_at"`
	WithKey   bool           `json:"with_key"`
	Rows      map[string]int `json:"rows"`
}

// Total is the number of rows in all tables.
func (c Contents) Total() int {
	n := 0
	for _, rows := range c.Rows {
		n += rows
	}
	return n
}

// Backup writes all that the store has, as of one moment, whoever writes to it
// meanwhile. It does not depend on the database: what was written from SQLite can
// be restored into PostgreSQL. Secrets in it are sealed, as they are in the store.
func (s *SQL) Backup(ctx context.Context, to io.Writer, options BackupOptions) (_ Contents, err error) {
	tables, schema, err := newestSchema(ctx)
	if err != nil {
		return Contents{}, err
	}
	// PostgreSQL's default would show each table as of another moment; SQLite's
	// transaction sees one anyway.
	tx, err := s.db.BeginTx(ctx, s.snapshot)
	if err != nil {
		return Contents{}, fmt.Errorf("store: back up: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	out := Contents{Schema: schema, CreatedAt: time.Now().UTC().Truncate(time.Second), WithKey: options.WithKey, Rows: map[string]int{}}
	w := newBackupWriter(to)
	header := backupHeader{Umagate: options.Version, Format: backupFormat, Schema: schema, CreatedAt: out.CreatedAt}
	if options.WithKey {
		if err := s.useKey(ctx, tx); err != nil {
			return out, err
		}
		header.Key = s.keys.used().Key().Reveal()
	}
	w.line(header)
	for _, t := range tables {
		if out.Rows[t.name], err = w.table(ctx, tx, t); err != nil {
			return out, fmt.Errorf("store: back up table %s: %w", t.name, err)
		}
	}
	return out, w.end()
}

// backupWriter writes lines and sums them up. The first error is kept.
type backupWriter struct {
	to  *bufio.Writer
	sum hash.Hash
	err error
}

func newBackupWriter(to io.Writer) *backupWriter {
	sum := sha256.New()
	return &backupWriter{to: bufio.NewWriter(io.MultiWriter(to, sum)), sum: sum}
}

func (w *backupWriter) line(v any) {
	data, err := json.Marshal(v)
	if err == nil && w.err == nil {
		_, err = w.to.Write(append(data, '\n'))
	}
	w.err = errors.Join(w.err, err)
}

func (w *backupWriter) end() error {
	w.err = errors.Join(w.err, w.to.Flush())
	w.line(backupEnd{SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	if err := errors.Join(w.err, w.to.Flush()); err != nil {
		return fmt.Errorf("store: write the backup: %w", err)
	}
	return nil
}

func (w *backupWriter) table(ctx context.Context, tx *sql.Tx, t table) (n int, err error) {
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+quoted(t.name)).Scan(&n); err != nil {
		return 0, err
	}
	w.line(backupTable{Table: t.name, Columns: t.columns, Rows: n})
	err = eachRow(ctx, tx, t, func(row []any) error {
		for i, value := range row {
			if b, ok := value.([]byte); ok {
				row[i] = blob{Bytes: b}
			}
		}
		w.line(row)
		return w.err
	})
	return n, err
}

// eachRow reads a table in the order of its columns, so that the same content is
// written alike.
func eachRow(ctx context.Context, from interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, t table, use func(row []any) error,
) (err error) {
	names := quotedAll(t.columns)
	rows, err := from.QueryContext(ctx, `SELECT `+names+` FROM `+quoted(t.name)+` ORDER BY `+names)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		row, into := make([]any, len(t.columns)), make([]any, len(t.columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := use(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// quoted is a name of the schema's own, for a statement.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quotedAll(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quoted(n)
	}
	return strings.Join(out, ", ")
}
