package wasmhost

import (
	"context"
	"math"
	"sync"
)

// metricKind is proxy_metric_type_t.
type metricKind uint32

const (
	counter metricKind = iota
	gauge
	histogram
)

// metric is one metric of the host; VMs have handles to it.
type metric struct {
	kind  metricKind
	mu    sync.Mutex
	value uint64
	hist  Histogram
}

// Histogram is what was recorded into a histogram.
type Histogram struct {
	Count, Sum, Min, Max uint64
}

// Stats are the metrics the filter defined, by name, and what the host counts.
type Stats struct {
	Counters   map[string]uint64
	Gauges     map[string]uint64
	Histograms map[string]Histogram
	// Traps, Reloads, ReloadFailures and ReloadBackoffs are about VMs;
	// ConfigUpdates and ConfigRefusals about UpdateConfig.
	Traps, Reloads, ReloadFailures, ReloadBackoffs uint64
	ConfigUpdates, ConfigRefusals                  uint64
	// Streams are those in progress.
	Streams int64
}

// metrics are all metrics of a host, by kind and name.
type metrics struct {
	mu     sync.Mutex
	byName [3]map[string]*metric
}

func newMetrics() *metrics {
	m := &metrics{}
	for i := range m.byName {
		m.byName[i] = map[string]*metric{}
	}
	return m
}

func (m *metrics) define(kind metricKind, name string) *metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.byName[kind][name]
	if x == nil {
		x = &metric{kind: kind}
		m.byName[kind][name] = x
	}
	return x
}

func (m *metrics) fill(s *Stats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Counters, s.Gauges, s.Histograms = map[string]uint64{}, map[string]uint64{}, map[string]Histogram{}
	for name, x := range m.byName[counter] {
		s.Counters[name] = x.get()
	}
	for name, x := range m.byName[gauge] {
		s.Gauges[name] = x.get()
	}
	for name, x := range m.byName[histogram] {
		x.mu.Lock()
		s.Histograms[name] = x.hist
		x.mu.Unlock()
	}
}

func (x *metric) get() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.value
}

// increment is proxy_increment_metric: a counter refuses 0 and less, as Envoy's.
func (x *metric) increment(by int64) status {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.kind == histogram || x.kind == counter && by <= 0 {
		return statusBadArgument
	}
	x.value += uint64(by) //nolint:gosec // two's complement on purpose
	return statusOK
}

// record is proxy_record_metric.
func (x *metric) record(value uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch x.kind {
	case counter:
		x.value += value
	case gauge:
		x.value = value
	case histogram:
		if x.hist.Count == 0 {
			x.hist.Min = math.MaxUint64
		}
		x.hist.Count++
		x.hist.Sum += value
		x.hist.Min, x.hist.Max = min(x.hist.Min, value), max(x.hist.Max, value)
	}
}

func abiDefineMetric(_ context.Context, v *vm, a []uint64) status {
	name, ok := v.text(a[1], a[2])
	if !ok {
		return statusInvalidMemory
	}
	if a[0] > uint64(histogram) {
		return statusBadArgument
	}
	id := uint32(len(v.metrics))<<2 | uint32(a[0])                //nolint:gosec // checked above
	v.metrics[id] = v.host.metrics.define(metricKind(a[0]), name) //nolint:gosec // checked above
	return v.putU32(a[3], id)
}

func abiIncrementMetric(_ context.Context, v *vm, a []uint64) status {
	x := v.metrics[uint32(a[0])] //nolint:gosec // an i32 of the ABI
	if x == nil {
		return statusNotFound
	}
	return x.increment(int64(a[1])) //nolint:gosec // an i64 of the ABI
}

func abiRecordMetric(_ context.Context, v *vm, a []uint64) status {
	x := v.metrics[uint32(a[0])] //nolint:gosec // an i32 of the ABI
	if x == nil {
		return statusNotFound
	}
	x.record(a[1])
	return statusOK
}
