package xds

import (
	"cmp"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

const (
	// remembered is how long an Envoy that has gone is still told of, awayFor one that
	// was turned away and does not come again: Envoy tries every 30 s at least.
	remembered = time.Hour
	awayFor    = 2 * time.Minute
	// maxEnvoys bounds how many are told of, maxAway how many that were turned away.
	maxEnvoys = 10_000
	maxAway   = 1_000
	// maxText bounds what is kept of anything that an Envoy says, in bytes, maxNames
	// how many names of a certificate.
	maxText  = 2_000
	maxNames = 10
)

// registry knows every Envoy that is or was connected. Its caller holds the fleet's lock.
type registry struct {
	logger *slog.Logger
	now    func() time.Time
	byNode map[string][]*member
	count  int
	keys   uint64 // given to members until now
	away   map[string]*Rejected
}

// join returns the member of a node, whose stream has just said who it is.
func (r *registry) join(node *corev3.Node, s *stream) *member {
	id := nodeID(node)
	m := r.find(id, s.closer.address, s.agent)
	if m == nil {
		r.forget()
		r.keys++
		m = &member{Envoy: Envoy{NodeID: id, Types: map[Type]State{}}, key: strconv.FormatUint(r.keys, 10), agent: s.agent}
		r.byNode[id] = append(r.byNode[id], m)
		r.count++
	}
	m.Cluster, m.Address, m.Version = clip(node.GetCluster()), s.closer.address, envoyVersion(node)
	if m.Group != s.group {
		m.Group, m.offered = s.group, offer{}
	}
	m.Certificate, m.Bootstrap = clipAll(s.sans), bootstrapOf(node)
	if m.streams = append(m.streams, s); len(m.streams) == 1 {
		m.Types = map[Type]State{} // it says what it has
		m.Connected, m.ConnectedSince, m.DisconnectedAt = true, r.now(), time.Time{}
		r.logger.Info("envoy connected", slog.Bool("agent", m.agent), slog.String("node_id", id), slog.String("group", m.Group), slog.String("address", m.Address),
			slog.Any("certificate", m.Certificate))
	}
	delete(r.away, awayKey(id, m.Certificate))
	r.letIn(m.Address)
	return m
}

// find returns the member of that connection, or one of that node that is gone.
func (r *registry) find(id, address string, agent bool) *member {
	var gone *member
	for _, m := range r.byNode[id] {
		switch {
		case m.agent != agent:
		case m.Connected && m.Address == address:
			return m
		case !m.Connected:
			gone = m
		}
	}
	return gone
}

// leave records the end of a stream, and reports whether it was the Envoy's last.
func (r *registry) leave(m *member, s *stream) (gone bool) {
	if m.streams = slices.DeleteFunc(m.streams, func(other *stream) bool { return other == s }); len(m.streams) > 0 {
		return false
	}
	m.Connected, m.DisconnectedAt, m.offered = false, r.now(), offer{}
	m.connection, m.reports = nil, reports{}
	r.logger.Info("envoy disconnected", slog.Bool("agent", m.agent), slog.String("node_id", m.NodeID), slog.String("address", m.Address))
	return true
}

// reject records an Envoy that gets nothing.
func (r *registry) reject(node *corev3.Node, s *stream) {
	id, names := nodeID(node), clipAll(s.sans)
	key := awayKey(id, names)
	t := r.away[key]
	if t == nil {
		if r.sweep(); len(r.away) >= maxAway {
			return
		}
		t = &Rejected{NodeID: id, Certificate: names, Since: r.now()}
		r.away[key] = t
		r.logger.Error("envoy turned away: no group has it, and it gets nothing",
			slog.String("node_id", id), slog.String("cluster", clip(node.GetCluster())), slog.String("address", s.closer.address),
			slog.Any("certificate", names))
	}
	t.Cluster, t.Address, t.Last = clip(node.GetCluster()), s.closer.address, r.now()
	t.Attempts++
}

// sweep drops those that have given up.
func (r *registry) sweep() {
	for key, t := range r.away {
		if r.now().Sub(t.Last) > awayFor {
			delete(r.away, key)
		}
	}
}

// forget drops Envoys that left long ago, and the longest gone when there are too
// many.
func (r *registry) forget() {
	var oldest *member
	for id, members := range r.byNode {
		kept := slices.DeleteFunc(members, func(m *member) bool { return !m.Connected && r.now().Sub(m.DisconnectedAt) > remembered })
		r.count -= len(members) - len(kept)
		r.set(id, kept)
		for _, m := range kept {
			if !m.Connected && (oldest == nil || m.DisconnectedAt.Before(oldest.DisconnectedAt)) {
				oldest = m
			}
		}
	}
	if r.count >= maxEnvoys && oldest != nil {
		r.set(oldest.NodeID, slices.DeleteFunc(r.byNode[oldest.NodeID], func(m *member) bool { return m == oldest }))
		r.count--
	}
}

// attended reports whether an Envoy of the group is connected.
func (r *registry) attended(group string) bool {
	for _, members := range r.byNode {
		if slices.ContainsFunc(members, func(m *member) bool { return m.Connected && !m.agent && m.Group == group }) {
			return true
		}
	}
	return false
}

// forgetNode drops those of a node that are gone, agents too.
func (r *registry) forgetNode(id string) (known, connected bool) {
	members := r.byNode[id]
	left := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return !m.Connected })
	r.count -= len(members) - len(left)
	r.set(id, left)
	return len(members) > 0, slices.ContainsFunc(left, func(m *member) bool { return !m.agent || len(left) == len(members) })
}

// moved drops those of a node that are gone, Envoys or the agents beside them, since they
// are connected elsewhere.
func (r *registry) moved(id string, agent bool) {
	members := r.byNode[id]
	left := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return !m.Connected && m.agent == agent })
	r.count -= len(members) - len(left)
	r.set(id, left)
}

func (r *registry) set(id string, members []*member) {
	if len(members) == 0 {
		delete(r.byNode, id)
		return
	}
	r.byNode[id] = members
}

// envoys lists the Envoys, or the agents beside them.
func (r *registry) envoys(agents bool) []Envoy {
	r.forget()
	out := []Envoy{}
	for _, members := range r.byNode {
		for _, m := range members {
			if m.agent == agents {
				out = append(out, m.copy(r.now()))
			}
		}
	}
	slices.SortFunc(out, func(a, b Envoy) int {
		return cmp.Or(cmp.Compare(a.NodeID, b.NodeID), cmp.Compare(a.Address, b.Address))
	})
	return out
}

func (r *registry) rejected() []Rejected {
	r.sweep()
	out := make([]Rejected, 0, len(r.away))
	for _, t := range r.away {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Rejected) int {
		return cmp.Or(cmp.Compare(a.NodeID, b.NodeID), slices.Compare(a.Certificate, b.Certificate))
	})
	return out
}

func nodeID(node *corev3.Node) string { return cmp.Or(clip(node.GetId()), "(no node.id)") }

func awayKey(id string, names []string) string {
	return id + "\x00" + strings.Join(names, "\x00")
}
