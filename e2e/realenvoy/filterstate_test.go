package realenvoy_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a filter sets as a property is in the filter state, and so an access log
// can print it, also when the filter answered the request itself.
func TestFilterStateInAccessLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	_, base := setup{
		LogFile: log,
		AccessLogs: []string{
			"%RESPONSE_CODE%",
			"%FILTER_STATE(wasm.umagate:PLAIN)%",
			"%FILTER_STATE(wasm.umagate.site:PLAIN)%",
			"%CEL(filter_state['wasm.umagate'])%",
		},
	}.start(t)
	for _, command := range []string{"property umagate allowed", "property umagate.site photos", "deny umagate denied"} {
		ask(t.Context(), t, base, command)
	}
	want := "200|allowed|-|allowed\n" + "200|-|photos|-\n" + "403|denied|-|denied\n"
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		lines, err := os.ReadFile(log)
		require.NoError(c, err)
		require.Equal(c, want, string(lines))
	}, 20*time.Second, 50*time.Millisecond) // Envoy writes its log every ten seconds
}
