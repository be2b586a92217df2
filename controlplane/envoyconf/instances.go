package envoyconf

import (
	"cmp"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// instancesCluster is where the filter asks for instances: the control plane, with
// a credential of its own, so that nobody else can ask or tell there. It is nil
// where no site has instances.
func instancesCluster(in Input) (*clusterv3.Cluster, error) {
	if !in.AsksForInstances() {
		return nil, nil
	}
	return controlPlaneCluster(in, site.InstancesCluster, site.InstancesSecret)
}

// signingKeyCluster is where the filter asks for the key of a site's internal tokens, with a
// credential that only Envoys with this site have.
func signingKeyCluster(in Input, name string) (*clusterv3.Cluster, error) {
	return controlPlaneCluster(in, site.SigningKeyCluster(name), site.SigningKeySecret(name))
}

func controlPlaneCluster(in Input, name, credential string) (*clusterv3.Cluster, error) {
	at, err := parseEndpoint("http://" + cmp.Or(in.Instances, in.File.Envoy.Instances, in.File.Listen.Instances))
	if err != nil {
		return nil, fmt.Errorf("envoy.instances: %w", err)
	}
	cluster, err := plainCluster(name, at)
	if err != nil {
		return nil, err
	}
	filter, err := injectorFilter(genericName, &genericv3.Generic{
		Credential: in.secret(credential),
	})
	if err != nil {
		return nil, err
	}
	if in.File.Listen.XDSTLS != nil {
		if err := mutual(cluster, at.host, in.File.Envoy.XDSTLS); err != nil {
			return nil, err
		}
	}
	return cluster, setProtocol(cluster, filter)
}

// AsksForInstances reports whether a filter with this configuration asks the control
// plane for instances.
func (in Input) AsksForInstances() bool {
	return slices.ContainsFunc(in.Config.Sites, func(s config.Site) bool { return s.Instances != nil })
}

// CheckStatic refuses what an Envoy without control plane cannot do.
func CheckStatic(file *site.File) error {
	for i := range file.Sites {
		s := &file.Sites[i]
		for j := range s.Resources {
			if s.HasInstances() && s.Resources[j].HasInstances() {
				return fmt.Errorf("%w: site %s: resource %s has instances, which only the control plane knows: use umagate serve, and umagate render bootstrap for Envoy",
					ErrInput, s.Name, s.Resources[j].Name)
			}
		}
		if s.InternalToken != nil {
			return fmt.Errorf("%w: site %s: the key of internal_token is the control plane's: use umagate serve, and umagate render bootstrap for Envoy", ErrInput, s.Name)
		}
		if s.Upstream == "" {
			return fmt.Errorf("%w: site %s has no upstream to route to; write upstream: http://HOST:PORT", ErrInput, s.Name)
		}
	}
	return nil
}

// InstancesSecret is the SDS resource of what Envoy shows where it asks for
// instances.
func InstancesSecret(value secret.Text) *tlsv3.Secret {
	return genericSecret(site.InstancesSecret, Bearer(value))
}
