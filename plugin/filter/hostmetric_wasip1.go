package filter

import "unsafe"

// The SDK's calls for metrics write their panics with fmt, which nothing else in the
// filter needs: a tenth of what every Envoy compiles. Each returns the host's status, 0
// for success.

//go:wasmimport env proxy_define_metric
//go:noescape
func proxyDefineMetric(kind uint32, name *byte, size int32, id unsafe.Pointer) uint32

//go:wasmimport env proxy_increment_metric
func proxyIncrementMetric(id uint32, offset int64) uint32

//go:wasmimport env proxy_record_metric
func proxyRecordMetric(id uint32, value uint64) uint32

// defineMetric returns the host's id of a metric, 0 if it takes none: a count is lost
// then, and no request.
func defineMetric(kind metricKind, name string) metricID {
	var id uint32
	if proxyDefineMetric(uint32(kind), unsafe.StringData(name), int32(len(name)), unsafe.Pointer(&id)) != 0 { //nolint:gosec // the host writes four bytes there, and a name is short
		return 0
	}
	return metricID(id)
}

func (m metricID) add(offset int64) { proxyIncrementMetric(uint32(m), offset) }

func (m metricID) record(value uint64) { proxyRecordMetric(uint32(m), value) }
