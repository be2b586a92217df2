package envoyconf

import metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"

// statsConfig makes labels of what the filter puts into the names of its metrics:
// umagate.site.photos.result.allow.reason.permitted.decisions_total is, for
// Prometheus, umagate_decisions_total{site="photos",result="allow",reason="permitted"}.
func statsConfig() *metricsv3.StatsConfig {
	out := &metricsv3.StatsConfig{}
	for _, label := range []string{"site", "result", "reason", "operation", "outcome"} {
		out.StatsTags = append(out.StatsTags, &metricsv3.TagSpecifier{
			TagName: label,
			TagValue: &metricsv3.TagSpecifier_Regex{
				Regex: `^wasmcustom\.umagate\.(?:.+\.)?(` + label + `\.([^.]+)\.)`,
			},
		})
	}
	return out
}
