package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/umagate/umagate/controlplane/secret"
)

var (
	// ErrNoBackup: the file is no backup, or not a whole one.
	ErrNoBackup = errors.New("store: not a whole backup of umagate; take another, or copy it again")
	// ErrNotEmpty: a restore would replace what the store has.
	ErrNotEmpty = errors.New("store: the store is not empty; --force keeps a copy of it and puts the backup in its place")
)

// maxLine bounds one row of a backup.
const maxLine = 64 << 20

// Backup is a backup that was read whole: it is what its checksum says, and it
// fits the schema. Close it when done.
type Backup struct {
	Contents Contents
	// Key is the sealing key; zero when it is not in the backup.
	Key secret.Text

	db     *sql.DB // in memory, with the newest schema
	tables []table
	seal   []byte
}

// ReadBackup reads what [SQL.Backup] wrote, also an earlier release's.
func ReadBackup(ctx context.Context, from io.Reader) (_ *Backup, err error) {
	r := &backupReader{lines: bufio.NewScanner(from), sum: sha256.New()}
	r.lines.Buffer(nil, maxLine)
	var header backupHeader
	if err := r.next(&header); err != nil {
		return nil, err
	}
	_, newest, err := newestSchema(ctx)
	switch {
	case err != nil:
		return nil, err
	case header.Format == 0:
		return nil, fmt.Errorf("the first line: %w", ErrNoBackup)
	case header.Format > backupFormat, header.Schema > newest:
		return nil, fmt.Errorf("the backup is of umagate %s, format %d and schema %d, this one knows %d and %d: %w",
			header.Umagate, header.Format, header.Schema, backupFormat, newest, ErrNewerSchema)
	}
	db, provider, err := memory(ctx, header.Schema)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	b := &Backup{db: db, Contents: Contents{Schema: header.Schema, CreatedAt: header.CreatedAt, WithKey: header.Key != "", Rows: map[string]int{}}}
	if header.Key != "" {
		b.Key = secret.New(header.Key)
	}
	if err := b.fill(ctx, r); err != nil {
		return nil, err
	}
	// Rows of an earlier schema become what the migrations make of them.
	if _, err := provider.Up(ctx); err != nil {
		return nil, fmt.Errorf("store: bring the backup up to date: %w", err)
	}
	if b.tables, err = tablesOf(ctx, db); err != nil {
		return nil, err
	}
	err = db.QueryRowContext(ctx, `SELECT check_value FROM seal WHERE one = 1`).Scan(&b.seal)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("store: read the backup: %w", err)
	}
	return b, nil
}

// Close frees what the backup needs.
func (b *Backup) Close() error { return b.db.Close() }

// fill takes over the tables. What the migrations put into them is of the backup's
// own.
func (b *Backup) fill(ctx context.Context, r *backupReader) (err error) {
	tables, err := tablesOf(ctx, b.db)
	if err != nil {
		return err
	}
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: read the backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // what failed is told already
		}
	}()
	for {
		line, err := r.line()
		if err != nil {
			return err
		}
		var next struct {
			backupTable
			backupEnd
		}
		if err := json.Unmarshal(line, &next); err != nil {
			return fmt.Errorf("line %d: %w", r.number, ErrNoBackup)
		}
		if next.SHA256 != "" {
			if err := r.whole(next.SHA256); err != nil {
				return err
			}
			return tx.Commit()
		}
		i := slices.IndexFunc(tables, func(t table) bool { return t.name == next.Table })
		if i < 0 || !slices.Equal(slices.Sorted(slices.Values(tables[i].columns)), slices.Sorted(slices.Values(next.Columns))) {
			return fmt.Errorf("line %d: table %q is not as schema %d has it: %w", r.number, next.Table, b.Contents.Schema, ErrNoBackup)
		}
		t := table{name: next.Table, columns: next.Columns}
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+quoted(t.name)); err != nil { //nolint:gosec // a name of the schema's own
			return fmt.Errorf("store: read the backup: %w", err)
		}
		if err := r.rows(ctx, tx, t, next.Rows); err != nil {
			return err
		}
		b.Contents.Rows[t.name] = next.Rows
	}
}

// insertInto is the statement that adds one row.
func insertInto(t table, overriding string) string {
	return `INSERT INTO ` + quoted(t.name) + ` (` + quotedAll(t.columns) + `)` + overriding + ` VALUES (` + placeholders(len(t.columns)) + `)`
}

// backupReader reads lines and sums them up.
type backupReader struct {
	lines  *bufio.Scanner
	number int
	sum    hash.Hash
	before []byte // the sum of every line before the last one read
}

func (r *backupReader) line() ([]byte, error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return nil, fmt.Errorf("store: read the backup: %w", err)
		}
		return nil, fmt.Errorf("it ends after line %d: %w", r.number, ErrNoBackup)
	}
	r.number++
	r.before = r.sum.Sum(nil)
	_, _ = r.sum.Write(r.lines.Bytes())
	_, _ = r.sum.Write([]byte{'\n'})
	return r.lines.Bytes(), nil
}

// next reads a line into v, numbers as they are written.
func (r *backupReader) next(v any) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("line %d: %w", r.number, ErrNoBackup)
	}
	return nil
}

// whole compares the checksum of the last line, and sees that it is the last.
func (r *backupReader) whole(sum string) error {
	if sum != hex.EncodeToString(r.before) {
		return fmt.Errorf("its checksum is another: %w", ErrNoBackup)
	}
	if r.lines.Scan() {
		return fmt.Errorf("it goes on after its end: %w", ErrNoBackup)
	}
	return nil
}

func (r *backupReader) rows(ctx context.Context, tx *sql.Tx, t table, n int) error {
	if n == 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx, insertInto(t, ""))
	if err != nil {
		return fmt.Errorf("store: read the backup: %w", err)
	}
	defer func() { _ = insert.Close() }()
	for range n {
		var row []any
		if err := r.next(&row); err != nil {
			return err
		}
		if len(row) != len(t.columns) {
			return fmt.Errorf("line %d: %w", r.number, ErrNoBackup)
		}
		for i := range row {
			if row[i], err = restored(row[i]); err != nil {
				return fmt.Errorf("line %d: %w", r.number, err)
			}
		}
		if _, err := insert.ExecContext(ctx, row...); err != nil {
			return fmt.Errorf("line %d: %w: %w", r.number, ErrNoBackup, err)
		}
	}
	return nil
}

// restored returns a value as it was in the database.
func restored(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, bool:
		return v, nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		text, ok := v["bytes"].(string)
		if data, err := base64.StdEncoding.DecodeString(text); ok && err == nil {
			return data, nil
		}
	}
	return nil, ErrNoBackup
}
