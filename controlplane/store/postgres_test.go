package store_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/store/storetest"
	"github.com/umagate/umagate/e2e/postgres"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

// takeover is longer than a leader's session lives that has gone silent.
const takeover = 2 * time.Minute

func openPostgres(t *testing.T, url string) *store.SQL {
	t.Helper()
	s, err := store.OpenPostgres(t.Context(), secret.New(url), key(1))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func database(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	// Parallel subtests end before the server does.
	t.Run("conforms", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) (*store.SQL, func() *store.SQL) {
			t.Helper()
			url := postgrestest.Database(t, server)
			return openPostgres(t, url), func() *store.SQL { return openPostgres(t, url) }
		})
	})
	t.Run("replicas start together", func(t *testing.T) { startTogether(t, postgrestest.Database(t, server)) })
	t.Run("secrets are sealed", func(t *testing.T) { sealed(t, postgrestest.Database(t, server)) })
	t.Run("refusals", func(t *testing.T) { refusals(t, server) })
	t.Run("reading only", func(t *testing.T) { readingOnly(t, server) })
	t.Run("writes are told", func(t *testing.T) { watched(t, postgrestest.Database(t, server)) })
	t.Run("the leader's session is ended", func(t *testing.T) { sessionEnded(t, postgrestest.Database(t, server)) })
	t.Run("the leader goes silent", func(t *testing.T) { silentLeader(t, server) })
}

