package filter

import (
	"time"

	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/route"
)

// metrics gives the core's counts to Envoy. A name is
// "umagate.<label>.<value>.….<metric>"; the bootstrap's stats_tags make labels of
// it. A metric is defined when it first counts, and a define is a host call, so
// their ids are kept.
type metrics struct {
	ids    map[string]metricID
	gauges map[string]int // this worker's share of what all workers add to
}

// metricID is what the host knows a metric by.
type metricID uint32

// metricKind is a kind of metric, in the numbers of the ABI.
type metricKind uint32

const (
	counterMetric metricKind = iota
	gaugeMetric
	histogramMetric
)

func newMetrics() metrics {
	return metrics{ids: make(map[string]metricID), gauges: make(map[string]int)}
}

func (m *metrics) id(kind metricKind, name string) metricID {
	id, ok := m.ids[name]
	if !ok {
		id = defineMetric(kind, name)
		m.ids[name] = id
	}
	return id
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
		for k, n := range s.Messages {
			m.count(prefix+"mcp_method."+label(k.Method)+".mcp_name."+label(k.Name)+".result."+k.Effect.String()+".mcp_messages_total", n)
		}
		for c := range decision.Withhelds {
			m.count(prefix+"reason."+c.String()+".mcp_messages_withheld_total", s.Withheld[c])
		}
		m.count(prefix+"result.hit.token_lookups_total", s.CacheHits)
		m.count(prefix+"result.miss.token_lookups_total", s.CacheMisses)
		m.count(prefix+"result.stale.token_lookups_total", s.CacheStale)
		m.count(prefix+"as_calls_shared_total", s.CallsShared)
		for r := range decision.Reasons {
			if n := s.StreamsEnded[r]; n > 0 {
				m.count(prefix+"reason."+r.String()+".streams_ended_total", n)
			}
		}
		m.count(prefix+"result.hit.instance_lookups_total", s.InstanceHits)
		m.count(prefix+"result.miss.instance_lookups_total", s.InstanceMisses)
		m.count(prefix+"result.stale.instance_lookups_total", s.InstanceStale)
		m.count(prefix+"reason.no_owner.instances_not_registered_total", s.NoOwner)
		m.count(prefix+"reason.no_instance.instances_not_registered_total", s.NoInstance)
		m.count(prefix+"instance_reports_lost_total", s.ReportsLost)
		for p := range decision.Purposes {
			operation, callee := prefix+"operation."+p.String()+".", "control_plane"
			switch {
			case p.ToAS():
				callee = "as"
			case p == decision.PurposeList:
				callee = "mcp_server"
			}
			for o := range decision.CallOutcomes {
				m.count(operation+"outcome."+o.String()+"."+callee+"_calls_total", s.Calls[p][o])
			}
			// Not in seconds: a filter can give the host whole numbers only.
			m.observe(operation+callee+"_call_milliseconds", s.Latencies[p])
		}
	})
	entries, bytes := w.Cached()
	m.set("umagate.cached_tokens", entries)
	m.set("umagate.cached_token_bytes", bytes)
	entries, bytes = w.Streams()
	m.set("umagate.live_streams", entries)
	m.set("umagate.live_stream_bytes", bytes)
	entries, bytes = w.Waiting()
	m.set("umagate.waiting_requests", entries)
	m.set("umagate.waiting_request_bytes", bytes)
}

// label writes a text so that it stands between two dots of a name: whatever is no letter,
// digit or one of "-_/*:" is percent-encoded.
func label(text string) string {
	return route.Escape(text, func(c byte) bool {
		return (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '/' && c != '*' && c != ':'
	})
}

func (m *metrics) count(name string, n uint64) {
	if n > 0 {
		m.id(counterMetric, name).add(int64(n)) //nolint:gosec // of a second
	}
}

func (m *metrics) observe(name string, values []time.Duration) {
	for _, v := range values {
		m.id(histogramMetric, name).record(uint64(max(v, 0) / time.Millisecond))
	}
}

// set also makes a gauge that is 0: where there is none, nobody can tell it from a name
// that is gone.
func (m *metrics) set(name string, value int) {
	if given, known := m.gauges[name]; value != given || !known {
		m.id(gaugeMetric, name).add(int64(value - given))
		m.gauges[name] = value
	}
}
