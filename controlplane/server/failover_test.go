package server_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

// TestFailover: the primary of a real PostgreSQL ends, and its standby is promoted. Two
// replicas whose store names both tell so meanwhile, change nothing, and go on by
// themselves with what was replicated.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t)
	database := postgrestest.Database(t, primary)
	standby := postgrestest.Standby(t, primary)
	both, err := primary.With(standby, database)
	require.NoError(t, err)
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, both, as.Issuer()), replica(t, both, as.Issuer())
	one.Options.Intervals.Standby, two.Options.Intervals.Standby = time.Second, time.Second // those of production
	one.Start()
	one.Until("it leads", leader)
	two.Start()
	two.Until("it follows", follower)
	client := one.Status().Sites[0].ClientID
	code, made := one.post(http.MethodPost, "/v1/revocations", `{"session_id":"before"}`)
	require.Equal(t, http.StatusCreated, code)
	postgrestest.Replicated(t, primary, standby)

	looks := map[*plane]*beside{}
	for _, p := range []*plane{one, two} {
		looks[p] = comeAgain(t, func(context.Context) string { return "" }, p.names)
	}
	looks[one].try(t, fault{
		condition: health.StoreUnreachable,
		breakIt: func(t *testing.T) {
			t.Helper()
			primary.Kill()
			code, body := one.revoke(t, "meanwhile")
			require.Equal(t, http.StatusServiceUnavailable, code, body)
		},
		mendIt: func(t *testing.T) {
			t.Helper()
			code, _ := one.Get("/readyz")
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.NoError(t, standby.Promote(t.Context()))
		},
	})
	for p, l := range looks {
		l.until(t, "all is well", time.Now(), func(m moment) bool { return len(m.conditions) == 0 })
		l.stop()
		s := p.Until("all is well", allWell)
		require.Equal(t, client, s.Sites[0].ClientID, "nothing is registered anew")
		require.Equal(t, made.ID, p.revocations()[0].ID)
	}
	require.NotEqual(t, one.Status().Leader, two.Status().Leader, "one of them leads")
	code, made = two.post(http.MethodPost, "/v1/revocations", `{"session_id":"after"}`)
	require.Equal(t, http.StatusCreated, code)
	require.Eventually(t, func() bool {
		for _, r := range one.revocations() {
			if r.ID == made.ID {
				return true
			}
		}
		return false
	}, servertest.Within, 50*time.Millisecond, "the other replica hears of it")
}
