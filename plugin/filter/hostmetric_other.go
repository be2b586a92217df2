//go:build !wasip1

package filter

import "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

func defineMetric(kind metricKind, name string) metricID {
	switch kind {
	case gaugeMetric:
		return metricID(proxywasm.DefineGaugeMetric(name))
	case histogramMetric:
		return metricID(proxywasm.DefineHistogramMetric(name))
	case counterMetric:
	}
	return metricID(proxywasm.DefineCounterMetric(name))
}

func (m metricID) add(offset int64) { proxywasm.MetricGauge(m).Add(offset) }

func (m metricID) record(value uint64) { proxywasm.MetricHistogram(m).Record(value) }
