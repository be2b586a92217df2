package istio

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/manifest"
	"github.com/umagate/umagate/controlplane/site"
)

type envoyFilter struct {
	WorkloadSelector *podLabels    `yaml:"workloadSelector,omitempty"`
	TargetRefs       []targetRef   `yaml:"targetRefs,omitempty"`
	ConfigPatches    []configPatch `yaml:"configPatches"`
}

// podLabels are an EnvoyFilter's pods, which it says in its own way.
type podLabels struct {
	Labels map[string]string `yaml:"labels"`
}

type configPatch struct {
	ApplyTo string     `yaml:"applyTo"`
	Match   patchMatch `yaml:"match"`
	Patch   patch      `yaml:"patch"`
}

type patchMatch struct {
	Context  string         `yaml:"context"`
	Cluster  *clusterMatch  `yaml:"cluster,omitempty"`
	Listener *listenerMatch `yaml:"listener,omitempty"`
}

type clusterMatch struct {
	Service    string `yaml:"service"`
	Subset     string `yaml:"subset"`
	PortNumber uint32 `yaml:"portNumber"`
}

type listenerMatch struct {
	FilterChain struct {
		Filter struct {
			Name      string `yaml:"name"`
			SubFilter struct {
				Name string `yaml:"name"`
			} `yaml:"subFilter"`
		} `yaml:"filter"`
	} `yaml:"filterChain"`
}

type patch struct {
	Operation string     `yaml:"operation"`
	Value     *yaml.Node `yaml:"value"`
}

func (o Options) envoyFilter(patches []configPatch) manifest.Object {
	spec := envoyFilter{ConfigPatches: patches, TargetRefs: o.targetRefs()}
	if spec.TargetRefs == nil {
		spec.WorkloadSelector = &podLabels{Labels: o.pods()}
	}
	return manifest.Object{APIVersion: "networking.istio.io/v1alpha3", Kind: "EnvoyFilter", Metadata: o.metadata(""), Spec: spec}
}

// addCluster gives the proxies a cluster that Istio does not know.
func (o Options) addCluster(c *clusterv3.Cluster) (configPatch, error) {
	value, err := manifest.Resource(c)
	return configPatch{ApplyTo: "CLUSTER", Match: patchMatch{Context: o.clusterContext()}, Patch: patch{Operation: "ADD", Value: value}}, err
}

// mergeCluster changes the cluster that Istio makes for a subset.
func (o Options) mergeCluster(h *host, s subset, c *clusterv3.Cluster) (configPatch, error) {
	value, err := manifest.Resource(c)
	return configPatch{
		ApplyTo: "CLUSTER",
		Match:   patchMatch{Context: o.clusterContext(), Cluster: &clusterMatch{Service: h.name, Subset: s.name, PortNumber: s.port}},
		Patch:   patch{Operation: "MERGE", Value: value},
	}, err
}

// ownCluster is a cluster as an Envoy has it that umagate configures alone.
type ownCluster struct{ *clusterv3.Cluster }

func ownClusters(in envoyconf.Input) (map[string]*ownCluster, []*clusterv3.Cluster, error) {
	list, err := envoyconf.Clusters(in)
	if err != nil {
		return nil, nil, err
	}
	byName := map[string]*ownCluster{}
	for _, c := range list {
		byName[c.GetName()] = &ownCluster{c}
	}
	return byName, list, nil
}

func (c *ownCluster) limits() uint32 {
	return c.GetCircuitBreakers().GetThresholds()[0].GetMaxRequests().GetValue()
}

func (c *ownCluster) connectTimeout() string { return c.GetConnectTimeout().AsDuration().String() }

// hasOwnTLS reports whether it takes more to speak TLS than a destination rule says:
// authorities of the file's own, or a client certificate that comes by SDS.
func (c *ownCluster) hasOwnTLS(in envoyconf.Input, s *site.Site) bool {
	return len(s.AuthorizationServer.TLS.CA) > 0 || in.Facts[s.Name].ClientCertificate
}

// credentials are the patches that add to a host's clusters what umagate knows and a
// destination rule cannot say: the credential of each call, by SDS.
func (o Options) credentials(in envoyconf.Input, h *host, own map[string]*ownCluster) ([]configPatch, error) {
	var out []configPatch
	for _, s := range h.subsets {
		c := own[s.cluster]
		if c == nil {
			return nil, fmt.Errorf("%w: there is no cluster %s", ErrOptions, s.cluster)
		}
		merged := []*clusterv3.Cluster{{TypedExtensionProtocolOptions: c.GetTypedExtensionProtocolOptions()}}
		if h.isTLS(s.port) && c.hasOwnTLS(in, s.site) {
			// Apart: with a transport socket in it, Istio merges nothing else of a patch.
			merged = append(merged, &clusterv3.Cluster{TransportSocket: c.GetTransportSocket()})
		}
		for _, part := range merged {
			p, err := o.mergeCluster(h, s, part)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// httpFilter has the filter come from the control plane, in every HTTP connection manager
// that requests arrive at. It is the last before the router: Istio's own authentication
// and authorization come before it.
func (o Options) httpFilter(source *corev3.ConfigSource) (configPatch, error) {
	filter := envoyconf.DiscoveredFilter(source)
	value, err := manifest.Resource(filter)
	p := configPatch{
		ApplyTo: "HTTP_FILTER",
		Match:   patchMatch{Context: o.context(), Listener: &listenerMatch{}},
		Patch:   patch{Operation: "INSERT_BEFORE", Value: value},
	}
	p.Match.Listener.FilterChain.Filter.Name = "envoy.filters.network.http_connection_manager"
	p.Match.Listener.FilterChain.Filter.SubFilter.Name = "envoy.filters.http.router"
	return p, err
}
