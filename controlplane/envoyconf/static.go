package envoyconf

import (
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	internalv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// addStatic adds a site's AS to a static bootstrap.
//
// The client's credential is injected where the cluster is, as by SDS. The PAT is
// not: Envoy 1.40 ends with a segmentation fault when a cluster of the bootstrap
// has an oauth2 credential, because that needs the cluster manager while it is
// being built. So these calls take a turn through an internal listener, whose
// HTTP connection manager has the injector.
func addStatic(out *bootstrapv3.Bootstrap, in Input, s *site.Site, c *config.Site) error {
	secrets, err := staticSecrets(s)
	if err != nil {
		return err
	}
	resources := out.GetStaticResources()
	resources.Secrets = append(resources.Secrets, secrets...)
	turns := false
	err = in.eachEndpoint(s, c, func(e config.Endpoint, credential as.Credential) error {
		if credential == as.CredentialNone {
			cluster, err := asCluster(in.File, s, e.Cluster, e, nil, nil)
			if err != nil {
				return err
			}
			resources.Clusters = append(resources.Clusters, cluster)
			return nil
		}
		if credential == as.CredentialClient {
			var filter *hcmv3.HttpFilter
			if staticCertificate(s) == nil {
				var err error
				if filter, err = staticInjector(s); err != nil {
					return err
				}
			}
			cluster, err := asCluster(in.File, s, e.Cluster, e, filter, staticCertificate(s))
			if err != nil {
				return err
			}
			resources.Clusters = append(resources.Clusters, cluster)
			return nil
		}
		turns = true
		turn, err := patListener(in, s, e)
		if err != nil {
			return err
		}
		upstream, err := asCluster(in.File, s, turnUpstream(e), e, nil, staticCertificate(s))
		if err != nil {
			return err
		}
		resources.Listeners = append(resources.Listeners, turn)
		resources.Clusters = append(resources.Clusters, turnCluster(s, e), upstream)
		return nil
	})
	if err != nil || !turns {
		return err
	}
	token, err := tokenUpstream(in, s)
	if err != nil {
		return err
	}
	resources.Clusters = append(resources.Clusters, token)
	return addInternalListeners(out)
}

// turnUpstream names the cluster behind the internal listener of an endpoint.
func turnUpstream(e config.Endpoint) string { return e.Cluster + "/upstream" }

// turnCluster leads the filter's calls to the internal listener.
func turnCluster(s *site.Site, e config.Endpoint) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 e.Cluster,
		ConnectTimeout:       duration(connectTimeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		CircuitBreakers:      breakers(s),
		LoadAssignment: endpointAt(e.Cluster, &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
			AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: e.Cluster},
		}}}),
	}
}

// patListener adds the PAT to what the filter calls. Nobody outside this Envoy can
// reach it.
func patListener(in Input, s *site.Site, e config.Endpoint) (*listenerv3.Listener, error) {
	injector, err := patInjector(in, s)
	if err != nil {
		return nil, err
	}
	router, err := httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: true})
	if err != nil {
		return nil, err
	}
	chains, err := filterChains(&hcmv3.HttpConnectionManager{
		StatPrefix: "umagate_as",
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: e.Cluster,
			VirtualHosts: []*routev3.VirtualHost{{
				Name: s.Name, Domains: []string{"*"},
				Routes: []*routev3.Route{{
					Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
					Action: &routev3.Route_Route{Route: &routev3.RouteAction{
						ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: turnUpstream(e)},
						Timeout:          duration(s.AuthorizationServer.Timeout),
						// The filter asks for it, too, and is answered by this listener.
						RetryPolicy: &routev3.RetryPolicy{RetryOn: "reset", NumRetries: wrapperspb.UInt32(1)},
					}},
				}},
			}},
		}},
		HttpFilters:   []*hcmv3.HttpFilter{injector, router},
		SkipXffAppend: true,
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:              e.Cluster,
		ListenerSpecifier: &listenerv3.Listener_InternalListener{InternalListener: &listenerv3.Listener_InternalListenerConfig{}},
		FilterChains:      chains,
	}, nil
}

// tokenUpstream is where Envoy gets the PAT from.
func tokenUpstream(in Input, s *site.Site) (*clusterv3.Cluster, error) {
	raw := tokenEndpoint(in, s)
	if raw == "" {
		return nil, fmt.Errorf("%w: the token endpoint is not known; write authorization_server.endpoints.token", ErrInput)
	}
	at, err := parseEndpoint(raw)
	if err != nil {
		return nil, err
	}
	cluster, err := plainCluster(tokenCluster(s.Name), at)
	if err != nil {
		return nil, err
	}
	if err := secure(cluster, at, in.File, s.AuthorizationServer.TLS, staticCertificate(s)); err != nil {
		return nil, err
	}
	var filter *hcmv3.HttpFilter
	if basicToken(s) {
		if filter, err = staticInjector(s); err != nil {
			return nil, err
		}
	}
	return cluster, setProtocol(cluster, filter)
}

// addInternalListeners switches on internal listeners, once for a bootstrap.
func addInternalListeners(out *bootstrapv3.Bootstrap) error {
	if len(out.GetBootstrapExtensions()) > 0 {
		return nil
	}
	packed, err := pack(&internalv3.InternalListener{})
	if err != nil {
		return err
	}
	out.BootstrapExtensions = []*corev3.TypedExtensionConfig{{Name: "envoy.bootstrap.internal_listener", TypedConfig: packed}}
	return nil
}
