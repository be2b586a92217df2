package filter

import (
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/decision"
)

// metrics gives the core's counts to Envoy. A name is
// "umagate.<label>.<value>.….<metric>"; the bootstrap's stats_tags make labels of
// it. A metric is defined when it first counts, and a define is a host call, so
// their ids are kept.
type metrics struct {
	counters   map[string]proxywasm.MetricCounter
	histograms map[string]proxywasm.MetricHistogram
	gauges     map[string]*gauge
}

// gauge is this worker's share of a gauge that all workers add to.
type gauge struct {
	metric proxywasm.MetricGauge
	given  int
}

func newMetrics() metrics {
	return metrics{
		counters:   make(map[string]proxywasm.MetricCounter),
		histograms: make(map[string]proxywasm.MetricHistogram),
		gauges:     make(map[string]*gauge),
	}
}

func (m *metrics) flush(w *decision.Worker) {
	w.Drain(func(site string, s *decision.SiteStats) {
		prefix := "umagate.site." + site + "."
		for e := range decision.Effects {
			for r := range decision.Reasons {
				if n := s.Decisions[e][r]; n > 0 {
					m.count(prefix+"result."+e.String()+".reason."+r.String()+".decisions_total", n)
				}
			}
		}
		m.count(prefix+"result.hit.token_lookups_total", s.CacheHits)
		m.count(prefix+"result.miss.token_lookups_total", s.CacheMisses)
		m.count(prefix+"as_calls_shared_total", s.CallsShared)
		m.count(prefix+"result.hit.instance_lookups_total", s.InstanceHits)
		m.count(prefix+"result.miss.instance_lookups_total", s.InstanceMisses)
		m.count(prefix+"result.stale.instance_lookups_total", s.InstanceStale)
		m.count(prefix+"reason.no_owner.instances_not_registered_total", s.NoOwner)
		m.count(prefix+"reason.no_instance.instances_not_registered_total", s.NoInstance)
		m.count(prefix+"instance_reports_lost_total", s.ReportsLost)
		for p := range decision.Purposes {
			endpoint := prefix + "endpoint." + p.String() + "."
			for o := range decision.CallOutcomes {
				m.count(endpoint+"outcome."+o.String()+".as_calls_total", s.Calls[p][o])
			}
			m.observe(endpoint+"as_call_milliseconds", s.Latencies[p])
		}
	})
	entries, bytes := w.Cached()
	m.set("umagate.cached_tokens", entries)
	m.set("umagate.cached_token_bytes", bytes)
	entries, bytes = w.Waiting()
	m.set("umagate.waiting_requests", entries)
	m.set("umagate.waiting_request_bytes", bytes)
}

func (m *metrics) count(name string, n uint64) {
	if n == 0 {
		return
	}
	c, ok := m.counters[name]
	if !ok {
		c = proxywasm.DefineCounterMetric(name)
		m.counters[name] = c
	}
	c.Increment(n)
}

func (m *metrics) observe(name string, values []time.Duration) {
	if len(values) == 0 {
		return
	}
	h, ok := m.histograms[name]
	if !ok {
		h = proxywasm.DefineHistogramMetric(name)
		m.histograms[name] = h
	}
	for _, v := range values {
		h.Record(uint64(max(v, 0) / time.Millisecond))
	}
}

func (m *metrics) set(name string, value int) {
	g := m.gauges[name]
	if g == nil {
		g = &gauge{metric: proxywasm.DefineGaugeMetric(name)}
		m.gauges[name] = g
	}
	if value != g.given {
		g.metric.Add(int64(value - g.given))
		g.given = value
	}
}
