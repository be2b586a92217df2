package xds

import (
	"crypto/sha256"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// offer is what one Envoy may have of each type. nil is nothing.
type offer struct{ clusters, filter, secrets, listener, routes *content }

func (o *offer) of(kind Type) **content {
	switch kind {
	case CDS:
		return &o.clusters
	case ECDS:
		return &o.filter
	case SDS:
		return &o.secrets
	case LDS:
		return &o.listener
	case RDS:
		return &o.routes
	default:
		panic("xds: no such type: " + string(kind))
	}
}

// keep takes what has not changed from before: the same content is the same pointer.
func (o *offer) keep(before offer) {
	for _, kind := range Types() {
		if old, now := *before.of(kind), o.of(kind); old != nil && old.Version == (*now).Version {
			*now = old
		}
	}
}

func (o *offer) versions() map[Type]string {
	out := map[Type]string{}
	for _, kind := range Types() {
		out[kind] = (*o.of(kind)).Version
	}
	return out
}

// given is what a group was given last, and the steps of its Envoys towards it. Its
// users hold the fleet's lock.
type given struct {
	offer

	resources Resources
	since     time.Time
	// What lies between one content and another is made once for all Envoys: clusters
	// with those of before, routes by the digest of the hosts before, what an Envoy has
	// from elsewhere by its version, and what the cache serves.
	joined    map[*content]*content
	between   map[string]*content
	held      map[string]*content
	snapshots map[offer]*cache.Snapshot
}

func newGiven(o offer, r Resources, now time.Time) *given {
	return &given{
		offer: o, resources: r, since: now,
		joined: map[*content]*content{}, between: map[string]*content{}, held: map[string]*content{}, snapshots: map[offer]*cache.Snapshot{},
	}
}

// step is what an Envoy is offered next, given what it is offered and has answered.
//
// Two things must never be, not even for the time that one message takes: the filter
// names no cluster that is not there, and no host is led to a site before the filter
// knows it, or when it knows it no more. So clusters are added first. Routes are
// closed that the next filter would judge by another site. Then comes the filter, then
// the routes, and what clusters nobody needs any more are removed last. Each step
// waits until Envoy has answered the one before. If it refuses clusters, the others
// go on: a revocation must not wait for a cluster. If it refuses the filter, the
// routes stay as they are.
func (g *given) step(m *member) (offer, error) {
	next := m.offered
	next.secrets, next.listener = g.secrets, g.listener
	var err error
	if next.clusters, err = g.join(m.offered.clusters); err != nil {
		return next, err
	}
	// An Envoy that comes back says one type after the other what it has.
	for kind, to := range map[Type]**content{ECDS: &next.filter, RDS: &next.routes} {
		if !m.subscribes(kind) {
			*to = nil
		} else if *to == nil {
			*to = g.hold(m.stated(kind))
		}
	}
	if !m.answered(CDS, next.clusters) || !m.answered(RDS, next.routes) {
		return next, nil
	}
	if m.stated(LDS) != "" && len(g.listener.Items) > 0 && !m.subscribes(RDS) {
		return next, nil // its listener's routes are what it says next
	}
	if had := m.hosts(g.routes); !had.fit(g.routes.hosts) {
		next.routes, err = g.close(had)
		return next, err
	}
	if !m.subscribes(ECDS) {
		if !m.subscribes(RDS) {
			next.clusters = g.clusters
		}
		return next, nil
	}
	if next.filter != g.filter {
		next.filter = g.filter
		return next, nil
	}
	// Without a filter from here, nothing is known of who guards what the routes lead to.
	if !m.has(ECDS, g.filter) {
		return next, nil
	}
	if m.subscribes(RDS) && next.routes != g.routes {
		next.routes = g.routes
		return next, nil
	}
	if m.has(RDS, g.routes) || !m.subscribes(RDS) {
		next.clusters = g.clusters
	}
	return next, nil
}

// join adds to the group's clusters those that an Envoy has besides.
func (g *given) join(before *content) (*content, error) {
	if before == nil || before == g.clusters {
		return g.clusters, nil
	}
	if c := g.joined[before]; c != nil {
		return c, nil
	}
	clusters := resourcesOf(g.resources.Clusters)
	for name, c := range before.Items {
		if _, ok := g.clusters.Items[name]; !ok {
			clusters = append(clusters, c.Resource)
		}
	}
	out := g.clusters
	if len(clusters) > len(g.resources.Clusters) {
		var err error
		if out, err = contentOf("", sha256.New(), clusters); err != nil {
			return nil, err
		}
		if out.Version == before.Version {
			out = before
		}
	}
	g.joined[before], g.joined[out] = out, out
	return out, nil
}

// close closes what leads elsewhere than the group's routes do.
func (g *given) close(had hosts) (*content, error) {
	key := had.digest()
	if c := g.between[key]; c != nil {
		return c, nil
	}
	routes := between(had, g.resources.Routes)
	c, err := routesContent(routes, hostsOf(routes))
	g.between[key] = c
	return c, err
}

// hold stands for what an Envoy has from elsewhere, of which only the version is
// known: it is sent nothing.
func (g *given) hold(version string) *content {
	if version == "" {
		return nil
	}
	c := g.held[version]
	if c == nil {
		c = &content{Resources: cache.Resources{Version: version}}
		g.held[version] = c
	}
	return c
}

// snapshot is what the cache serves of an offer.
func (g *given) snapshot(o offer) *cache.Snapshot {
	s := g.snapshots[o]
	if s == nil {
		s = &cache.Snapshot{}
		for kind, at := range map[Type]types.ResponseType{
			ECDS: types.ExtensionConfig, CDS: types.Cluster, SDS: types.Secret, LDS: types.Listener, RDS: types.Route,
		} {
			if c := *o.of(kind); c != nil {
				s.Resources[at] = c.Resources
			}
		}
		g.snapshots[o] = s
	}
	return s
}
