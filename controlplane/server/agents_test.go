package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/xds"
)

// TestAgentConditions: an agent that is gone for a while, or cannot keep what it is given,
// is told of, one that starts again is not.
func TestAgentConditions(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	refused := map[xds.Type]xds.State{xds.LastGood: {Sent: "2", Acknowledged: "1", Refused: "2", ErrorMessage: "no room", RefusedAt: now}}
	require.Empty(t, agentConditions([]xds.Envoy{
		{NodeID: "a", Connected: true}, {NodeID: "b", DisconnectedAt: now.Add(-goneAfter)}, {NodeID: "b", DisconnectedAt: now, Types: refused},
	}, now))
	got := agentConditions([]xds.Envoy{
		{NodeID: "a", Connected: true, Types: refused}, {NodeID: "b", DisconnectedAt: now.Add(-time.Minute)},
	}, now)
	require.Equal(t, []string{health.AgentGone.Name, health.AgentRefused.Name}, health.Names(got))
	require.Equal(t, now.Add(-time.Minute), got[0].Since)
	require.Equal(t, "beside b", got[0].Message)
	require.Equal(t, "beside a: no room", got[1].Message)
}

// TestMissingAgents: an Envoy without an agent is told of, but for the first minute.
func TestMissingAgents(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	long, written := now.Add(-time.Hour), now.Add(-2*missedAfter)
	envoy := func(id, address string, since time.Time) xds.Envoy {
		return xds.Envoy{NodeID: id, Address: address, Bootstrap: "1", Connected: true, ConnectedSince: since}
	}
	envoys := []xds.Envoy{
		envoy("a", "10.0.0.1:1", long), envoy("b", "10.0.0.2:1", now.Add(-missedAfter)), // it has just started
		{NodeID: "c", Connected: true, ConnectedSince: long}, // it has a bootstrap of its own
		{NodeID: "d", Bootstrap: "1", DisconnectedAt: long},
		envoy("e", "10.0.0.5:1", long), envoy("e", "10.0.0.5:2", long), envoy("f", "10.0.0.6:1", long),
	}
	agents := []xds.Envoy{
		{NodeID: "a", Connected: true},
		{NodeID: "e", Connected: true},
		{NodeID: "f", DisconnectedAt: now.Add(-time.Second)}, // it starts again, or is told of as gone
	}
	got := missingAgents(envoys, agents, nil, missedAfter, written, now)
	require.Equal(t, []string{health.AgentMissing.Name}, health.Names(got))
	require.Equal(t, "e (10.0.0.5:2)", got[0].Message, "one of two")
	require.Equal(t, written, got[0].Since)
	require.Empty(t, missingAgents(envoys, agents, nil, missedAfter, now, now), "envoy.last_good is new")
	got = missingAgents(envoys, nil, nil, missedAfter, long, now)
	require.Equal(t, "a (10.0.0.1:1); e (10.0.0.5:1); e (10.0.0.5:2); f (10.0.0.6:1)", got[0].Message)
	got = missingAgents(envoys, nil, map[string]int{"a": 1, "e": 1, "f": -1}, missedAfter, long, now)
	require.Equal(t, "e (10.0.0.5:2); f (10.0.0.6:1)", got[0].Message, "the others' agents are with another replica")
}
