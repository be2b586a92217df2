package envoyconf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// xdsCluster names the cluster of the control plane's xDS server.
const xdsCluster = "umagate/xds"

// Dynamic is the bootstrap of an Envoy that takes everything from the control plane:
// listener, routes, filter, clusters and credentials. It says what only a bootstrap
// can, and is the same for every group; see [Digest]. Until listener, routes and filter
// are there, Envoy takes no connection, and its /ready answers 503, however long that
// takes.
func Dynamic(file *site.File) (*bootstrapv3.Bootstrap, error) {
	out, err := dynamic(file)
	if err != nil {
		return nil, err
	}
	digest, err := digestOf(out)
	if err != nil {
		return nil, err
	}
	out.Node.Metadata, err = structpb.NewStruct(map[string]any{"umagate": map[string]any{"bootstrap": digest}})
	return out, err
}

// Digest is what the bootstrap of [Dynamic] says of itself, in its node's metadata as
// umagate.bootstrap. An Envoy with another one started with an older bootstrap. What an
// operator changes in the bootstrap, such as the node's id, changes nothing of that.
func Digest(file *site.File) (string, error) {
	out, err := dynamic(file)
	if err != nil {
		return "", err
	}
	return digestOf(out)
}

func digestOf(b *bootstrapv3.Bootstrap) (string, error) {
	text, err := JSON(b)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6]), nil
}

func dynamic(file *site.File) (*bootstrapv3.Bootstrap, error) {
	out, err := skeleton(file)
	if err != nil {
		return nil, err
	}
	xds, err := xdsUpstream(file)
	if err != nil {
		return nil, err
	}
	out.StaticResources.Clusters = append(out.StaticResources.Clusters, xds)
	out.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{
		LdsConfig: awaited(),
		CdsConfig: overADS(),
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:             corev3.ApiConfigSource_GRPC,
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices:        []*corev3.GrpcService{grpcTo(xdsCluster)},
		},
	}
	if file.Envoy.LastGood != "" {
		if err := addLastGood(out, file.Envoy.LastGood); err != nil {
			return nil, err
		}
	}
	return out, report(out)
}

// Static is a bootstrap with everything in it: no control plane is needed at run
// time. Each site needs a client {id, secret} and, for UMA, resource ids. The
// result holds the client secrets in the clear.
func Static(in Input) (*bootstrapv3.Bootstrap, error) {
	if err := CheckStatic(in.File); err != nil {
		return nil, err
	}
	// No application of oxd comes without a control plane.
	file := *in.File
	file.OXD = nil
	filter, err := Filter(in)
	if err != nil {
		return nil, err
	}
	front, err := listener(&file, &hcmv3.HttpFilter{
		Name:       FilterName,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: filter.GetTypedConfig()},
	}, Routes(&file))
	if err != nil {
		return nil, err
	}
	out, err := skeleton(&file)
	if err != nil {
		return nil, err
	}
	out.StaticResources.Listeners = []*listenerv3.Listener{front}
	if out.StaticResources.Clusters, err = Upstreams(&file); err != nil {
		return nil, err
	}
	err = in.sites(func(s *site.Site, c *config.Site) error { return addStatic(out, in, s, c) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// skeleton is what both bootstraps share: admin, node, statistics, overload.
func skeleton(file *site.File) (*bootstrapv3.Bootstrap, error) {
	out := &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: file.Envoy.NodeID, Cluster: file.Envoy.NodeCluster},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{},
		StatsConfig:     statsConfig(),
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
	return out, nil
}

// awaited is [overADS] without an end: after 15 s, its default, Envoy would go on
// without, open the listener and call itself ready.
func awaited() *corev3.ConfigSource {
	source := overADS()
	source.InitialFetchTimeout = duration(0)
	return source
}

// overADS subscribes by the one stream to the control plane.
func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}
