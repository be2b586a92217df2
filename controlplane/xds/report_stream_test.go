package xds_test

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metrics "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	resource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	prom "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/umagate/umagate/controlplane/xds"
)

// report sends a report that says it is of a node, and waits until it has been read.
func report(t *testing.T, conn *grpc.ClientConn, node string) {
	t.Helper()
	stream, err := metrics.NewMetricsServiceClient(conn).StreamMetrics(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&metrics.StreamMetricsMessage{
		Identifier: &metrics.StreamMetricsMessage_Identifier{Node: &corev3.Node{Id: node}},
		EnvoyMetrics: []*prom.MetricFamily{{
			Name: new("wasmcustom.umagate.site.photos.operation.introspection.outcome.unreachable.as_calls_total"), Type: prom.MetricType_COUNTER.Enum(),
			Metric: []*prom.Metric{{Counter: &prom.Counter{Value: new(float64(9))}}},
		}},
	}))
	_, err = stream.CloseAndRecv()
	require.NoError(t, err)
}

// TestAnEnvoyReportsOfItselfOnly: whatever node a report names, it is of the Envoy at the
// other end of the connection.
func TestAnEnvoyReportsOfItselfOnly(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.push(t, "one", "as", "pat")
	r.envoy(t).subscribe(resource.ClusterType, "")
	r.state(t, edge, xds.CDS, func(s xds.State) bool { return s.Sent != "" })
	stranger, err := grpc.NewClient(r.conn.Target(), grpc.WithTransportCredentials(plain()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = stranger.Close() })
	report(t, stranger, edge)
	require.Len(t, r.server.Envoys(), 1)
	require.Equal(t, time.Time{}, r.server.Envoys()[0].ReportedAt)
	report(t, r.conn, "another")
	require.Len(t, r.server.Envoys(), 1)
	require.NotEqual(t, time.Time{}, r.server.Envoys()[0].ReportedAt)
}
