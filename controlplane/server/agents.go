package server

import (
	"time"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/xds"
)

// missedAfter is how long an Envoy may be there, or envoy.last_good be written, before its
// agent is missed, unless [Intervals] says otherwise.
const missedAfter = time.Minute

// agentConditions lists what keeps agents from keeping what is good.
func agentConditions(agents []xds.Envoy, now time.Time) []health.Condition {
	gone, refused := several{kind: health.AgentGone}, several{kind: health.AgentRefused}
	for i := range agents {
		a, state := &agents[i], agents[i].Types[xds.LastGood]
		switch {
		case !a.Connected && now.Sub(a.DisconnectedAt) > goneAfter:
			gone.add(a.DisconnectedAt, "beside %s", a.NodeID)
		case a.Connected && state.Refused != "":
			refused.add(state.RefusedAt, "beside %s: %s", a.NodeID, state.ErrorMessage)
		}
	}
	return together(gone, refused)
}

// missingAgents lists the Envoys that have no agent, written being since when
// umagate.yaml says that each has one. Only Envoys whose bootstrap was rendered can use
// it. Those that share a node id are counted, and so are their agents. One that went is
// told of by itself. elsewhere are agents that are
// with other replicas than their Envoys, after is how long one may be without.
func missingAgents(envoys, agents []xds.Envoy, elsewhere map[string]int, after time.Duration, written, now time.Time) []health.Condition {
	beside := map[string]int{}
	for node, count := range elsewhere {
		beside[node] = max(0, count)
	}
	for i := range agents {
		beside[agents[i].NodeID]++
	}
	missing := several{kind: health.AgentMissing}
	for i := range envoys {
		e := &envoys[i]
		if !e.Connected || e.Bootstrap == "" {
			continue
		}
		if beside[e.NodeID] > 0 {
			beside[e.NodeID]--
			continue
		}
		since := e.ConnectedSince
		if written.After(since) {
			since = written
		}
		if now.Sub(since) > after {
			missing.add(since, "%s (%s)", e.NodeID, e.Address)
		}
	}
	return together(missing)
}
