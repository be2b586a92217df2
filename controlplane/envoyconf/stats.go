package envoyconf

import (
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
)

// flushEvery is how often Envoy reports what it counts: status is to know within 15 s.
const flushEvery = 5 * time.Second

// report has Envoy tell the control plane what it counts, so that status knows of an
// Envoy that cannot reach an authorization server. Envoy can leave nothing out; a
// histogram is shortest as a summary.
func report(out *bootstrapv3.Bootstrap) error {
	sink, err := pack(&metricsv3.MetricsServiceConfig{
		GrpcService: grpcTo(xdsCluster), TransportApiVersion: corev3.ApiVersion_V3, HistogramEmitMode: metricsv3.HistogramEmitMode_SUMMARY,
	})
	if err != nil {
		return err
	}
	out.StatsSinks = []*metricsv3.StatsSink{{Name: "envoy.stat_sinks.metrics_service", ConfigType: &metricsv3.StatsSink_TypedConfig{TypedConfig: sink}}}
	out.StatsFlushInterval = duration(flushEvery)
	return nil
}

// statsConfig makes labels of what the filter puts into the names of its metrics:
// umagate.site.photos.result.allow.reason.permitted.decisions_total is, for
// Prometheus, umagate_decisions_total{site="photos",result="allow",reason="permitted"}.
func statsConfig() *metricsv3.StatsConfig {
	out := &metricsv3.StatsConfig{}
	tag := func(label, before string) {
		out.StatsTags = append(out.StatsTags, &metricsv3.TagSpecifier{
			TagName:  label,
			TagValue: &metricsv3.TagSpecifier_Regex{Regex: `^wasmcustom\.umagate\.` + before + `(` + label + `\.([^.]+)\.)`},
		})
	}
	for _, label := range []string{"site", "result", "reason", "operation", "outcome", "mcp_method", "mcp_name"} {
		tag(label, `(?:.+\.)?`)
	}
	tag("module", "")
	tag("level", `module\.[^.]+\.`)
	return out
}
