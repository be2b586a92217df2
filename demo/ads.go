package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	injectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	wasmfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/wasmhost"
)

// adsClient does for the wazero host what Envoy does for itself: it takes the
// filter, the clusters and the credentials from the control plane by ADS, state of
// the world, and acknowledges or refuses them. One goroutine uses it.
type adsClient struct {
	conn   *grpc.ClientConn
	stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	filter *discoveryv3.DiscoveryResponse // the first, not answered before there is a host
	host   *wasmhost.Host                 // nil before

	clusters    map[string]wasmhost.Cluster
	credentials map[string]secret.Text // by secret name
	injects     map[string]string      // cluster → secret name
	subscribed  map[string]bool        // secret names
}

// subscribe opens a stream for the filter and the clusters.
func subscribe(ctx context.Context, address string) (*adsClient, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("xDS: %w", err)
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("xDS: %w", err), conn.Close())
	}
	c := &adsClient{
		conn: conn, stream: stream,
		clusters: map[string]wasmhost.Cluster{}, credentials: map[string]secret.Text{},
		injects: map[string]string{}, subscribed: map[string]bool{},
	}
	for _, request := range []*discoveryv3.DiscoveryRequest{
		{TypeUrl: resourcev3.ClusterType},
		{TypeUrl: resourcev3.ListenerType}, // its hosts are those of the file all the same
		{TypeUrl: resourcev3.RouteType, ResourceNames: []string{envoyconf.ListenerName}},
		{TypeUrl: resourcev3.ExtensionConfigType, ResourceNames: []string{envoyconf.FilterName}},
	} {
		request.Node = &corev3.Node{Id: "wazero", Cluster: "demo"}
		if err := stream.Send(request); err != nil {
			return nil, errors.Join(fmt.Errorf("xDS: %w", err), conn.Close())
		}
	}
	return c, nil
}

func (c *adsClient) close() error { return c.conn.Close() }

// first waits for the first configuration of the filter, without which there is no
// host. It comes when the clusters have been acknowledged.
func (c *adsClient) first(ctx context.Context) ([]byte, error) {
	for {
		response, err := c.stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("xDS: %w", err)
		}
		if response.GetTypeUrl() == resourcev3.ExtensionConfigType {
			c.filter = response
			return filterConfiguration(response.GetResources())
		}
		if err := c.answer(response, c.apply(ctx, response)); err != nil {
			return nil, err
		}
	}
}

// follow gives the host what has come, and then what comes until the stream ends.
func (c *adsClient) follow(ctx context.Context, host *wasmhost.Host) {
	c.host = host
	response, err := c.filter, c.setClusters()
	for c.answer(response, err) == nil {
		if response, err = c.stream.Recv(); err != nil {
			return
		}
		err = c.apply(ctx, response)
	}
}

// setClusters gives the host the clusters, each with its credential.
func (c *adsClient) setClusters() error {
	for name, cluster := range c.clusters {
		cluster.Credential = c.credentials[c.injects[name]]
		if err := c.host.SetCluster(name, cluster); err != nil {
			return err
		}
	}
	return nil
}

func (c *adsClient) apply(ctx context.Context, response *discoveryv3.DiscoveryResponse) error {
	switch response.GetTypeUrl() {
	case resourcev3.ExtensionConfigType:
		configuration, err := filterConfiguration(response.GetResources())
		if err != nil {
			return err
		}
		return c.host.UpdateConfig(ctx, configuration)
	case resourcev3.ClusterType:
		return c.applyClusters(response.GetResources())
	case resourcev3.SecretType:
		return c.applySecrets(response.GetResources())
	}
	return nil
}

// answer acknowledges a response, or refuses it. New clusters may need secrets that
// are not subscribed to yet.
func (c *adsClient) answer(response *discoveryv3.DiscoveryResponse, refused error) error {
	request := &discoveryv3.DiscoveryRequest{
		TypeUrl: response.GetTypeUrl(), ResponseNonce: response.GetNonce(), VersionInfo: response.GetVersionInfo(),
	}
	switch response.GetTypeUrl() {
	case resourcev3.ExtensionConfigType:
		request.ResourceNames = []string{envoyconf.FilterName}
	case resourcev3.RouteType:
		request.ResourceNames = []string{envoyconf.ListenerName}
	case resourcev3.SecretType:
		request.ResourceNames = c.secretNames()
	}
	if refused != nil {
		request.VersionInfo = ""
		request.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: refused.Error()}
	}
	if err := c.stream.Send(request); err != nil {
		return fmt.Errorf("xDS: %w", err)
	}
	news := false
	for _, name := range c.injects {
		news = news || !c.subscribed[name]
		c.subscribed[name] = true
	}
	if !news {
		return nil
	}
	if err := c.stream.Send(&discoveryv3.DiscoveryRequest{TypeUrl: resourcev3.SecretType, ResourceNames: c.secretNames()}); err != nil {
		return fmt.Errorf("xDS: %w", err)
	}
	return nil
}

