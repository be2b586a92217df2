package realenvoy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A metric whose name starts with pairs of label and value reaches Prometheus as
// a clean name with labels.
func TestStatsTags(t *testing.T) {
	process, base := setup{
		Resources: `
stats_flush_interval: 0.1s
stats_config:
  stats_tags:
  - {tag_name: site, regex: '^wasmcustom\.umagate\.(?:.+\.)?(site\.([^.]+)\.)'}
  - {tag_name: reason, regex: '^wasmcustom\.umagate\.(?:.+\.)?(reason\.([^.]+)\.)'}
`,
	}.start(t)
	tests := []struct {
		name, command, want string
	}{
		{"counter", "counter umagate.site.pho-to_s.reason.no_token.decisions_total", `umagate_decisions_total{site="pho-to_s",reason="no_token"} 3`},
		{"no label", "counter umagate.cache_hits_total", `umagate_cache_hits_total{} 3`},
		{"gauge", "gauge umagate.site.photos.entries", `umagate_entries{site="photos"} 3`},
		{"histogram", "histogram umagate.site.photos.as_call_milliseconds", `umagate_as_call_milliseconds_bucket{site="photos",le="10"} 1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response, body := ask(t.Context(), t, base, tt.command)
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				metrics, err := process.Prometheus(t.Context())
				require.NoError(c, err)
				require.Contains(c, strings.Split(metrics, "\n"), tt.want)
			}, patience, 20*time.Millisecond)
		})
	}
}
