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
	wasmfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// Decision is the command of an access log's format that prints the filter's decision: as
// a JSON object in a json_format, null where there is none. The filter leaves it in the
// filter state, as a google.protobuf.Struct; of what Envoy has to print one, only this
// prints its fields and nothing around them.
const Decision = "%TYPED_CEL(filter_state['wasm." + config.DecisionProperty + "'])%"

// maxRequestHeadersKB bounds the headers of a request, the token among them.
const maxRequestHeadersKB = 96

// ListenerName is the name of the listener that takes requests, and of its routes.
const ListenerName = "umagate"

// Listener is the listener of an Envoy that has its filter and its routes from the
// control plane, for LDS. Only the envoy section changes it.
func Listener(file *site.File) (*listenerv3.Listener, error) {
	return listener(file, DiscoveredFilter(overADS()), nil)
}

// DiscoveredFilter is the filter where it comes from a source by ECDS, for which a listener
// waits without an end: after 15 s, its default, Envoy would go on without, open the
// listener and call itself ready.
func DiscoveredFilter(from *corev3.ConfigSource) *hcmv3.HttpFilter {
	source := &corev3.ConfigSource{
		ResourceApiVersion: from.GetResourceApiVersion(), ConfigSourceSpecifier: from.GetConfigSourceSpecifier(), InitialFetchTimeout: duration(0),
	}
	return &hcmv3.HttpFilter{
		Name: FilterName,
		ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
			ConfigSource: source,
			TypeUrls:     []string{"type.googleapis.com/" + string((&wasmfilterv3.Wasm{}).ProtoReflect().Descriptor().FullName())},
		}},
	}
}

// listener takes requests, lets the filter decide, and routes by host; nil routes
// come by RDS.
func listener(file *site.File, filter *hcmv3.HttpFilter, routes *routev3.RouteConfiguration) (*listenerv3.Listener, error) {
	at, err := hostPort(file.Envoy.Listener)
	if err != nil {
		return nil, fmt.Errorf("envoy.listener: %w", err)
	}
	router, err := httpFilter("envoy.filters.http.router", &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	logs, err := AccessLog(file.Envoy.AccessLog)
	if err != nil {
		return nil, err
	}
	hcm := &hcmv3.HttpConnectionManager{
		StatPrefix: "umagate",
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{ConfigSource: awaited(), RouteConfigName: ListenerName},
		},
		HttpFilters: []*hcmv3.HttpFilter{filter, router},
		AccessLog:   logs,
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
		// Else Envoy says 100 before the filter has seen the request, and the body comes
		// whatever becomes of it.
		Proxy_100Continue: true,
		// A WebSocket is judged by its handshake, which is a GET.
		UpgradeConfigs: []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		// A stream that hangs because the filter trapped ends by it; see RATIONALE, "Why
		// 90 seconds of silence?".
		StreamIdleTimeout: duration(file.Envoy.StreamIdleTimeout),
		// An RPT with some hundred permissions has 40 KB; Envoy's default is 60 KiB.
		MaxRequestHeadersKb:       wrapperspb.UInt32(maxRequestHeadersKB),
		RequestHeadersTimeout:     duration(10 * time.Second),
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: duration(15 * time.Minute)},
	}
	if routes != nil {
		hcm.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	}
	chains, err := filterChains(hcm)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:                          ListenerName,
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

// AccessLog writes one JSON object for each request into the file at path, the decision in
// it; none for [site.AccessLogOff]. The path of a request is without its query, which may
// hold what nobody should read in a log.
func AccessLog(path string) ([]*accesslogv3.AccessLog, error) {
	if path == site.AccessLogOff {
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
		"decision":  Decision,
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
