package envoyconf

import (
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
)

// maxClientConnections bounds what all clients together hold open. Without a bound
// they can use up an Envoy's file descriptors.
const maxClientConnections = 50_000

// overloadManager bounds the clients' connections. A bound for memory is left to
// those who know the machine.
func overloadManager() (*overloadv3.OverloadManager, error) {
	packed, err := pack(&connectionsv3.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: maxClientConnections})
	if err != nil {
		return nil, err
	}
	return &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
		Name:       "envoy.resource_monitors.global_downstream_max_connections",
		ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: packed},
	}}}, nil
}
