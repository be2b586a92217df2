package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenAgain is the wait before another session listens for one that has ended.
const listenAgain = time.Second

// Watch calls changed soon after each write of any process, until ctx ends. It may
// call it without reason, and after a lost session it does so once. It is no promise:
// who needs to know asks [Store.Changes] now and then. SQLite has one process that
// writes, and nobody to tell.
func (s *SQL) Watch(ctx context.Context, changed func()) {
	if s.session == nil {
		<-ctx.Done()
		return
	}
	for ctx.Err() == nil {
		// Why it ended is no news: the next try tells, and whoever polls does meanwhile.
		_ = s.listen(ctx, changed)
		timer := time.NewTimer(listenAgain)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (s *SQL) listen(ctx context.Context, changed func()) (err error) {
	conn, err := pgx.ConnectConfig(ctx, s.session.Copy())
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
		defer cancel()
		err = errors.Join(err, conn.Close(closing))
	}()
	var schema string
	if err := conn.QueryRow(ctx, `SELECT current_schema()`).Scan(&schema); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{"umagate_" + schema}.Sanitize()); err != nil {
		return err
	}
	changed()
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		changed()
	}
}

// Leader is who leads, as it called itself.
type Leader struct {
	Name  string
	Since time.Time
}

// Leader implements [Store].
func (s *SQL) Leader(ctx context.Context) (Leader, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var l Leader
	var since int64
	err := s.db.QueryRowContext(ctx, `SELECT name, since FROM leader WHERE one = 1`).Scan(&l.Name, &since)
	if errors.Is(err, sql.ErrNoRows) {
		return l, ErrNotFound
	}
	if err != nil {
		return l, fmt.Errorf("store: read who leads: %w", err)
	}
	l.Since = fromMillis(since)
	return l, nil
}

// PutLeader implements [Store].
func (s *SQL) PutLeader(ctx context.Context, l Leader) error {
	return s.write(ctx, "the leader", Key{}, `INSERT INTO leader (one, name, since) VALUES (1, $1, $2)
		ON CONFLICT (one) DO UPDATE SET name = excluded.name, since = excluded.since`, l.Name, toMillis(l.Since))
}

// GuardedHosts implements [Store].
func (s *SQL) GuardedHosts(ctx context.Context) (_ map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT host, site FROM guarded_host`)
	if err != nil {
		return nil, reading("guarded hosts", Key{}, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out := map[string]string{}
	for rows.Next() {
		var host, site string
		if err := rows.Scan(&host, &site); err != nil {
			return nil, reading("guarded hosts", Key{}, err)
		}
		out[host] = site
	}
	return out, reading("guarded hosts", Key{}, rows.Err())
}

// PutGuardedHost implements [Store].
func (s *SQL) PutGuardedHost(ctx context.Context, host, site string) error {
	return s.write(ctx, "guarded hosts", Key{Site: site}, `INSERT INTO guarded_host (host, site) VALUES ($1, $2)
		ON CONFLICT (host) DO UPDATE SET site = excluded.site`, host, site)
}

// DeleteGuardedHost implements [Store].
func (s *SQL) DeleteGuardedHost(ctx context.Context, host string) error {
	return s.write(ctx, "guarded hosts", Key{}, `DELETE FROM guarded_host WHERE host = $1`, host)
}
