package xds_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/umagate/umagate/controlplane/xds"
)

// world maps hosts to sites: what filter and routes have to agree on.
type world map[string]string

// resources are those of a world. The filter is the world itself, as JSON, and names
// the cluster "as/SITE" of each site, as the routes name "upstream/SITE".
func (w world) resources(t *testing.T, note string) xds.Resources {
	t.Helper()
	text, err := json.Marshal(map[string]any{"hosts": w, "note": note})
	require.NoError(t, err)
	out := xds.Resources{
		Filter:   typed(t, string(text)),
		Listener: &listenerv3.Listener{Name: filterName},
		Routes:   &routev3.RouteConfiguration{Name: filterName},
	}
	domains := map[string][]string{}
	for host, site := range w {
		domains[site] = append(domains[site], host)
	}
	for site, hosts := range domains {
		slices.Sort(hosts)
		out.Clusters = append(out.Clusters, &clusterv3.Cluster{Name: "as/" + site}, &clusterv3.Cluster{Name: "upstream/" + site})
		out.Routes.VirtualHosts = append(out.Routes.VirtualHosts, &routev3.VirtualHost{Name: site, Domains: hosts})
	}
	slices.SortFunc(out.Routes.VirtualHosts, func(a, b *routev3.VirtualHost) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// find is how Envoy and the filter find what a host belongs to.
func (w world) find(host string) string {
	if site, ok := w[host]; ok {
		return site
	}
	for rest := host; ; {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return w["*"]
		}
		if site, ok := w["*."+after]; ok {
			return site
		}
		rest = after
	}
}

// routed is an Envoy that has everything from the server, as it stands at one moment.
type routed struct {
	*envoy

	versions        map[string]string
	filter, routes  world
	clusters, order []string
	// refuses says which filters it does not take.
	refuses func(filter string) bool
}

const closed = "umagate/changing"

func (r *rig) routed(t *testing.T, versions map[string]string) *routed {
	t.Helper()
	e := &routed{envoy: r.envoy(t), versions: map[string]string{}}
	for _, url := range []string{resourcev3.ClusterType, resourcev3.ListenerType, resourcev3.RouteType, resourcev3.ExtensionConfigType} {
		e.versions[url] = versions[url]
		e.subscribe(url, versions[url], e.names(url)...)
	}
	return e
}

func (*routed) names(url string) []string {
	if url == resourcev3.RouteType || url == resourcev3.ExtensionConfigType {
		return []string{filterName}
	}
	return nil
}

// take applies the next response, and checks that nothing is open that must not be.
func (e *routed) take(hosts []string) {
	e.t.Helper()
	resp := e.receive()
	refusal := ""
	switch url := resp.GetTypeUrl(); url {
	case resourcev3.ClusterType:
		e.clusters = nil
		for _, item := range resp.GetResources() {
			var c clusterv3.Cluster
			require.NoError(e.t, item.UnmarshalTo(&c))
			e.clusters = append(e.clusters, c.GetName())
		}
		e.order = append(e.order, fmt.Sprint(len(e.clusters), " clusters"))
	case resourcev3.ListenerType:
		e.order = append(e.order, "listener")
	case resourcev3.RouteType:
		require.Len(e.t, resp.GetResources(), 1)
		var rc routev3.RouteConfiguration
		require.NoError(e.t, resp.GetResources()[0].UnmarshalTo(&rc))
		e.routes = world{}
		for _, v := range rc.GetVirtualHosts() {
			for _, domain := range v.GetDomains() {
				require.NotContains(e.t, e.routes, domain, "Envoy refuses a domain that stands twice")
				e.routes[domain] = v.GetName()
				if v.GetName() == closed {
					require.EqualValues(e.t, 503, v.GetRoutes()[0].GetDirectResponse().GetStatus())
				}
			}
		}
		e.order = append(e.order, "routes")
	case resourcev3.ExtensionConfigType:
		text := value(e.t, resp)
		if e.refuses != nil && e.refuses(text) {
			refusal = "no"
			e.order = append(e.order, "refused")
			break
		}
		var document struct{ Hosts world }
		require.NoError(e.t, json.Unmarshal([]byte(text), &document))
		e.filter = document.Hosts
		e.order = append(e.order, "filter")
	}
	if refusal == "" {
		e.versions[resp.GetTypeUrl()] = resp.GetVersionInfo()
	}
	e.check(hosts)
	e.answer(resp, e.versions[resp.GetTypeUrl()], refusal, e.names(resp.GetTypeUrl())...)
}

// check looks at no hosts where Envoy has the rest from another server.
func (e *routed) check(hosts []string) {
	e.t.Helper()
	if hosts == nil {
		return
	}
	for _, host := range hosts {
		to := e.routes.find(host)
		if to == "" || to == closed {
			continue
		}
		require.Equal(e.t, e.filter.find(host), to, "host %s after %v", host, e.order)
		require.Contains(e.t, e.clusters, "upstream/"+to, "after %v", e.order)
	}
	for _, site := range e.filter {
		require.Contains(e.t, e.clusters, "as/"+site, "after %v", e.order)
	}
}

// settle takes what comes until the versions of a push are in force.
func (e *routed) settle(r *rig, versions map[xds.Type]string, hosts []string) {
	e.t.Helper()
	settled := func() bool {
		all := r.server.Envoys()
		return len(all) == 1 && !slices.ContainsFunc([]xds.Type{xds.CDS, xds.ECDS, xds.LDS, xds.RDS}, func(kind xds.Type) bool {
			state := all[0].Types[kind]
			return state.Acknowledged != versions[kind] || state.Sent != versions[kind] && state.Sent != ""
		})
	}
	for end := time.Now().Add(within); !settled() || len(e.responses) > 0; {
		require.True(e.t, time.Now().Before(end), "%v after %v", r.server.Envoys(), e.order)
		if len(e.responses) > 0 {
			e.take(hosts)
		} else {
			<-time.After(time.Millisecond)
		}
	}
}

func (r *rig) pushWorld(t *testing.T, w world, note string) map[xds.Type]string {
	t.Helper()
	versions, err := r.server.Push(t.Context(), w.resources(t, note))
	require.NoError(t, err)
	return versions
}

// TestOrder: what is added comes after what it needs, what is removed before what it
// needed.
func TestOrder(t *testing.T) {
	t.Parallel()
	r := start(t)
	one := world{"a.test": "a"}
	e := r.routed(t, nil)
	e.settle(r, r.pushWorld(t, one, ""), []string{"a.test"})
	require.Less(t, slices.Index(e.order, "filter"), slices.Index(e.order, "routes"), "%v", e.order)
	tests := []struct {
		name  string
		next  world
		note  string
		order []string
	}{
		{"a revocation", one, "another filter", []string{"filter"}},
		{"a host more", world{"a.test": "a", "b.test": "b"}, "", []string{"4 clusters", "filter", "routes"}},
		{"a host less", one, "", []string{"routes", "filter", "routes", "2 clusters"}},
		{"another site", world{"a.test": "c"}, "", []string{"4 clusters", "routes", "filter", "routes", "2 clusters"}},
		{"none", world{}, "", []string{"routes", "filter", "routes", "0 clusters"}},
		{"a pattern", world{"*.test": "a"}, "", []string{"2 clusters", "filter", "routes"}},
		{"a host out of the pattern", world{"*.test": "a", "b.test": "b"}, "", []string{"4 clusters", "routes", "filter", "routes"}},
		{"a host into the pattern", world{"*.test": "a"}, "", []string{"routes", "filter", "routes", "2 clusters"}},
	}
	for _, tt := range tests {
		e.order = nil
		versions := r.pushWorld(t, tt.next, tt.note)
		e.settle(r, versions, []string{"a.test", "b.test", "x.test"})
		// Clusters and routes that are closed go together: either comes first.
		if i := slices.Index(e.order, "filter"); i == 2 && e.order[0] == "routes" {
			e.order[0], e.order[1] = e.order[1], e.order[0]
		}
		require.Equal(t, tt.order, e.order, tt.name)
	}
}

// TestRefusedFilterRoutesNothing: a host whose filter Envoy refuses is not led
// anywhere, and those before are led where they were.
func TestRefusedFilterRoutesNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	e := r.routed(t, nil)
	e.settle(r, r.pushWorld(t, world{"a.test": "a", "b.test": "b"}, ""), []string{"a.test", "b.test"})
	e.refuses = func(filter string) bool { return strings.Contains(filter, "bad") }
	hosts := []string{"a.test", "b.test", "c.test"}
	bad := r.pushWorld(t, world{"a.test": "a", "c.test": "c"}, "bad")
	for !slices.Contains(e.order, "refused") {
		e.take(hosts)
	}
	r.state(t, edge, xds.ECDS, func(s xds.State) bool { return s.Refused == bad[xds.ECDS] })
	require.Equal(t, world{"a.test": "a", "b.test": closed, "c.test": closed}, e.routes)
	require.Empty(t, e.responses)
	e.settle(r, r.pushWorld(t, world{"a.test": "a", "c.test": "c"}, "mended"), hosts)
	require.Equal(t, world{"a.test": "a", "c.test": "c"}, e.routes)
}