func startTogether(t *testing.T, url string) {
	t.Helper()
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			s, err := store.OpenPostgres(t.Context(), secret.New(url), key(1))
			if errs[i] = err; err == nil {
				errs[i] = s.Close()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// watched: one replica hears of what another writes, also after its session was
// ended.
func watched(t *testing.T, url string) {
	t.Helper()
	one, two := openPostgres(t, url), openPostgres(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(done)
		one.Watch(ctx, func() { heard <- struct{}{} })
	}()
	hears := func(what string) {
		t.Helper()
		select {
		case <-heard:
		case <-time.After(takeover):
			require.Fail(t, "not told of "+what)
		}
	}
	hears("the beginning")
	k := store.Key{Site: "photos", Issuer: "https://as"}
	require.NoError(t, two.PutDiscovery(ctx, k, store.Discovery{Metadata: []byte(`{}`)}))
	hears("a write")
	_, err := database(t, url).ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)
	require.NoError(t, err)
	hears("the session that follows")
	require.NoError(t, two.DeleteResource(ctx, k, "none"))
	hears("a write")
	require.Empty(t, heard)
	cancel()
	<-done
}

func sealed(t *testing.T, url string) {
	t.Helper()
	s := openPostgres(t, url)
	k := store.Key{Site: "photos", Issuer: "https://as"}
	client := store.Client{State: store.ClientRegistered, Secret: secret.New("plain-secret-1"), AccessToken: secret.New("plain-secret-2")}
	require.NoError(t, s.PutClient(t.Context(), k, client))
	require.NoError(t, s.PutPAT(t.Context(), k, store.PAT{Value: secret.New("plain-secret-3")}))
	db := database(t, url)
	for _, table := range []string{"client", "pat"} {
		var all string
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT string_agg(encode(row_to_json(x)::text::bytea, 'escape'), ' ') FROM `+table+` x`).Scan(&all))
		require.Contains(t, all, "photos")
		require.NotContains(t, all, "plain-secret")
		require.NotContains(t, all, "706c61696e2d736563726574") // in hexadecimal, as bytea is shown
	}
	_, err := db.ExecContext(t.Context(), `UPDATE pat SET site = 'other'`)
	require.NoError(t, err)
	_, err = s.PAT(t.Context(), store.Key{Site: "other", Issuer: "https://as"})
	require.ErrorIs(t, err, store.ErrSealed)
}

func refusals(t *testing.T, server *postgres.Server) {
	t.Helper()
	address := postgrestest.Database(t, server)
	openPostgres(t, address)
	ctx := t.Context()
	_, err := store.OpenPostgres(ctx, secret.New(address), secret.Text{})
	require.ErrorIs(t, err, store.ErrKeyNeeded)
	_, err = store.OpenPostgres(ctx, secret.New(address), key(2))
	require.ErrorIs(t, err, store.ErrSealed)

	_, err = database(t, address).ExecContext(ctx, `INSERT INTO umagate_schema (version_id, is_applied) VALUES (9999, true)`)
	require.NoError(t, err)
	_, err = store.OpenPostgres(ctx, secret.New(address), key(1))
	require.ErrorIs(t, err, store.ErrNewerSchema)
	_, err = store.ReadPostgres(ctx, secret.New(address), key(1))
	require.ErrorIs(t, err, store.ErrNewerSchema)

	// Whatever is wrong with the URL, the message has no password.
	for name, wrong := range map[string]string{
		"password":      "postgres://umagate:hunter2@" + server.Address() + "/d1",
		"port":          "postgres://umagate:hunter2@127.0.0.1:99999/d1",
		"parameter":     "postgres://umagate:hunter2@127.0.0.1/d1?sslmode=hunter2&password=hunter2",
		"no URL":        "postgres://umagate:hunter2@127.0.0.1:x%zz/d1",
		"not encrypted": "postgres://umagate:hunter2@localhost:1/d1?sslmode=verify-full&password=hunter2",
	} {
		_, err = store.OpenPostgres(ctx, secret.New(wrong), key(1))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}

	// Beyond this machine plain text is not taken for an answer.
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Host, u.RawQuery = "0.0.0.0:"+u.Port(), ""
	_, err = store.OpenPostgres(ctx, secret.New(u.String()), key(1))
	require.ErrorContains(t, err, "TLS")
}

func readingOnly(t *testing.T, server *postgres.Server) {
	t.Helper()
	address := postgrestest.Database(t, server)
	k := store.Key{Site: "photos", Issuer: "https://as"}
	_, err := store.ReadPostgres(t.Context(), secret.New(address), key(1))
	require.ErrorIs(t, err, store.ErrNoDatabase)
	s := openPostgres(t, address)
	require.NoError(t, s.PutPAT(t.Context(), k, store.PAT{Value: secret.New("x")}))
	r, err := store.ReadPostgres(t.Context(), secret.New(address), key(1))
	require.NoError(t, err)
	pat, err := r.PAT(t.Context(), k)
	require.NoError(t, err)
	require.Equal(t, "x", pat.Value.Reveal())
	require.Error(t, r.PutPAT(t.Context(), k, store.PAT{}))
	require.NoError(t, r.Close())
}

// leads waits until s leads.
func leads(t *testing.T, s *store.SQL) store.Lease {
	t.Helper()
	var lease store.Lease
	require.Eventually(t, func() bool {
		var err error
		lease, err = s.Lead(context.WithoutCancel(t.Context()))
		if err != nil {
			require.ErrorIs(t, err, store.ErrNotLeader)
		}
		return err == nil
	}, takeover, 20*time.Millisecond)
	return lease
}

func lost(t *testing.T, lease store.Lease) {
	t.Helper()
	select {
	case <-lease.Lost():
	case <-time.After(takeover):
		require.FailNow(t, "the leader does not know that it leads no more")
	}
}

func sessionEnded(t *testing.T, url string) {
	t.Helper()
	first, second := openPostgres(t, url), openPostgres(t, url)
	k := store.Key{Site: "photos", Issuer: "https://as"}
	old := leads(t, first)
	_, err := database(t, url).ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	require.NoError(t, err)
	lease := leads(t, second)
	require.ErrorIs(t, first.PutPAT(t.Context(), k, store.PAT{}), store.ErrReplaced, "before it knows")
	require.NoError(t, first.Unfenced().PutPAT(t.Context(), k, store.PAT{}), "what every replica writes")
	lost(t, old)
	require.NoError(t, old.Release())
	require.NoError(t, lease.Release())
	require.NoError(t, leads(t, first).Release())
}

// silentLeader cuts the leader's network without closing a connection.
func silentLeader(t *testing.T, server *postgres.Server) {
	t.Helper()
	address := postgrestest.Database(t, server)
	cable := newCable(t, server.Address())
	through, err := url.Parse(address)
	require.NoError(t, err)
	through.Host = cable.address
	first, second := openPostgres(t, through.String()), openPostgres(t, address)
	old := leads(t, first)
	_, err = second.Lead(t.Context())
	require.ErrorIs(t, err, store.ErrNotLeader)
	cable.cut()
	lost(t, old)
	_, err = second.Lead(t.Context())
	require.ErrorIs(t, err, store.ErrNotLeader, "the leader gives up before another may lead")
	lease := leads(t, second)
	require.NoError(t, old.Release())
	require.NoError(t, lease.Release())
}

// cable forwards connections until it is cut, and then says nothing to either end.
type cable struct {
	address string
	broken  chan struct{}
	once    sync.Once
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cable{address: listener.Addr().String(), broken: make(chan struct{})}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	var dialer net.Dialer
	ctx := context.WithoutCancel(t.Context())
	forward := func(to io.Writer, from io.Reader) {
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			select {
			case <-c.broken: // swallowed
			default:
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
		}
	}
	wg.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := dialer.DialContext(ctx, "tcp", to)
			if err != nil {
				_ = near.Close()
				return
			}
			mu.Lock()
			open = append(open, near, far)
			mu.Unlock()
			wg.Go(func() { forward(far, near) })
			wg.Go(func() { forward(near, far) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return c
}

func (c *cable) cut() { c.once.Do(func() { close(c.broken) }) }
