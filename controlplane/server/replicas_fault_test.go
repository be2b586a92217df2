package server_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/agent"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// edit changes umagate.yaml where it is.
func (p *plane) edit(replacements ...string) {
	p.T.Helper()
	text, err := os.ReadFile(p.Path())
	require.NoError(p.T, err)
	changed := strings.NewReplacer(replacements...).Replace(string(text))
	require.NotEqual(p.T, string(text), changed)
	p.Write(changed)
}

// TestStatusTellsThatReplicasDiffer: two replicas on a real PostgreSQL, of which one has
// another file, or is of another release. Both say so.
func TestStatusTellsThatReplicasDiffer(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	one.Options.Name, two.Options.Name = "one", "two"
	one.Start()
	one.Until("it leads", leader)
	two.Start()
	two.Until("it follows", follower)
	const here, there = `hosts: [photos.example.com]`, `hosts: [photos.example.com, pictures.example.com]`
	for _, f := range []struct {
		what, tells string
		seenBy      []*plane
		change, put func()
	}{
		{"another file at the one that follows", "(sites.photos)", []*plane{one, two}, func() { two.edit(here, there) }, func() { two.edit(there, here) }},
		{"another file at the one that leads", "(sites.photos)", []*plane{one, two}, func() { one.edit(here, there) }, func() { one.edit(there, here) }},
		{"another release", "is umagate", []*plane{one}, func() {
			two.Stop()
			two.Options.Version = "test-2"
			two.Start()
		}, func() {
			two.Stop()
			two.Options.Version = one.Options.Version
			two.Start()
		}},
	} {
		for _, p := range f.seenBy {
			t.Run(f.what+", seen by "+p.Options.Name, func(t *testing.T) {
				l := comeAgain(t, func(context.Context) string { return "" }, p.names)
				l.try(t, fault{
					condition: health.ReplicasDiffer,
					breakIt:   func(t *testing.T) { t.Helper(); f.change() },
					mendIt: func(t *testing.T) {
						t.Helper()
						require.Contains(t, said(p.Status(), health.ReplicasDiffer), f.tells)
						f.put()
					},
				})
				l.stop()
			})
		}
	}
}

// joins opens a stream as an Envoy does, and says who it is.
func joins(t *testing.T, address, id string) (leave func()) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	leave = sync.OnceFunc(func() { require.NoError(t, conn.Close()) })
	t.Cleanup(leave)
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&discovery.DiscoveryRequest{
		Node: &corev3.Node{Id: id, Cluster: "umagate"}, TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	}))
	_, err = stream.Recv()
	require.NoError(t, err)
	return leave
}

// TestEnvoyThatMovesIsNotGone: an Envoy that goes from one replica to another is missed by
// neither; one that goes away is.
func TestEnvoyThatMovesIsNotGone(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	one.Start()
	one.Until("it leads", leader)
	two.Start()
	two.Until("it follows", follower)
	known := func(s server.Status, id string) bool {
		for i := range s.Envoys {
			if s.Envoys[i].NodeID == id {
				return true
			}
		}
		return false
	}
	leaveMoves, leaveGoes := joins(t, one.XDS, "moves"), joins(t, one.XDS, "goes")
	one.Until("both are there", func(s server.Status) bool { return known(s, "moves") && known(s, "goes") })
	leaveMoves()
	leaveGoes()
	joins(t, two.XDS, "moves")
	s := one.Until("what went is gone", func(s server.Status) bool { return has(s, health.EnvoyGone) })
	require.Equal(t, "goes", said(s, health.EnvoyGone))
	require.False(t, known(s, "moves"))
}

