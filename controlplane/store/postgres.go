package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/umagate/umagate/controlplane/loopback"
	"github.com/umagate/umagate/controlplane/secret"
)

const (
	connectTimeout = 5 * time.Second
	connections    = 8 // of one process, besides those of locks
	idleConnection = 5 * time.Minute
	// idleConnections are kept for the next call.
	idleConnections = 2
	// versionTable is goose's, under a name that another program's does not have.
	versionTable = "umagate_schema"
)

// ErrURL says that the URL is not one that the driver takes. The cause is not told, since
// it may quote the password.
var ErrURL = errors.New("store: not a PostgreSQL URL; write postgres://USER:PASSWORD@HOST/DATABASE, with sslmode and sslrootcert as psql takes them")

// OpenPostgres connects to PostgreSQL 14 or newer and brings the schema up to
// date. The connection is encrypted and its certificate checked (sslmode
// verify-full) unless the URL says otherwise or the host is this machine. It must
// reach the server itself, or a pooler in session mode: leadership is a session's.
// Close the store when done.
func OpenPostgres(ctx context.Context, location secret.Text, keys ...secret.Text) (*SQL, error) {
	ring, config, err := postgresConfig(location, keys)
	if err != nil {
		return nil, err
	}
	// Replicas start together: one migrates, the others wait for it.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	db := connect(config)
	s, err := open(ctx, db, goose.DialectPostgres, "postgres", ring, goose.WithSessionLocker(locker), goose.WithTableName(versionTable))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name(config), err), db.Close())
	}
	s.postgres(config)
	return s, nil
}

// ReadPostgres connects for reading: nothing is made, migrated or written, and
// every method that writes fails. ErrNoDatabase: umagate has no tables there.
func ReadPostgres(ctx context.Context, location secret.Text, keys ...secret.Text) (*SQL, error) {
	ring, config, err := postgresConfig(location, keys)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["default_transaction_read_only"] = "on"
	s := &SQL{db: connect(config), keys: ring}
	s.postgres(config)
	if err := s.readable(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name(config), err), s.Close())
	}
	return s, nil
}

// postgres sets what is PostgreSQL's own.
func (s *SQL) postgres(config *pgx.ConnConfig) {
	s.locks, s.session = newSessionLocks(config), config
	s.keyring = func(keys []secret.Text) (*keyring, error) { return newKeyring(nil, keys...) }
	s.snapshot, s.overriding = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, " OVERRIDING SYSTEM VALUE"
}

func (s *SQL) readable(ctx context.Context) error {
	var exists bool
	if err := s.db.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, versionTable).Scan(&exists); err != nil {
		return fmt.Errorf("store: look for the tables: %w", err)
	}
	if !exists {
		return ErrNoDatabase
	}
	return s.checkReadable(ctx, goose.DialectPostgres, "postgres", goose.WithTableName(versionTable))
}

func postgresConfig(location secret.Text, keys []secret.Text) (*keyring, *pgx.ConnConfig, error) {
	ring, err := newKeyring(nil, keys...)
	if err != nil {
		return nil, nil, err
	}
	address, err := verifying(location.Reveal())
	if err != nil {
		return nil, nil, err
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, nil, ErrURL
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "umagate"
	}
	return ring, config, nil
}

func connect(config *pgx.ConnConfig) *sql.DB {
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(idleConnections)
	db.SetConnMaxIdleTime(idleConnection)
	return db
}

// name says which database it is, without user and password.
func name(config *pgx.ConnConfig) string {
	return fmt.Sprintf("PostgreSQL database %s at %s:%d", config.Database, config.Host, config.Port)
}

// verifying asks for a checked certificate where the URL leaves it open: libpq's
// own default falls back to plain text.
func verifying(location string) (string, error) {
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", ErrURL
	}
	query := u.Query()
	host := u.Hostname()
	if host == "" {
		host = query.Get("host")
	}
	local := strings.HasPrefix(host, "/") || loopback.IsHost(host)
	if !local && query.Get("sslmode") == "" {
		query.Set("sslmode", "verify-full")
		u.RawQuery = query.Encode()
	}
	return u.String(), nil
}
