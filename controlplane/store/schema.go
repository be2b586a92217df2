package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
)

// unsaved are tables that say nothing of what is registered: a store that has rows
// in these alone is empty.
var unsaved = map[string]bool{"seal": true, "change": true, "leader": true, "replica": true}

// table is one of the schema's.
type table struct {
	name    string
	columns []string
}

// memory is a database in memory that the migrations up to version have made; to
// the newest with 0. What the schema has is asked of it, so that a backup can
// forget no table.
func memory(ctx context.Context, version int64) (_ *sql.DB, provider *goose.Provider, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	db.SetMaxOpenConns(1) // each would have a database of its own
	if provider, err = newProvider(goose.DialectSQLite3, "sqlite", db); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	if version == 0 {
		_, err = provider.Up(ctx)
	} else {
		_, err = provider.UpTo(ctx, version)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("store: make the schema: %w", err), db.Close())
	}
	return db, provider, nil
}

// tablesOf lists the tables of a database in memory, those that others refer to
// first.
func tablesOf(ctx context.Context, db *sql.DB) ([]table, error) {
	names, err := texts(ctx, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version' ORDER BY rowid`)
	if err != nil {
		return nil, fmt.Errorf("store: list the tables: %w", err)
	}
	out := make([]table, 0, len(names))
	for _, name := range names {
		columns, err := texts(ctx, db, `SELECT name FROM pragma_table_info($1) ORDER BY cid`, name)
		if err != nil {
			return nil, fmt.Errorf("store: list the columns of %s: %w", name, err)
		}
		out = append(out, table{name: name, columns: columns})
	}
	return out, nil
}

func texts(ctx context.Context, db *sql.DB, query string, args ...any) (out []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// newestSchema is the tables that this umagate knows, and the schema's version.
func newestSchema(ctx context.Context) (tables []table, version int64, err error) {
	db, provider, err := memory(ctx, 0)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, version, err = provider.GetVersions(ctx); err != nil {
		return nil, 0, fmt.Errorf("store: read the schema's version: %w", err)
	}
	tables, err = tablesOf(ctx, db)
	return tables, version, err
}
