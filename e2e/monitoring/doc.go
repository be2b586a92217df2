// Package monitoring tries what to watch on real parts: promtool and Prometheus, from
// Debian's package prometheus, a control plane and an Envoy. A missing part is left out,
// and is a failure with UMAGATE_REQUIRE_REAL=1.
package monitoring
