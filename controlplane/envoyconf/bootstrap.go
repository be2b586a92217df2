package envoyconf

import (
	"fmt"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	wasmfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// xdsCluster names the cluster of the control plane's xDS server.
const xdsCluster = "umagate/xds"

// Dynamic is the bootstrap of an Envoy that takes the filter, the AS's clusters
// and their credentials from the control plane. Until it has the filter it takes no
// connection, and its /ready answers 503, however long that takes.
func Dynamic(file *site.File) (*bootstrapv3.Bootstrap, error) {
	file = withPlacements(file)
	wasm := "type.googleapis.com/" + string((&wasmfilterv3.Wasm{}).ProtoReflect().Descriptor().FullName())
	// After 15 s, its default, Envoy would open the listener without the filter, answer
	// every request 500, and call itself ready. 0 has it wait.
	source := overADS()
	source.InitialFetchTimeout = duration(0)
	front, err := listener(file, &hcmv3.HttpFilter{
		Name: FilterName,
		ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
			ConfigSource: source,
			TypeUrls:     []string{wasm},
		}},
	})
	if err != nil {
		return nil, err
	}
	out, err := skeleton(file, front)
	if err != nil {
		return nil, err
	}
	xds, err := xdsUpstream(file)
	if err != nil {
		return nil, err
	}
	out.StaticResources.Clusters = append(out.StaticResources.Clusters, xds)
	out.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{
		CdsConfig: overADS(),
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:             corev3.ApiConfigSource_GRPC,
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: xdsCluster},
			}}},
		},
	}
	return out, nil
}

// Static is a bootstrap with everything in it: no control plane is needed at run
// time. Each site needs a client {id, secret} and, for UMA, resource ids. The
// result holds the client secrets in the clear.
func Static(in Input) (*bootstrapv3.Bootstrap, error) {
	if err := CheckStatic(in.File); err != nil {
		return nil, err
	}
	filter, err := Filter(in)
	if err != nil {
		return nil, err
	}
	front, err := listener(in.File, &hcmv3.HttpFilter{
		Name:       FilterName,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: filter.GetTypedConfig()},
	})
	if err != nil {
		return nil, err
	}
	out, err := skeleton(in.File, front)
	if err != nil {
		return nil, err
	}
	err = in.sites(func(s *site.Site, c *config.Site) error { return addStatic(out, in, s, c) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// skeleton is what both bootstraps share: listener, upstreams, admin, node.
func skeleton(file *site.File, front *listenerv3.Listener) (*bootstrapv3.Bootstrap, error) {
	out := &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Id: file.Envoy.NodeID, Cluster: file.Envoy.NodeCluster},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: []*listenerv3.Listener{front},
		},
		StatsConfig: statsConfig(),
	}
	overload, err := overloadManager()
	if err != nil {
		return nil, err
	}
	out.OverloadManager = overload
	if file.Envoy.Admin != "off" {
		at, err := hostPort(file.Envoy.Admin)
		if err != nil {
			return nil, fmt.Errorf("envoy.admin: %w", err)
		}
		out.Admin = &bootstrapv3.Admin{Address: at}
	}
	for i := range file.Sites {
		cluster, err := apiUpstream(file, &file.Sites[i])
		if err != nil {
			return nil, fmt.Errorf("site %s: upstream: %w", file.Sites[i].Name, err)
		}
		out.StaticResources.Clusters = append(out.StaticResources.Clusters, cluster)
	}
	module, err := ModuleCluster(file)
	if err != nil {
		return nil, fmt.Errorf("plugin.wasm: %w", err)
	}
	if module != nil {
		out.StaticResources.Clusters = append(out.StaticResources.Clusters, module)
	}
	return out, nil
}

func apiUpstream(file *site.File, s *site.Site) (*clusterv3.Cluster, error) {
	at, err := parseEndpoint(s.Upstream)
	if err != nil {
		return nil, err
	}
	cluster, err := plainCluster(upstreamCluster(s.Name), at)
	if err != nil {
		return nil, err
	}
	if err := secure(cluster, at, file, site.TLS{}, nil); err != nil {
		return nil, err
	}
	return cluster, setProtocol(cluster, nil)
}

// overADS subscribes by the one stream to the control plane.
func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

// withPlacements adds what applications of oxd may protect later: their hosts are
// known, and where they go.
func withPlacements(file *site.File) *site.File {
	if file.OXD == nil {
		return file
	}
	out := *file
	out.Sites = slices.Clone(file.Sites)
	for i := range file.OXD.Sites {
		if p := &file.OXD.Sites[i]; p.Upstream != "" {
			placed := site.New()
			placed.Name, placed.Hosts, placed.Upstream = fmt.Sprint("oxd-hosts-", i), p.Hosts, p.Upstream
			out.Sites = append(out.Sites, placed)
		}
	}
	return &out
}
