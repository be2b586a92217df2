package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/xds"
)

const (
	// aliveFor is how long a replica that tells nothing is believed to run, forgottenAfter
	// when what it told is removed.
	aliveFor, forgottenAfter = 15 * time.Second, time.Minute
	// differFor is how long replicas may differ: a file is not replaced everywhere at once,
	// and what applications protect is read one after the other.
	differFor = 5 * time.Second
	// clocksDiffer is by how much the clocks of replicas may.
	clocksDiffer = 10 * time.Second
)

// announcement is what a replica tells the others of itself. It holds no secret.
type announcement struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Leader  bool   `json:"leader,omitempty"`
	// File has a digest of each part of umagate.yaml that replicas have to have alike.
	File map[string]string `json:"file"`
	// Envoys and Agents are those that this replica knows, by node id.
	Envoys map[string]present `json:"envoys,omitempty"`
	Agents map[string]present `json:"agents,omitempty"`
}

// present are those of a node id. Since is when the last of them that is connected came,
// in milliseconds since 1970; 0 for none.
type present struct {
	Count int   `json:"count"`
	Since int64 `json:"since,omitempty"`
}

// presentOf counts by node id. One that went counts, too: its replica tells of it.
func presentOf(all []xds.Envoy) map[string]present {
	out := map[string]present{}
	for i := range all {
		p := out[all[i].NodeID]
		p.Count++
		if all[i].Connected {
			p.Since = max(p.Since, all[i].ConnectedSince.UnixMilli())
		}
		out[all[i].NodeID] = p
	}
	return out
}

// announce is what this replica tells the others.
func (s *controlPlane) announce() announcement {
	return announcement{
		Name: s.options.Name, Version: s.options.Version, Leader: s.leads(), File: s.inForce.get().parts,
		Envoys: presentOf(s.xds.Envoys()), Agents: presentOf(s.xds.Agents()),
	}
}

// presence is what the replicas that share a store tell each other.
type presence struct {
	store  *store.SQL
	logger *slog.Logger
	xds    *xds.Server
	// own returns what this replica tells.
	own func() announcement
	id  string

	mu     sync.Mutex
	told   announcement // last
	readAt time.Time    // zero before the first time
	others map[string]*other
}

// other is another replica.
type other struct {
	beat int64
	// moved is when it was last seen to run, seen since when it was not, both by this
	// process's clock. moved is zero before the first time.
	moved, seen time.Time
	said        announcement
	// differs is in what it differs from this one, differing since when.
	differs   string
	differing time.Time
}

func (o *other) alive(now time.Time) bool { return !o.moved.IsZero() && now.Sub(o.moved) <= aliveFor }

func newPresence(from *store.SQL, envoys *xds.Server, logger *slog.Logger, own func() announcement) *presence {
	return &presence{store: from, logger: logger, xds: envoys, own: own, id: rand.Text(), others: map[string]*other{}}
}

// tell tells the others of this replica, and reads what they tell. Whoever has no others
// is told of none.
func (p *presence) tell(ctx context.Context) error {
	if !p.store.Shared() {
		return nil
	}
	own := p.own()
	said, err := json.Marshal(own)
	if err != nil {
		return err
	}
	if err := p.store.PutReplica(ctx, p.id, said); err != nil {
		return err
	}
	all, err := p.store.Replicas(ctx)
	if err != nil {
		return err
	}
	for _, id := range p.take(own, all, time.Now()) {
		if err := p.store.DeleteReplica(ctx, id); err != nil {
			return err
		}
	}
	p.dismiss()
	return nil
}

// leave has the others forget this replica, which ends.
func (p *presence) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkStoreWithin)
	defer cancel()
	if !p.store.Shared() {
		return
	}
	if err := p.store.DeleteReplica(ctx, p.id); err != nil {
		p.logger.Warn("the other replicas are not told that this one ends; they notice", slog.Any("error", err))
	}
}

