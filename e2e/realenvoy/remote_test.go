package realenvoy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// A module that is fetched by HTTP must be the one whose sha256 is configured;
// with any other nothing passes.
func TestRemoteModule(t *testing.T) {
	path := probe(t)
	module, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(module)
	tests := []struct {
		name   string
		sha256 string
		status int
	}{
		{"the module", hex.EncodeToString(sum[:]), http.StatusOK},
		{"another module", fmt.Sprintf("%064x", 1), http.StatusServiceUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.ServeFile(w, r, path)
			}))
			t.Cleanup(server.Close)
			_, base := setup{
				Clusters: cluster("module", server.Listener.Addr().String()),
				Filter: fmt.Sprintf(`
          - name: probe
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: probe
                vm_config:
                  runtime: envoy.wasm.runtime.v8
                  code: {remote: {sha256: %q, http_uri: {uri: "http://module/umagate.wasm", cluster: module, timeout: 10s}}}`, tt.sha256),
			}.start(t)
			response, _ := ask(t.Context(), t, base, "config")
			require.Equal(t, tt.status, response.StatusCode)
		})
	}
}