// TestComingBack: an Envoy that has routes of another server's is sent nothing where
// they lead to the same, and loses those first of which nothing is known.
func TestComingBack(t *testing.T) {
	t.Parallel()
	hosts := []string{"a.test", "b.test"}
	before := start(t)
	first := before.routed(t, nil)
	first.settle(before, before.pushWorld(t, world{"a.test": "a"}, ""), hosts)

	after := start(t)
	versions := after.pushWorld(t, world{"a.test": "a"}, "")
	again := after.routed(t, first.versions)
	again.settle(after, versions, nil)
	require.NotContains(t, again.order, "routes")
	require.NotContains(t, again.order, "filter")

	// The same hosts with other settings: the filter first, and nothing is closed.
	third := start(t)
	changed := world{"a.test": "a"}.resources(t, "another filter")
	changed.Routes.VirtualHosts[0].Routes = []*routev3.Route{{Name: "another"}}
	versions, err := third.server.Push(t.Context(), changed)
	require.NoError(t, err)
	again = third.routed(t, first.versions)
	again.settle(third, versions, nil)
	require.Equal(t, []string{"filter", "routes"}, again.order[len(again.order)-2:])
	require.Equal(t, world{"a.test": "a"}, again.routes)

	// Other hosts.
	fourth := start(t)
	versions = fourth.pushWorld(t, world{"b.test": "b"}, "")
	again = fourth.routed(t, first.versions)
	again.filter, again.routes, again.clusters = first.filter, world{}, first.clusters
	for !slices.Contains(again.order, "routes") {
		again.take(nil)
	}
	require.Equal(t, world{"*": closed, "b.test": closed}, again.routes)
	require.Equal(t, world{"a.test": "a"}, again.filter, "the filter comes when nothing is led anywhere")
	again.settle(fourth, versions, nil)
	again.check(hosts)
	require.Equal(t, world{"b.test": "b"}, again.routes)
}

