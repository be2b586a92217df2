package envoyconf

import (
	"fmt"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/umagate/umagate/controlplane/site"
)

// quietIdleTimeout is the idle time-out of what may be silent for long.
const quietIdleTimeout = 5 * time.Minute

// destination is where the requests for some hosts go.
type destination struct {
	name, upstream string
	hosts          []string
}

func (d destination) cluster() string { return "upstream/" + d.name }

// destinations are those of the sites that have an upstream, and of what applications
// of oxd may protect later: their hosts are known, and where they go, and do not
// change when the application begins to.
func destinations(file *site.File) []destination {
	var out []destination
	placed := map[string]bool{}
	if file.OXD != nil {
		for i := range file.OXD.Sites {
			if p := &file.OXD.Sites[i]; p.Upstream != "" {
				out = append(out, destination{fmt.Sprint("oxd-hosts-", i), p.Upstream, p.Hosts})
				for _, host := range p.Hosts {
					placed[host] = true
				}
			}
		}
	}
	for i := range file.Sites {
		s := &file.Sites[i]
		hosts := slices.DeleteFunc(slices.Clone(s.Hosts), func(host string) bool { return placed[host] })
		if s.Upstream != "" && len(hosts) > 0 {
			out = append(out, destination{s.Name, s.Upstream, hosts})
		}
	}
	return out
}

// Routes lead each site's hosts to its upstream, whatever the port, for RDS. A site
// without an upstream has none: Envoy answers 404.
func Routes(file *site.File) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{Name: ListenerName, IgnorePortInHostMatching: true}
	for _, d := range destinations(file) {
		out.VirtualHosts = append(out.VirtualHosts, &routev3.VirtualHost{
			Name:    d.name,
			Domains: d.hosts,
			Routes:  siteRoutes(d.cluster(), file.Envoy.StreamIdleTimeout),
		})
	}
	return out
}

// Upstreams are the clusters that [Routes] lead to and, where Envoy fetches the module
// itself, the one that it comes from; for CDS.
func Upstreams(file *site.File) ([]*clusterv3.Cluster, error) {
	var out []*clusterv3.Cluster
	for _, d := range destinations(file) {
		cluster, err := apiUpstream(file, d)
		if err != nil {
			return nil, fmt.Errorf("site %s: upstream: %w", d.name, err)
		}
		out = append(out, cluster)
	}
	module, err := ModuleCluster(file)
	if err != nil {
		return nil, fmt.Errorf("plugin.wasm: %w", err)
	}
	if module != nil {
		out = append(out, module)
	}
	return out, nil
}

func apiUpstream(file *site.File, d destination) (*clusterv3.Cluster, error) {
	at, err := parseEndpoint(d.upstream)
	if err != nil {
		return nil, err
	}
	cluster, err := plainCluster(d.cluster(), at)
	if err != nil {
		return nil, err
	}
	if err := secure(cluster, at, file, site.TLS{}, nil); err != nil {
		return nil, err
	}
	return cluster, setProtocol(cluster, nil)
}

// siteRoutes sends everything to a cluster. What may be silent for long by its
// nature has routes of its own: upgrades (WebSockets), gRPC and streams of events.
func siteRoutes(cluster string, idle time.Duration) []*routev3.Route {
	to := func(match *routev3.RouteMatch, idle *durationpb.Duration) *routev3.Route {
		match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		return &routev3.Route{Match: match, Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
			// Long answers are the API's own matter; idle ones end with stream_idle_timeout.
			Timeout:     duration(0),
			IdleTimeout: idle,
		}}}
	}
	var out []*routev3.Route
	if idle != 0 && idle < quietIdleTimeout {
		quiet := duration(quietIdleTimeout)
		out = append(
			out,
			to(&routev3.RouteMatch{Headers: []*routev3.HeaderMatcher{{
				Name: "upgrade", HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
			}}}, quiet),
			to(&routev3.RouteMatch{Grpc: &routev3.RouteMatch_GrpcRouteMatchOptions{}}, quiet),
			to(&routev3.RouteMatch{Headers: []*routev3.HeaderMatcher{{
				Name: "accept", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
					MatchPattern: &matcherv3.StringMatcher_Contains{Contains: "text/event-stream"},
				}},
			}}}, quiet),
		)
	}
	return append(out, to(&routev3.RouteMatch{}, nil))
}
