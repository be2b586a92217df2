package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/umagate/umagate/controlplane/secret"
)

//go:embed migrations
var migrations embed.FS

// Open opens the store that location names, "sqlite:PATH" or "postgres://…", as
// umagate.yaml has it. A relative PATH starts in dir. The store may be sealed with any of
// the keys, see [Rekey]; a new one is sealed with the first. Empty ones do not count, and
// for SQLite there may be none, see [OpenSQLite]. Close the store when done.
func Open(ctx context.Context, location secret.Text, dir string, keys ...secret.Text) (*SQL, error) {
	path, ok := strings.CutPrefix(location.Reveal(), "sqlite:")
	if !ok {
		return OpenPostgres(ctx, location, keys...)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return OpenSQLite(ctx, path, keys...)
}

// Read opens the same store for reading only, see [ReadSQLite].
func Read(ctx context.Context, location secret.Text, dir string, keys ...secret.Text) (*SQL, error) {
	path, ok := strings.CutPrefix(location.Reveal(), "sqlite:")
	if !ok {
		return ReadPostgres(ctx, location, keys...)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return ReadSQLite(ctx, path, keys...)
}

// open migrates the database and checks the key.
func open(ctx context.Context, db *sql.DB, dialect goose.Dialect, folder string, keys *keyring, options ...goose.ProviderOption) (*SQL, error) {
	provider, err := newProvider(dialect, folder, db, options...)
	if err != nil {
		return nil, err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: read the schema's version: %w", err)
	}
	if current > target {
		return nil, fmt.Errorf("schema %d, this umagate knows %d: %w", current, target, ErrNewerSchema)
	}
	if current < target {
		if _, err := provider.Up(ctx); err != nil {
			return nil, fmt.Errorf("store: migrate: %w", err)
		}
	}
	s := &SQL{db: db, keys: keys}
	if err := s.checkKey(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func newProvider(dialect goose.Dialect, folder string, db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db, files, append(options, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	return provider, nil
}
