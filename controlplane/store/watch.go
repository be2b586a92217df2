package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenAgain is the wait before another session listens for one that has ended.
const listenAgain = time.Second

// Watch calls changed soon after each write of any process, until ctx ends. It may
// call it without reason, and after a lost session it does so once. It is no promise:
// who needs to know asks [SQL.Changes] now and then. SQLite has one process that
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

func (s *SQL) leaderColumns(l *Leader) columns {
	return columns{{"name", &l.Name}, {"since", millis{&l.Since}}}
}

// Leader returns who leads, or led last.
func (s *SQL) Leader(ctx context.Context) (Leader, error) {
	l, err := one(ctx, s, s.leaderColumns, `FROM leader WHERE one = 1`)
	return l, reading("who leads", err)
}

// PutLeader is called by who leads.
func (s *SQL) PutLeader(ctx context.Context, l Leader) error {
	return s.write(ctx, Key{}, "leader", func(ctx context.Context, tx *sql.Tx) error {
		one := 1
		return upsert(ctx, tx, "leader", 1, append(columns{{"one", &one}}, s.leaderColumns(&l)...))
	})
}

// protectedHost is a host that a site has protected.
type protectedHost struct{ host, site string }

func (g *protectedHost) columns() columns { return columns{{"host", &g.host}, {"site", &g.site}} }

// ProtectedHosts maps each host that a site has protected to the site.
func (s *SQL) ProtectedHosts(ctx context.Context) (map[string]string, error) {
	protected, err := list(ctx, s, (*protectedHost).columns, `FROM guarded_host`)
	if err != nil {
		return nil, reading("protected hosts", err)
	}
	out := make(map[string]string, len(protected))
	for _, g := range protected {
		out[g.host] = g.site
	}
	return out, nil
}

// PutProtectedHost notes that a site has protected a host.
func (s *SQL) PutProtectedHost(ctx context.Context, host, site string) error {
	return s.write(ctx, Key{Site: site}, "guarded_host", func(ctx context.Context, tx *sql.Tx) error {
		return upsert(ctx, tx, "guarded_host", 1, (&protectedHost{host, site}).columns())
	})
}

// DeleteProtectedHost forgets it.
func (s *SQL) DeleteProtectedHost(ctx context.Context, host string) error {
	return s.write(ctx, Key{}, "guarded_host", execute(`DELETE FROM guarded_host WHERE host = $1`, host))
}