// take notes what all have told, and returns who has not for long.
func (p *presence) take(own announcement, all []store.Replica, now time.Time) (silent []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told, p.readAt = own, now
	there := map[string]bool{}
	for _, r := range all {
		if r.ID == p.id {
			continue
		}
		there[r.ID] = true
		o := p.others[r.ID]
		if o == nil {
			o = &other{beat: r.Beat, seen: now}
			p.others[r.ID] = o
		}
		if o.beat != r.Beat {
			o.beat, o.moved, o.seen = r.Beat, now, now
		}
		if now.Sub(o.seen) > forgottenAfter {
			silent = append(silent, r.ID)
		}
		var said announcement
		if err := json.Unmarshal(r.Said, &said); err != nil {
			p.logger.Debug("what a replica tells cannot be read", slog.Any("error", err))
			continue
		}
		o.said = said
		if o.differs = own.differs(said); o.differs == "" {
			o.differing = time.Time{}
		} else if o.differing.IsZero() {
			o.differing = now
		}
	}
	maps.DeleteFunc(p.others, func(id string, _ *other) bool { return !there[id] })
	return silent
}

// differs says in what another replica is not as this one; empty for nothing.
func (a announcement) differs(from announcement) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(merged(a.File, from.File))) {
		if a.File[key] != from.File[key] {
			parts = append(parts, key)
		}
	}
	if more := len(parts) - namedMost; more > 0 {
		parts = append(parts[:namedMost], "and more")
	}
	var out []string
	if len(parts) > 0 {
		out = append(out, "has another umagate.yaml ("+strings.Join(parts, ", ")+")")
	}
	if a.Version != from.Version {
		out = append(out, "is umagate "+from.Version+", and this one "+a.Version)
	}
	return strings.Join(out, ", and ")
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// running lists the others that run. p.mu is held.
func (p *presence) running(now time.Time) map[string]*other {
	out := maps.Clone(p.others)
	maps.DeleteFunc(out, func(_ string, o *other) bool { return !o.alive(now) })
	return out
}

// dismiss has those forgotten that went from here to another replica.
func (p *presence) dismiss() {
	p.mu.Lock()
	now := time.Now()
	running := p.running(now)
	p.mu.Unlock()
	elsewhere := func(e *xds.Envoy, of func(announcement) map[string]present) bool {
		for _, o := range running {
			if since := of(o.said)[e.NodeID].Since; since != 0 && e.DisconnectedAt.Sub(time.UnixMilli(since)) < clocksDiffer {
				return true
			}
		}
		return false
	}
	for _, kind := range []struct {
		agent bool
		all   []xds.Envoy
		of    func(announcement) map[string]present
	}{
		{false, p.xds.Envoys(), func(a announcement) map[string]present { return a.Envoys }},
		{true, p.xds.Agents(), func(a announcement) map[string]present { return a.Agents }},
	} {
		for i := range kind.all {
			if e := &kind.all[i]; !e.Connected && elsewhere(e, kind.of) {
				p.xds.Moved(e.NodeID, kind.agent)
			}
		}
	}
}

// differing lists the replicas that are not as this one.
func (p *presence) differing(now time.Time) []health.Condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	unlike := several{kind: health.ReplicasDiffer}
	for _, id := range slices.Sorted(maps.Keys(p.running(now))) {
		o := p.others[id]
		if o.differs == "" || now.Sub(o.differing) < differFor {
			continue
		}
		leads := ""
		if o.said.Leader {
			leads = ", which leads,"
		}
		unlike.add(o.differing, "replica %s%s %s", o.said.Name, leads, o.differs)
	}
	return together(unlike)
}

// agents returns how many agents other replicas have beside Envoys that are here, by node
// id. ok is false where that is not known.
func (p *presence) agents(now time.Time) (beside map[string]int, ok bool) {
	if !p.store.Shared() {
		return nil, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readAt.IsZero() || now.Sub(p.readAt) > aliveFor {
		return nil, false
	}
	return p.beside(now), true
}

// beside counts the agents that replicas have for Envoys that are with others. Where
// there are not enough, those of the replicas before this one have them. p.mu is held.
func (p *presence) beside(now time.Time) map[string]int {
	out := map[string]int{}
	for id, o := range p.running(now) {
		for node, there := range o.said.Agents {
			if more := there.Count - o.said.Envoys[node].Count; more > 0 {
				out[node] += more
			}
		}
		for node, there := range o.said.Envoys {
			if missing := there.Count - o.said.Agents[node].Count; missing > 0 && id < p.id {
				out[node] -= missing
			}
		}
	}
	return out
}