// TestStatusTellsThatAnAgentIsMissing: where replicas share a PostgreSQL, an agent may be
// with another one than its Envoy. Nobody misses it then, and who has none is told of.
func TestStatusTellsThatAnAgentIsMissing(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := servertest.StartAS(t, devas.Options{})
	path := keptIn(t)
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	for _, p := range []*plane{one, two} {
		p.Options.Intervals.Missed = time.Second
		p.edit("envoy: {", fmt.Sprintf("plugin: {wasm: %q}\nenvoy: {last_good: %q, ", servertest.Module(t), path))
	}
	one.Start()
	one.Until("it leads", leader)
	two.Start()
	two.Until("it follows", follower)
	file, err := site.Load(two.Path())
	require.NoError(t, err)
	file.Envoy.XDS = two.XDS
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(t, err)
	text, err := protojson.Marshal(bootstrap)
	require.NoError(t, err)
	beside, err := envoyconf.ReadBeside(text, "", "")
	require.NoError(t, err)
	stop := func() {}
	run := func(t *testing.T) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan error, 1)
		go func() {
			done <- agent.Run(ctx, agent.Options{Beside: beside, Version: "test", Logger: slog.New(slog.DiscardHandler), Retry: 50 * time.Millisecond, Every: 50 * time.Millisecond})
		}()
		stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-done) })
	}
	run(t)
	t.Cleanup(func() { stop() })
	two.Until("the agent is with this one", func(s server.Status) bool { return len(s.Agents) == 1 && agentCurrent(s) })
	one.protect(envoy.Options{Binary: binary})
	one.Until("its Envoy with the other, and all is well", func(s server.Status) bool {
		return servertest.Acknowledged(s) && time.Since(s.Envoys[0].ConnectedSince) > 2*one.Options.Intervals.Missed
	})
	l := comeAgain(t, func(context.Context) string { return "" }, one.names)
	l.try(t, fault{
		condition: health.AgentMissing,
		breakIt: func(t *testing.T) {
			t.Helper()
			stop()
			two.Until("it is gone", func(s server.Status) bool { return len(s.Agents) == 1 && !s.Agents[0].Connected })
			require.Equal(t, 204, two.call("DELETE", "/v1/envoys/"+xdsNode(one), nil))
		},
		mendIt: func(t *testing.T) { t.Helper(); run(t) },
	})
	l.stop()
	two.Until("nobody misses anything", allWell)
}

// xdsNode is the node id of the one Envoy of a plane.
func xdsNode(p *plane) string {
	var first xds.Envoy
	if s := p.Status(); len(s.Envoys) > 0 {
		first = s.Envoys[0]
	}
	return first.NodeID
}

// TestStatusTellsThatTheStoreIsReadOnly: a real PostgreSQL takes only what reads, as one
// in recovery does, or has no connection left.
func TestStatusTellsThatTheStoreIsReadOnly(t *testing.T) {
	t.Parallel()
	running := postgrestest.Start(t)
	database := postgrestest.Database(t, running)
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, database, as.Issuer()), replica(t, database, as.Issuer())
	one.Options.Intervals.Standby, two.Options.Intervals.Standby = time.Second, time.Second // those of production
	one.Start()
	one.Until("it leads", leader)
	two.Start()
	two.Until("it follows", follower)
	db, err := sql.Open("pgx", database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	admin, err := db.Conn(t.Context()) // before there is none left
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close() })
	execute := func(t *testing.T, statement string) {
		t.Helper()
		_, err := admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	const endOthers = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'umagate'`
	for _, p := range []*plane{one, two} {
		l := comeAgain(t, func(context.Context) string { return "" }, p.names)
		for _, condition := range []health.Kind{health.StoreReadOnly, health.NoLeader} {
			l.try(t, fault{
				condition: condition,
				breakIt: func(t *testing.T) {
					t.Helper()
					execute(t, `ALTER SYSTEM SET default_transaction_read_only = on`)
					execute(t, `SELECT pg_reload_conf()`)
					require.Eventually(t, func() bool {
						code, body := p.revoke(t, "some-session")
						return code == http.StatusServiceUnavailable && strings.Contains(body, "read-only")
					},
						apart, 50*time.Millisecond)
				},
				mendIt: func(t *testing.T) {
					t.Helper()
					code, _ := p.Get("/readyz")
					require.Equal(t, http.StatusServiceUnavailable, code)
					execute(t, `SET default_transaction_read_only = off`)
					execute(t, `ALTER SYSTEM RESET default_transaction_read_only`)
					execute(t, `SELECT pg_reload_conf()`)
				},
			})
		}
		var crowd []*sql.Conn
		l.try(t, fault{
			condition: health.StoreUnreachable,
			breakIt: func(t *testing.T) {
				t.Helper()
				require.Eventually(t, func() bool {
					execute(t, endOthers)
					for {
						conn, err := db.Conn(t.Context())
						if err != nil {
							break
						}
						crowd = append(crowd, conn)
					}
					return said(p.Status(), health.StoreUnreachable) != ""
				}, apart, 10*time.Millisecond)
			},
			mendIt: func(t *testing.T) {
				t.Helper()
				s := p.Status()
				require.Contains(t, said(s, health.StoreUnreachable), "takes no more connections")
				for _, c := range s.Conditions {
					if c.Name == health.StoreUnreachable.Name {
						require.Contains(t, c.Remedy, "max_connections")
					}
				}
				for _, conn := range crowd {
					require.NoError(t, conn.Close())
				}
				crowd = nil
			},
		})
		l.stop()
	}
}
