package realenvoy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEndOfAStream: a filter can end a stream at a tick, when its answer has begun: by
// proxy_close_stream of the request. The client's other streams go on, and the access log has
// what the filter said of it last.
func TestEndOfAStream(t *testing.T) {
	api, _ := talkingAPI(t)
	log := filepath.Join(t.TempDir(), "access.log")
	process, base := setup{
		Upstream: api, HCM: "          upgrade_configs: [{upgrade_type: websocket}]",
		LogFile: log, AccessLogs: []string{"%PROTOCOL%", "%RESPONSE_CODE%", "%RESPONSE_CODE_DETAILS%", "%FILTER_STATE(wasm.ended:PLAIN)%"},
	}.start(t)
	t.Run("WebSocket", func(t *testing.T) {
		connection, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		require.NoError(t, err)
		defer connection.Close()
		_, err = io.WriteString(connection, "GET /albums/socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx-probe: end\r\n\r\n")
		require.NoError(t, err)
		r := bufio.NewReader(connection)
		response, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
		rest, err := io.ReadAll(r)
		require.NoError(t, err, "it is closed")
		require.Equal(t, "\x81\x05hello", string(rest))
	})
	http1 := &http.Transport{}
	t.Cleanup(http1.CloseIdleConnections)
	for name, transport := range map[string]http.RoundTripper{"HTTP/1.1": http1, "HTTP/2": streams(t)} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/albums/stream", http.NoBody)
			require.NoError(t, err)
			other, err := transport.RoundTrip(request)
			require.NoError(t, err)
			defer other.Body.Close()
			request.Header.Set("x-probe", "end")
			response, err := transport.RoundTrip(request)
			require.NoError(t, err)
			defer response.Body.Close()
			require.Equal(t, http.StatusOK, response.StatusCode)
			rest, err := io.ReadAll(response.Body)
			require.Error(t, err, "it breaks off")
			require.Equal(t, "data: hello\n\n", string(rest))
			require.Equal(t, http.StatusOK, fetch(t.Context(), transport, base+"/albums/1", ""), "the connection, or another, goes on")
			hello := make([]byte, len("data: hello\n\n"))
			_, err = io.ReadFull(other.Body, hello)
			require.NoError(t, err)
		})
	}
	process.Stop()
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	for _, line := range []string{"HTTP/1.1|101|via_upstream|yes", "HTTP/1.1|200|via_upstream|yes", "HTTP/2|200|via_upstream|yes"} {
		require.Equal(t, 1, strings.Count(string(text), line), "%s in %s", line, text)
	}
	requireNoTrap(t, process)
}
