package realenvoy_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Before the control plane has ever answered, a filter that comes by ECDS and has
// no default_config lets nothing pass.
func TestNoFilterBeforeTheControlPlane(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := nobody.Addr().String()
	require.NoError(t, nobody.Close())
	process, base := setup{
		Clusters: cluster("xds", address, `    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}`),
		Filter: `
          - name: umagate
            config_discovery:
              type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]
              config_source:
                resource_api_version: V3
                initial_fetch_timeout: 0.5s
                api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}`,
	}.start(t)
	response, body := ask(t.Context(), t, base, "")
	require.Equal(t, http.StatusInternalServerError, response.StatusCode)
	require.Empty(t, body)
	const failed = "extension_config_discovery.http_filter.umagate.config_fail"
	stats, err := process.Stats(t.Context(), failed)
	require.NoError(t, err)
	require.Equal(t, uint64(1), stats[failed])
}
