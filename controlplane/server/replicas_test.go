package server_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
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
	p.Options.Intervals.Standby = 20 * time.Millisecond
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, seal.KeySize))
	p.Write(fmt.Sprintf("store: %q\nstore_key: %q\n%s", database, key, p.config(issuer, "albums", "people")))
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
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	one.Start()
	first := one.Until("it leads", leader)
	two.Start()
	second := two.Until("it follows", func(s server.Status) bool {
		return follower(s) && s.LeaderName != "" && s.Revision == one.Status().Revision
	})
	require.Equal(t, first.Replica, second.LeaderName)
	require.Equal(t, first.Sites[0].ClientID, second.Sites[0].ClientID)
	require.Equal(t, 2, second.Sites[0].Resources.Registered)
	_, metrics := two.Get("/metrics")
	require.Contains(t, metrics, "umagate_leader 0")

	// What the leader learns is served by the other, too: here, another client.
	as.ForgetClients()
	fresh := one.Until("registered anew", func(s server.Status) bool { return leader(s) && s.Sites[0].ClientID != first.Sites[0].ClientID })
	two.Until("it has the new client", func(s server.Status) bool {
		return follower(s) && s.Sites[0].ClientID == fresh.Sites[0].ClientID && s.Revision == one.Status().Revision
	})
	require.Equal(t, 2, registrations(as))

	one.Stop()
	two.Until("it takes over", leader)
	require.Equal(t, 2, registrations(as), "the client is the same")
	require.ElementsMatch(t, []string{"albums", "people"}, names(as))
	one.Start()
	one.Until("it follows", follower)

	// The leader's session ends, and nobody has asked it to.
	db, err := sql.Open("pgx", database)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.Eventually(t, func() bool {
		a, b := one.Status(), two.Status()
		return leader(a) && follower(b) || leader(b) && follower(a)
	}, servertest.Within, 5*time.Millisecond, "one leads again, and the other knows")
	require.Equal(t, 2, registrations(as))
	require.ElementsMatch(t, []string{"albums", "people"}, names(as))
	for _, p := range []*plane{one, two} {
		require.NotContains(t, p.Log.String(), "hunter2", "the database's password")
		p.RequireNoSecrets(as)
	}
}

// TestPendingInstancesSurviveTheLeader: what the AS refuses stays pending with its reason,
// whichever replica leads, and the new leader does it as soon as the AS does.
func TestPendingInstancesSurviveTheLeader(t *testing.T) {
	t.Parallel()
	const album = `  - {name: "album-{id}", conditions: [{paths: ["/albums/{id}"], scopes: [view]}]}` + "\n"
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	for _, p := range []*plane{one, two} {
		p.Options.Intervals.Site = registration.Intervals{} // those of production: minutes between two attempts
		text, err := os.ReadFile(p.Path())
		require.NoError(t, err)
		p.Write(strings.Replace(string(text), `xds: "127.0.0.1:0"`, `xds: "127.0.0.1:0", instances: "127.0.0.1:0"`, 1) + album)
	}
	one.Start()
	one.Until("it leads", leader)
	two.Start()
	two.Until("it follows", follower)

	// The AS does nothing for resources, and says so; the rest goes on.
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultStatus, Status: 503}))
	const resources = "/v1/sites/photos/resources"
	var made server.Instance
	for _, p := range []*plane{one, two} { // the one that leads, and the one that does not
		code, _ := p.send(http.MethodPost, resources, fmt.Sprintf(`{"resource":"album-{id}","values":["%s"],"owner":"alice"}`, p.XDS[len("127.0.0.1:"):]), &made)
		require.Equal(t, http.StatusCreated, code)
		require.Equal(t, store.InstancePending, made.State)
	}
	pending := func(s server.Status) bool {
		return has(s, health.InstancePending) && len(s.Sites[0].Resources.Instances) == 1 && s.Sites[0].Resources.Instances[0].Pending == 2 &&
			strings.Contains(message(s, health.InstancePending), "503")
	}
	one.Until("it tells both, and why", pending)
	two.Until("so does the one that does not lead", pending)

	// The leader goes, while they wait.
	one.Stop()
	two.Until("it leads, and tells the same", func(s server.Status) bool { return s.Leader && pending(s) })
	as.ClearFaults(devas.EndpointResources)
	began := time.Now()
	two.Until("both are registered", func(s server.Status) bool {
		i := s.Sites[0].Resources.Instances
		return s.OK && len(i) == 1 && i[0].Registered == 2 && i[0].Pending == 0
	})
	t.Logf("registered after %s", time.Since(began).Round(time.Millisecond))
	count := 0
	for _, name := range names(as) {
		if strings.HasPrefix(name, "album-") {
			count++
		}
	}
	require.Equal(t, 2, count, "each once")
}

// message is that of a condition; empty for none.
func message(s server.Status, kind health.Kind) string {
	for _, c := range s.Conditions {
		if c.Name == kind.Name {
			return c.Message
		}
	}
	return ""
}

// TestSecondServe starts another control plane on the same SQLite file.
func TestSecondServe(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	p.Until("all is well", allWell)
	err := server.Run(t.Context(), server.Options{Path: p.Path(), Logger: slog.New(slog.DiscardHandler)})
	require.ErrorIs(t, err, store.ErrInUse)
	require.ErrorContains(t, err, "postgres://")
	p.Stop()
	p.Start()
	p.Until("all is well", allWell)
	require.Equal(t, 1, registrations(as))
}
