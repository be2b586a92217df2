package envoyconf

import metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"

// statsConfig makes labels of the tags in the names of the filter's metrics.
func statsConfig() *metricsv3.StatsConfig {
	return &metricsv3.StatsConfig{}
}