func (c *adsClient) secretNames() []string {
	names := make([]string, 0, len(c.subscribed))
	for name := range c.subscribed {
		names = append(names, name)
	}
	return names
}

func (c *adsClient) applyClusters(resources []*anypb.Any) error {
	for _, resource := range resources {
		var cluster clusterv3.Cluster
		if err := resource.UnmarshalTo(&cluster); err != nil {
			return fmt.Errorf("a cluster: %w", err)
		}
		name, err := injectedSecret(&cluster)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", cluster.GetName(), err)
		}
		endpoints := cluster.GetLoadAssignment().GetEndpoints()
		if len(endpoints) == 0 || len(endpoints[0].GetLbEndpoints()) == 0 {
			return fmt.Errorf("cluster %s has no endpoint", cluster.GetName())
		}
		at := endpoints[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress()
		c.clusters[cluster.GetName()] = wasmhost.Cluster{
			URL:                &url.URL{Scheme: "http", Host: net.JoinHostPort(at.GetAddress(), strconv.FormatUint(uint64(at.GetPortValue()), 10))},
			CredentialRequired: name != "",
		}
		if name != "" {
			c.injects[cluster.GetName()] = name
		}
	}
	if c.host == nil {
		return nil
	}
	return c.setClusters()
}

func (c *adsClient) applySecrets(resources []*anypb.Any) error {
	for _, resource := range resources {
		var delivered tlsv3.Secret
		if err := resource.UnmarshalTo(&delivered); err != nil {
			return fmt.Errorf("a secret: %w", err)
		}
		c.credentials[delivered.GetName()] = secret.New(delivered.GetGenericSecret().GetSecret().GetInlineString())
	}
	if c.host == nil {
		return nil
	}
	for cluster, name := range c.injects {
		c.host.SetCredential(cluster, c.credentials[name])
	}
	return nil
}

// filterConfiguration is the plugin's configuration in an ECDS answer.
func filterConfiguration(resources []*anypb.Any) ([]byte, error) {
	if len(resources) != 1 {
		return nil, fmt.Errorf("xDS: %d filters instead of one", len(resources))
	}
	var (
		extension corev3.TypedExtensionConfig
		wasm      wasmfilterv3.Wasm
		text      wrapperspb.StringValue
	)
	if err := resources[0].UnmarshalTo(&extension); err != nil {
		return nil, fmt.Errorf("the filter: %w", err)
	}
	if err := extension.GetTypedConfig().UnmarshalTo(&wasm); err != nil {
		return nil, fmt.Errorf("the filter: %w", err)
	}
	if err := wasm.GetConfig().GetConfiguration().UnmarshalTo(&text); err != nil {
		return nil, fmt.Errorf("the filter's configuration: %w", err)
	}
	return []byte(text.GetValue()), nil
}

// injectedSecret names the secret that Envoy's credential_injector adds to calls.
func injectedSecret(cluster *clusterv3.Cluster) (string, error) {
	for _, options := range cluster.GetTypedExtensionProtocolOptions() {
		var protocol httpv3.HttpProtocolOptions
		if err := options.UnmarshalTo(&protocol); err != nil {
			return "", fmt.Errorf("protocol options: %w", err)
		}
		for _, filter := range protocol.GetHttpFilters() {
			var injector injectorv3.CredentialInjector
			if !filter.GetTypedConfig().MessageIs(&injector) {
				continue
			}
			var generic genericv3.Generic
			if err := filter.GetTypedConfig().UnmarshalTo(&injector); err != nil {
				return "", fmt.Errorf("credential injector: %w", err)
			}
			if err := injector.GetCredential().GetTypedConfig().UnmarshalTo(&generic); err != nil {
				return "", fmt.Errorf("credential: %w", err)
			}
			return generic.GetCredential().GetName(), nil
		}
	}
	return "", nil
}