// TestNoFilterNoRoutes: an Envoy that does not take the filter is led nowhere.
func TestNoFilterNoRoutes(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.pushWorld(t, world{"a.test": "a"}, "")
	e := r.envoy(t)
	e.subscribe(resourcev3.RouteType, "", filterName)
	e.subscribe(resourcev3.ClusterType, "")
	resp := e.receive()
	require.Equal(t, resourcev3.ClusterType, resp.GetTypeUrl())
	e.answer(resp, resp.GetVersionInfo(), "")
	r.state(t, edge, xds.CDS, func(s xds.State) bool { return s.Acknowledged != "" })
	require.Empty(t, e.responses)
}

// TestNoRoutesByDelta: their order cannot be kept there, and Envoy is told.
func TestNoRoutesByDelta(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.pushWorld(t, world{"a.test": "a"}, "")
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn).DeltaAggregatedResources(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&discovery.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: edge}, TypeUrl: resourcev3.RouteType, ResourceNamesSubscribe: []string{filterName},
	}))
	_, err = stream.Recv()
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

// TestNoStepIsWider: whatever is pushed, refused and pushed again, no host is ever led
// to a site that the filter does not know as its own, and no cluster is missing.
func TestNoStepIsWider(t *testing.T) {
	t.Parallel()
	patterns := []string{"*", "*.test", "*.b.test", "a.test", "b.test", "x.b.test"}
	hosts := []string{"a.test", "b.test", "c.test", "x.b.test", "y.b.test", "other"}
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			r := start(t)
			e := r.routed(t, nil)
			e.refuses = func(filter string) bool { return strings.Contains(filter, "bad") }
			for n := range 30 {
				w := world{}
				for _, p := range patterns {
					if site := random.IntN(5); site < 3 {
						w[p] = string(rune('a' + site))
					}
				}
				note := fmt.Sprint(n)
				if random.IntN(4) == 0 {
					note += " bad"
				}
				versions := r.pushWorld(t, w, note)
				if random.IntN(2) == 0 {
					continue // the next comes while this one is under way
				}
				if strings.Contains(note, "bad") {
					for e.versions[resourcev3.ClusterType] != versions[xds.CDS] && len(e.responses) > 0 {
						e.take(hosts)
					}
					continue
				}
				e.settle(r, versions, hosts)
				require.Equal(t, w, e.routes)
				require.Equal(t, w, e.filter)
			}
			e.settle(r, r.pushWorld(t, world{"*": "a"}, "last"), hosts)
		})
	}
}
