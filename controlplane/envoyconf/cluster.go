package envoyconf

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	commondnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

const (
	// connectTimeout bounds connection and TLS handshake; the call as a whole is
	// bounded by the filter.
	connectTimeout = 2 * time.Second
	// idleTimeout closes an unused connection before a server's usual 60 s, so that
	// no call goes out on a connection that is being closed.
	idleTimeout = 30 * time.Second

	httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// eachEndpoint calls build for every endpoint of a site's AS that the filter
// calls, with the credential it is called with.
func (in Input) eachEndpoint(s *site.Site, c *config.Site, build func(config.Endpoint, as.Credential) error) error {
	server := c.AuthorizationServer
	if server.Unknown {
		return nil
	}
	if err := build(server.Introspection.Endpoint, credentialOf(s, in.Facts[s.Name])); err != nil {
		return fmt.Errorf("introspection: %w", err)
	}
	if server.Permission == nil {
		return nil
	}
	if err := build(*server.Permission, as.CredentialPAT); err != nil {
		return fmt.Errorf("protection API: %w", err)
	}
	if server.Evaluation == nil {
		return nil
	}
	credential := as.CredentialNone // the token is
	if server.Evaluation.ClaimTokenFormat != "" {
		credential = as.CredentialClient
	}
	if err := build(server.Evaluation.Endpoint, credential); err != nil {
		return fmt.Errorf("token endpoint: %w", err)
	}
	return nil
}

// credentialOf is what introspection is called with: what the file says, or the
// dialect, or the client's own credential.
func credentialOf(s *site.Site, facts site.Facts) as.Credential {
	switch {
	case s.AuthorizationServer.Introspection.Credential != "":
		return s.AuthorizationServer.Introspection.Credential
	case facts.IntrospectionCredential != "":
		return facts.IntrospectionCredential
	default:
		return as.CredentialClient
	}
}

// asCluster builds the cluster of one endpoint of an AS, with the filter that adds
// its credential and the certificate that the connection shows; either may be nil.
func asCluster(
	file *site.File, s *site.Site, name string, e config.Endpoint, filter *hcmv3.HttpFilter, certificate *tlsv3.SdsSecretConfig,
) (*clusterv3.Cluster, error) {
	at, err := parseEndpoint(cmp.Or(e.Scheme, "https") + "://" + e.Authority)
	if err != nil {
		return nil, err
	}
	cluster, err := plainCluster(name, at)
	if err != nil {
		return nil, err
	}
	if err := secure(cluster, at, file, s.AuthorizationServer.TLS, certificate); err != nil {
		return nil, err
	}
	if err := setProtocol(cluster, filter); err != nil {
		return nil, err
	}
	cluster.CircuitBreakers = breakers(s)
	return cluster, nil
}

// breakers bounds what a stuck AS can tie up. The filter's own limit is per
// worker; this one is Envoy's as a whole.
func breakers(s *site.Site) *clusterv3.CircuitBreakers {
	const (
		callsInFlight   = 256 // the filter's default
		workersExpected = 16
	)
	limit := uint32(callsInFlight)
	if s.Limits.CallsInFlight > 0 {
		limit = uint32(s.Limits.CallsInFlight) //nolint:gosec // validated to be at most 100,000
	}
	limit *= workersExpected
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     wrapperspb.UInt32(limit),
		MaxPendingRequests: wrapperspb.UInt32(limit),
		MaxRequests:        wrapperspb.UInt32(limit),
		MaxRetries:         wrapperspb.UInt32(limit), // the filter has each call made once more at most
		TrackRemaining:     true,
	}}}
}

// plainCluster is a cluster with one endpoint and no TLS. There is no outlier
// detection: it would take away the only endpoint, and make an outage of a hiccup.
func plainCluster(name string, at endpoint) (*clusterv3.Cluster, error) {
	cluster := &clusterv3.Cluster{
		Name:           name,
		ConnectTimeout: duration(connectTimeout),
		LoadAssignment: endpointAt(name, address(at.host, at.port)),
	}
	if net.ParseIP(at.host) != nil {
		cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		return cluster, nil
	}
	// One endpoint with all addresses: Envoy tries them in turn (RFC 8305), so that
	// a name with an address that does not answer still works.
	dns, err := pack(&dnsv3.DnsCluster{
		AllAddressesInSingleEndpoint: true,
		DnsLookupFamily:              commondnsv3.DnsLookupFamily_ALL,
		RespectDnsTtl:                true,
	})
	if err != nil {
		return nil, err
	}
	cluster.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.clusters.dns", TypedConfig: dns,
	}}
	return cluster, nil
}

// endpointAt is the one endpoint of a cluster.
func endpointAt(cluster string, at *corev3.Address) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: at}},
		}}}},
	}
}

func setOptions(cluster *clusterv3.Cluster, options *anypb.Any) {
	cluster.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: options}
}

func address(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// hostPort reads HOST:PORT of the file's listen and envoy sections.
func hostPort(s string) (*corev3.Address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is not HOST:PORT: %w", ErrInput, s, err)
	}
	n, err := parsePort(port)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrInput, s, err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return address(host, n), nil
}

func parsePort(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("port %q is not a number up to 65535", s)
	}
	return uint32(n), nil
}
