package envoyconf

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
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
		if s.Upstream != "" && len(hosts) > 0 && !s.ByIssuer() {
			out = append(out, destination{s.Name, s.Upstream, hosts})
		}
	}
	return out
}

// together lists, for the hosts that several sites have, by host in lower case, those
// that lead requests somewhere by their path; each may have an upstream or none.
func together(file *site.File) map[string][]*site.Site {
	out := map[string][]*site.Site{}
	for i := range file.Sites {
		s := &file.Sites[i]
		for _, host := range s.Hosts {
			if host = strings.ToLower(host); !s.ByIssuer() && !slices.Contains(out[host], s) {
				out[host] = append(out[host], s)
			}
		}
	}
	maps.DeleteFunc(out, func(_ string, sites []*site.Site) bool { return len(sites) == 1 && len(sites[0].PathPrefixes) == 0 })
	return out
}

// Routes lead each site's hosts, and its path_prefixes there, to its upstream, whatever the
// port, for RDS. A site without an upstream has none: Envoy answers 404.
func Routes(file *site.File) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{Name: ListenerName, IgnorePortInHostMatching: true}
	shared := together(file)
	byName := map[string]*routev3.VirtualHost{}
	for _, d := range destinations(file) {
		var own []string
		for _, host := range d.hosts {
			sites := shared[strings.ToLower(host)]
			if sites == nil {
				own = append(own, host)
				continue
			}
			name := nameTogether(sites)
			if byName[name] == nil {
				byName[name] = &routev3.VirtualHost{Name: name, Routes: routesTogether(sites, file.Envoy.StreamIdleTimeout)}
				out.VirtualHosts = append(out.VirtualHosts, byName[name])
			}
			if v := byName[name]; !slices.ContainsFunc(v.Domains, func(d string) bool { return strings.EqualFold(d, host) }) {
				v.Domains = append(v.Domains, host)
			}
		}
		if len(own) > 0 {
			out.VirtualHosts = append(out.VirtualHosts, &routev3.VirtualHost{
				Name:    d.name,
				Domains: own,
				Routes:  siteRoutes(d.cluster(), file.Envoy.StreamIdleTimeout, below{}, bodies(file, d.name)),
			})
		}
	}
	return out
}

// nameTogether names the virtual host of hosts that sites have together, and says all
// that its routes depend on: where a request is led may not change before its filter does
// (controlplane/xds).
func nameTogether(sites []*site.Site) string {
	var parts []string
	for _, s := range sites {
		led := "led"
		if s.Upstream == "" {
			led = "closed"
		}
		parts = append(parts, strings.Join(append([]string{s.Name, led, string(s.Case)}, s.PathPrefixes...), " "))
	}
	return strings.Join(parts, " + ")
}

// routesTogether leads each prefix to its site, the longest first. What is below the prefix
// of a site without an upstream is led nowhere, and not to another site.
func routesTogether(sites []*site.Site, idle time.Duration) []*routev3.Route {
	type part struct {
		prefix string
		site   *site.Site
	}
	var parts []part
	for _, s := range sites {
		for _, prefix := range s.PathPrefixes {
			parts = append(parts, part{prefix, s})
		}
		if len(s.PathPrefixes) == 0 {
			parts = append(parts, part{"", s})
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	var out []*routev3.Route
	for _, p := range parts {
		at := below{prefix: p.prefix, fold: p.site.Case == config.CaseInsensitive}
		if p.site.Upstream != "" {
			out = append(out, siteRoutes(destination{name: p.site.Name}.cluster(), idle, at, bodyLimit(p.site))...)
			continue
		}
		out = append(out, &routev3.Route{
			Match:  at.match(&routev3.RouteMatch{}),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: http.StatusNotFound}},
		})
	}
	return out
}

// below are the paths at and below a prefix of whole segments; every path without.
type below struct {
	prefix string
	fold   bool
}

func (b below) match(m *routev3.RouteMatch) *routev3.RouteMatch {
	if b.prefix == "" {
		m.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		return m
	}
	m.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: b.prefix}
	if b.fold {
		m.CaseSensitive = wrapperspb.Bool(false)
	}
	return m
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

// bodies is bodyLimit of a destination's site.
func bodies(file *site.File, name string) *wrapperspb.UInt64Value {
	if s, ok := file.Site(name); ok {
		return bodyLimit(s)
	}
	return nil
}

// bodyLimit is how much of a request Envoy keeps for the filter, where that reads messages to
// an MCP server: more than the listener's buffer has, and a little more than the filter takes,
// so that the filter says what is too long. Nothing is kept of a request that it does not read.
func bodyLimit(s *site.Site) *wrapperspb.UInt64Value {
	const byDefault, more = 1 << 20, 64 << 10
	if !s.GuardsMessages() {
		return nil
	}
	return wrapperspb.UInt64(uint64(cmp.Or(s.Limits.MCPMessageBytes, byDefault) + more)) //nolint:gosec // validated
}

// siteRoutes sends everything below a prefix to a cluster. What may be silent for long by its
// nature has routes of its own: upgrades (WebSockets), gRPC and streams of events.
func siteRoutes(cluster string, idle time.Duration, at below, body *wrapperspb.UInt64Value) []*routev3.Route {
	to := func(match *routev3.RouteMatch, idle *durationpb.Duration) *routev3.Route {
		return &routev3.Route{Match: at.match(match), RequestBodyBufferLimit: body, Action: &routev3.Route_Route{Route: &routev3.RouteAction{
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
