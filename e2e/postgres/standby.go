package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Standby copies a running server with pg_basebackup, and runs the copy as its standby: it
// reads, and follows. Whoever started it must call [Server.Stop].
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	home, err := os.MkdirTemp("", "umagate-postgres-")
	if err != nil {
		return nil, fmt.Errorf("making PostgreSQL's folder: %w", err)
	}
	copied := &Server{folder: s.folder, home: home, LogFile: filepath.Join(home, "postgres.log")}
	if err := giveAway(home); err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.folder, "pg_basebackup"), "--pgdata", copied.data(), //nolint:gosec // what Find found
		"--dbname", s.URL("postgres"), "--write-recovery-conf", "--checkpoint", "fast", "--no-sync")
	cmd.SysProcAttr = attributes()
	cmd.Dir = home
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pg_basebackup: %w\n%s", err, out), os.RemoveAll(home))
	}
	if err := copied.run(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the standby: %w\n%s", err, copied.LastWords()), os.RemoveAll(home))
	}
	return copied, nil
}

// Promote makes a standby the primary.
func (s *Server) Promote(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.folder, "pg_ctl"), "promote", "--pgdata", s.data()) //nolint:gosec // what Find found
	cmd.SysProcAttr = attributes()
	cmd.Dir = s.home
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_ctl promote: %w\n%s", err, out)
	}
	return nil
}

// With is the URL of a database that is at one of two servers, whichever takes writes.
func (s *Server) With(other *Server, database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	u.Host = s.Address() + "," + other.Address()
	query := u.Query()
	query.Set("target_session_attrs", "read-write")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// Replicated waits until a standby has what this server has now.
func (s *Server) Replicated(ctx context.Context, standby *Server) error {
	from, err := sql.Open("pgx", s.URL("postgres"))
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // nothing was written
	to, err := sql.Open("pgx", standby.URL("postgres"))
	if err != nil {
		return err
	}
	defer to.Close() //nolint:errcheck // nothing was written
	var written string
	if err := from.QueryRowContext(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&written); err != nil {
		return fmt.Errorf("what was written: %w", err)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var replayed bool
		if err := to.QueryRowContext(ctx, `SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn`, written).Scan(&replayed); err != nil {
			return fmt.Errorf("what was replicated: %w", err)
		}
		if replayed {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
