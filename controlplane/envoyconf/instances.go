package envoyconf

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// instancesCluster is where the filter asks for instances: the control plane, with
// a credential of its own, so that nobody else can ask or tell there. It is nil
// where no site has instances.
func instancesCluster(in Input) (*clusterv3.Cluster, error) {
	wanted := false
	for i := range in.Config.Sites {
		wanted = wanted || in.Config.Sites[i].Instances != nil
	}
	if !wanted {
		return nil, nil
	}
	raw := in.Instances
	for _, other := range []string{in.File.Envoy.Instances, in.File.Listen.Instances} {
		if raw == "" {
			raw = other
		}
	}
	at, err := parseEndpoint("http://" + raw)
	if err != nil {
		return nil, fmt.Errorf("envoy.instances: %w", err)
	}
	cluster, err := plainCluster(site.InstancesCluster, at)
	if err != nil {
		return nil, err
	}
	filter, err := injectorFilter(genericName, &genericv3.Generic{
		Credential: &tlsv3.SdsSecretConfig{Name: site.InstancesSecret, SdsConfig: overADS()},
	})
	if err != nil {
		return nil, err
	}
	return cluster, setProtocol(cluster, filter)
}

// InstancesSecret is the SDS resource of what Envoy shows where it asks for
// instances.
func InstancesSecret(value secret.Text) *tlsv3.Secret {
	return genericSecret(site.InstancesSecret, Bearer(value))
}
