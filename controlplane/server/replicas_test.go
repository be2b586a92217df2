package server_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/e2e/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

func registrations(as *devas.Server) int {
	n := 0
	for _, c := range as.Calls(devas.EndpointRegistration) {
		if c.Method == http.MethodPost && c.Status == http.StatusCreated {
			n++
		}
	}
	return n
}

// replica is a control plane on a shared database.
func replica(t *testing.T, database, issuer string) *plane {
	t.Helper()
	p := newPlane(t)
	p.intervals.Standby = 20 * time.Millisecond
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, store.KeySize))
	p.write(fmt.Sprintf("store: %q\nstore_key: %q\n%s", database, key, p.config(issuer, "albums", "people")))
	return p
}

func leader(s server.Status) bool {
	return s.OK && s.Leader && s.Sites[0].Phase == registration.Serving
}

func follower(s server.Status) bool {
	return s.OK && !s.Leader && s.Sites[0].Phase == registration.Standby
}

// TestReplicas runs two control planes on one PostgreSQL.
func TestReplicas(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := startAS(t, devas.Options{})
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	one.start()
	first := one.until("it leads", leader)
	two.start()
	second := two.until("it follows", func(s server.Status) bool {
		return follower(s) && s.LeaderName != "" && s.Revision == one.status().Revision
	})
	require.Equal(t, first.Replica, second.LeaderName)
	require.Equal(t, first.Sites[0].ClientID, second.Sites[0].ClientID)
	require.Equal(t, 2, second.Sites[0].Resources.Registered)
	_, metrics := two.get("/metrics")
	require.Contains(t, metrics, "umagate_leader 0")

	// What the leader learns is served by the other, too: here, another client.
	as.ForgetClients()
	fresh := one.until("registered anew", func(s server.Status) bool { return leader(s) && s.Sites[0].ClientID != first.Sites[0].ClientID })
	two.until("it has the new client", func(s server.Status) bool {
		return follower(s) && s.Sites[0].ClientID == fresh.Sites[0].ClientID && s.Revision == one.status().Revision
	})
	require.Equal(t, 2, registrations(as))

	one.stop()
	two.until("it takes over", leader)
	require.Equal(t, 2, registrations(as), "the client is the same")
	require.ElementsMatch(t, []string{"albums", "people"}, names(as))
	one.start()
	one.until("it follows", follower)

	// The leader's session ends, and nobody has asked it to.
	db, err := sql.Open("pgx", database)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.Eventually(t, func() bool {
		a, b := one.status(), two.status()
		return leader(a) && follower(b) || leader(b) && follower(a)
	}, within, 5*time.Millisecond, "one leads again, and the other knows")
	require.Equal(t, 2, registrations(as))
	require.ElementsMatch(t, []string{"albums", "people"}, names(as))
	for _, p := range []*plane{one, two} {
		require.NotContains(t, p.log.String(), "hunter2", "the database's password")
		p.requireNoSecrets(as)
	}
}

// TestSecondServe starts another control plane on the same SQLite file.
func TestSecondServe(t *testing.T) {
	t.Parallel()
	as := startAS(t, devas.Options{})
	p := newPlane(t)
	p.write(p.config(as.Issuer(), "albums"))
	p.start()
	p.until("all is well", allWell)
	err := server.Run(t.Context(), server.Options{Path: p.path(), Logger: slog.New(slog.DiscardHandler)})
	require.ErrorIs(t, err, store.ErrInUse)
	require.ErrorContains(t, err, "postgres://")
	p.stop()
	p.start()
	p.until("all is well", allWell)
	require.Equal(t, 1, registrations(as))
}
