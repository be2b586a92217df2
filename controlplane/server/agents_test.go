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
