// Package monitoring has what to watch: rules that alert, for Prometheus, and a
// dashboard, for Grafana. They stand beside the other files of an operator.
// e2e/monitoring tries them on a real Prometheus, control plane and Envoy.
package monitoring

//go:generate go run ./dashgen
