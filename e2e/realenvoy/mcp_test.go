package realenvoy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/envoy/envoytest"
	"github.com/umagate/umagate/plugin/config"
)

const (
	envoysMCP = `
          - name: envoy.filters.http.mcp
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.mcp.v3.Mcp, traffic_mode: %s}`
	letBodiesCome = "                allow_on_headers_stop_iteration: true"
)

// toolSite guards the tools of /mcp: view is enough for search, and not for delete_all.
func toolSite(t *testing.T, as *httptest.Server) string {
	t.Helper()
	var c config.Config
	require.NoError(t, json.Unmarshal([]byte(browserSite(t, as, ourOrigin)), &c))
	on := func(m *config.MCP, scope string) config.Condition {
		return config.Condition{Paths: []string{"/mcp"}, MCP: m, Scopes: []string{scope}}
	}
	c.Sites[0].Resources[0].Conditions = append(c.Sites[0].Resources[0].Conditions,
		on(nil, "view"), on(&config.MCP{Tools: []string{"search"}}, "view"), on(&config.MCP{Tools: []string{"delete_*"}}, "edit"))
	document, err := json.Marshal(c)
	require.NoError(t, err)
	return string(document)
}

// bring brings a message to /mcp with a token that has view.
func bring(ctx context.Context, t *testing.T, base, body string) (status int, answer string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/mcp", strings.NewReader(body))
	require.NoError(t, err)
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer good"}}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err //nolint:wrapcheck // a test's own
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err //nolint:wrapcheck // a test's own
}

func toolCall(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
}

// TestEnvoysMCPFilterBeforeOurs: what Envoy's own filter says of a message is no ground to let
// it pass, whatever its settings. Where it stands before umagate, messages pass as without it.
func TestEnvoysMCPFilterBeforeOurs(t *testing.T) {
	if strings.HasPrefix(envoytest.Binary(t).Version, "1.36.") {
		t.Skip("this Envoy has no MCP filter")
	}
	as := browserAS(t)
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var reached atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(api.Close)
	for _, mode := range []string{"PASS_THROUGH", "REJECT_NO_MCP"} {
		t.Run(mode, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			_, base := setup{
				Wasm: wasm, Config: toolSite(t, as), Plugin: letBodiesCome, Before: fmt.Sprintf(envoysMCP, mode)[1:],
				Clusters: cluster("as", as.Listener.Addr().String()), Upstream: api.Listener.Addr().String(),
				LogFile: log, AccessLogs: []string{"%DYNAMIC_METADATA(envoy.filters.http.mcp:method)%", "%DYNAMIC_METADATA(envoy.filters.http.mcp:params:name)%"},
			}.start(t)
			for _, c := range []struct {
				name, body, says string // what Envoy's filter says
				status           int
			}{
				{"a call", toolCall(`{"name":"search"}`), "tools/call|search", 200},
				{"a guarded one", toolCall(`{"name":"delete_all"}`), "tools/call|delete_all", 401},
				{"a name twice", toolCall(`{"name":"delete_all","name":"search"}`), "tools/call|search", 400},
				{"a method twice", `{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"delete_all"}}`, "ping|-", 400},
				{"Method", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"delete_all"}}`, "ping|-", 400},
				{"Name", toolCall(`{"name":"search","Name":"delete_all"}`), "tools/call|search", 400},
				{"single quotes", strings.ReplaceAll(toolCall(`{"name":"search"}`), `"`, "'"), "tools/call|search", 400},
			} {
				before := reached.Load()
				status, answer, err := bring(t.Context(), t, base, c.body)
				require.NoError(t, err)
				require.Equal(t, c.status, status, "%s: %s", c.name, answer)
				if status == 200 {
					require.Equal(t, c.body, answer)
				} else {
					require.Equal(t, before, reached.Load(), c.name)
				}
				require.Eventually(t, func() bool {
					text, err := os.ReadFile(log)
					lines := strings.Split(strings.ReplaceAll(string(bytes.TrimSpace(text)), `"`, ""), "\n")
					return err == nil && lines[len(lines)-1] == c.says
				}, patience, 10*time.Millisecond, "%s: Envoy's filter does not say %s", c.name, c.says)
			}
		})
	}
}

// TestBodyThatDoesNotCome: a filter's configuration that is not umagate's own may lack what
// lets bodies come. Then no message passes, and everything else goes on.
func TestBodyThatDoesNotCome(t *testing.T) {
	as := browserAS(t)
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var reached atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(api.Close)
	envoy, base := setup{
		Wasm: wasm, Config: toolSite(t, as), Clusters: cluster("as", as.Listener.Addr().String()), Upstream: api.Listener.Addr().String(),
		HCM: "          stream_idle_timeout: 1s",
	}.start(t)
	status, _, err := bring(t.Context(), t, base, toolCall(`{"name":"search"}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusGatewayTimeout, status)
	require.Zero(t, reached.Load())
	counts := func(n int) {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			metrics, err := envoy.Prometheus(t.Context())
			require.NoError(c, err)
			require.Contains(c, metrics, fmt.Sprintf("_site_photos_reason_not_shown_mcp_messages_withheld_total{} %d\n", n))
		}, patience, 20*time.Millisecond)
	}
	counts(1)
	// What a client did not send, nobody withholds.
	slow, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer func() { _ = slow.Close() }()
	_, err = io.WriteString(slow, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(slow)
	require.NoError(t, err)
	require.Contains(t, string(answer), "408 Request Timeout")
	status, _, err = bring(t.Context(), t, base, toolCall(`{"name":"search"}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusGatewayTimeout, status)
	counts(2)
	response, err := http.Get(base + "/open") //nolint:noctx // ends with the test
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
}
