package envoyconf

import (
	"fmt"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	fileaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/site"
)

// DecisionState is the filter state in which the filter reports its decision, as
// a JSON object.
const DecisionState = "wasm.umagate"

const (
	// quietIdleTimeout is the idle time-out of what may be silent for long.
	quietIdleTimeout = 5 * time.Minute
	// maxRequestHeadersKB bounds the headers of a request, the token among them.
	maxRequestHeadersKB = 96
)

// listener takes requests, lets the filter decide, and routes by host.
func listener(file *site.File, filter *hcmv3.HttpFilter) (*listenerv3.Listener, error) {
	at, err := hostPort(file.Envoy.Listener)
	if err != nil {
		return nil, fmt.Errorf("envoy.listener: %w", err)
	}
	routes, err := routes(file)
	if err != nil {
		return nil, err
	}
	router, err := httpFilter("envoy.filters.http.router", &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	logs, err := accessLog(file.Envoy.AccessLog)
	if err != nil {
		return nil, err
	}
	chains, err := filterChains(&hcmv3.HttpConnectionManager{
		StatPrefix:     "umagate",
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes},
		HttpFilters:    []*hcmv3.HttpFilter{filter, router},
		AccessLog:      logs,
		// The filter judges the path as it came in, and refuses or rewrites what is
		// ambiguous; Envoy must not have changed it before. Both are said, because an
		// Envoy's runtime settings may change what is left out.
		NormalizePath:                wrapperspb.Bool(false),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		// A client's address is that of its connection, not what it claims to be.
		UseRemoteAddress: wrapperspb.Bool(true),
		// What one connection may tie up, as Envoy's documents advise for the edge.
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams:        wrapperspb.UInt32(100),
			InitialStreamWindowSize:     wrapperspb.UInt32(64 << 10),
			InitialConnectionWindowSize: wrapperspb.UInt32(1 << 20),
		},
		// A WebSocket is judged by its handshake, which is a GET.
		UpgradeConfigs: []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		// A stream that hangs because the filter trapped ends by it; see RATIONALE, "Why
		// 90 seconds of silence?".
		StreamIdleTimeout: duration(file.Envoy.StreamIdleTimeout),
		// An RPT with some hundred permissions has 40 KB; Envoy's default is 60 KiB.
		MaxRequestHeadersKb:       wrapperspb.UInt32(maxRequestHeadersKB),
		RequestHeadersTimeout:     duration(10 * time.Second),
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: duration(15 * time.Minute)},
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:                          "umagate",
		Address:                       at,
		FilterChains:                  chains,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(32 << 10),
	}, nil
}

// filterChains are those of a listener that speaks HTTP.
func filterChains(manager *hcmv3.HttpConnectionManager) ([]*listenerv3.FilterChain, error) {
	packed, err := pack(manager)
	if err != nil {
		return nil, err
	}
	return []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
	}}}}, nil
}

// routes sends each site's hosts to its upstream, without looking at the port.
func routes(file *site.File) (*routev3.RouteConfiguration, error) {
	out := &routev3.RouteConfiguration{Name: "umagate", IgnorePortInHostMatching: true}
	for i := range file.Sites {
		s := &file.Sites[i]
		if s.Upstream == "" {
			return nil, fmt.Errorf("%w: site %s has no upstream to route to; write upstream: http://HOST:PORT", ErrInput, s.Name)
		}
		out.VirtualHosts = append(out.VirtualHosts, &routev3.VirtualHost{
			Name:    s.Name,
			Domains: s.Hosts,
			Routes:  siteRoutes(upstreamCluster(s.Name), file.Envoy.StreamIdleTimeout),
		})
	}
	return out, nil
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

func upstreamCluster(name string) string { return "upstream/" + name }

// accessLog writes one JSON object for each request, the decision in it. The path
// is without its query, which may hold what nobody should read in a log.
func accessLog(path string) ([]*accesslogv3.AccessLog, error) {
	if path == "off" {
		return nil, nil
	}
	format, err := structpb.NewStruct(map[string]any{
		"time":      "%START_TIME%",
		"request":   "%REQ(X-REQUEST-ID)%",
		"host":      "%REQ(:AUTHORITY)%",
		"method":    "%REQ(:METHOD)%",
		"path":      "%PATH(NQ)%",
		"protocol":  "%PROTOCOL%",
		"status":    "%RESPONSE_CODE%",
		"details":   "%RESPONSE_CODE_DETAILS%",
		"flags":     "%RESPONSE_FLAGS%",
		"duration":  "%DURATION%",
		"client":    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
		"upstream":  "%UPSTREAM_HOST%",
		"decision":  "%FILTER_STATE(" + DecisionState + ":PLAIN)%",
		"bytes_in":  "%BYTES_RECEIVED%",
		"bytes_out": "%BYTES_SENT%",
	})
	if err != nil {
		return nil, fmt.Errorf("access log format: %w", err)
	}
	file, err := pack(&fileaccesslogv3.FileAccessLog{
		Path: path,
		AccessLogFormat: &fileaccesslogv3.FileAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: format},
		}},
	})
	if err != nil {
		return nil, err
	}
	return []*accesslogv3.AccessLog{{
		Name:       "envoy.access_loggers.file",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: file},
	}}, nil
}
