package server_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

// sharedKey is the store_key of replicas.
func sharedKey() string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, seal.KeySize))
}

// someResources is a part of twelve, another one each time.
func someResources(r *rand.Rand) []string {
	var out []string
	for i := range 12 {
		if r.IntN(2) == 0 {
			out = append(out, fmt.Sprintf("resource-%d", i))
		}
	}
	return append(out, "always")
}

// TestKilledAtRandom kills -9 the control plane again and again while its file
// changes. In the end everything is there once.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		t.Run(engine, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			head := ""
			if engine == "PostgreSQL" {
				head = fmt.Sprintf("store: %q\nstore_key: %q\n", postgrestest.Database(t, postgrestest.Start(t)), sharedKey())
			}
			as := servertest.StartAS(t, devas.Options{})
			p := newPlane(t)
			change := func() []string {
				names := someResources(random)
				p.Write(head + p.config(as.Issuer(), names...) + "  sync: {max_deletions: 100}\n")
				return names
			}
			change()
			const kills = 12
			for range kills {
				c := startChild(t, p.Path())
				for range random.IntN(4) {
					awaitCalls(t, as, random.IntN(20))
					change()
				}
				awaitCalls(t, as, random.IntN(30)) // when it dies is what is tried
				c.end()
			}
			last := change()
			c := startChild(t, p.Path())
			s := c.until(func(s server.Status) bool { return s.OK && s.Sites[0].Resources.Registered == len(last) })
			require.Eventually(t, func() bool { return len(names(as)) == len(last) }, 3*servertest.Within, 20*time.Millisecond)
			require.ElementsMatch(t, last, names(as))
			require.Equal(t, len(last), s.Sites[0].Resources.Registered)
			c.end()

			log, err := os.ReadFile(p.Path() + ".log")
			require.NoError(t, err)
			// A registration whose answer was lost cannot be found by any specification: it is
			// told of, and there is no other reason for a second.
			lost := strings.Count(string(log), "its answer is not known")
			require.LessOrEqual(t, registrations(as), 1+lost, "%s", log)
			require.Positive(t, registrations(as))
		})
	}
}

// awaitCalls waits until the AS has been called n times more. There is always a next
// call, as the PAT is tried again and again.
func awaitCalls(t *testing.T, as *devas.Server, n int) {
	t.Helper()
	calls := func() (sum int) {
		for _, e := range devas.Endpoints() {
			sum += as.Count(e)
		}
		return sum
	}
	until := calls() + n
	require.Eventually(t, func() bool { return calls() >= until }, servertest.Within, time.Millisecond)
}

// TestLeaderIsKilled kills -9 the replica that leads. The other takes over within
// seconds, and goes on with the same client.
func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	first := startChild(t, one.Path())
	before := first.until(leader)
	second := startChild(t, two.Path())
	s := second.until(func(s server.Status) bool { return follower(s) && s.LeaderName == before.Replica })
	require.NotEqual(t, before.Replica, s.Replica)

	first.end()
	killed := time.Now()
	s = second.until(leader)
	t.Log("took over after", time.Since(killed))
	require.Equal(t, s.Replica, s.LeaderName)
	require.Equal(t, before.Sites[0].ClientID, s.Sites[0].ClientID)
	require.Equal(t, 1, registrations(as))
	require.ElementsMatch(t, []string{"albums", "people"}, names(as))
	second.end()
}
