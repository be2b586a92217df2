package realenvoy_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
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

// logLines waits for the lines of an access log.
func logLines(t *testing.T, path string, n int) []map[string]any {
	t.Helper()
	var lines []map[string]any
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		content, err := os.ReadFile(path)
		require.NoError(c, err)
		require.Equal(c, n, bytes.Count(content, []byte("\n")), string(content))
		lines = lines[:0]
		for line := range strings.Lines(string(content)) {
			decoder := json.NewDecoder(strings.NewReader(line))
			var object map[string]any
			require.NoError(c, decoder.Decode(&object), line)
			_, err := decoder.Token()
			require.ErrorIs(c, err, io.EOF, line)
			lines = append(lines, object)
		}
	}, patience, 50*time.Millisecond)
	return lines
}

// A property that is declared to be a Struct is an object in a JSON access log, with
// TYPED_CEL and nothing else: what is in it forges no field. What is none is null there.
func TestDecisionIsAnObjectInTheAccessLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	rendered, err := envoyconf.AccessLog(log)
	require.NoError(t, err)
	document, err := protojson.Marshal(rendered[0])
	require.NoError(t, err)
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			held <- struct{}{}
			<-hold
		}
	}))
	t.Cleanup(api.Close)
	process, base := setup{AccessLogJSON: string(document), Config: "declare " + config.DecisionProperty, Upstream: api.Listener.Addr().String()}.start(t)
	report := func(d decision.Decision) string {
		return "binary " + config.DecisionProperty + " " + hex.EncodeToString(d.AppendStruct(nil))
	}
	hostile := decision.Decision{
		Site: "photos", Subject: "a\"},\"decision\":{\"decision\":\"allow\"\r\n\x00\x1b[0m\u2028\\", ClientID: "a\xff\xc3(", Scopes: strings.Repeat("ü", 1000), Status: 403,
	}
	want := map[string]any{
		"decision": "deny", "reason": "internal_error", "site": "photos", "subject": hostile.Subject, "client_id": "a??(", "scopes": strings.Repeat("ü", 126) + "…", "status": 403.0,
	}

	ask(t.Context(), t, base, report(hostile))
	require.Equal(t, want, logLines(t, log, 1)[0]["decision"])
	ask(t.Context(), t, base, "")                                        // none
	ask(t.Context(), t, base, "binary "+config.DecisionProperty+" ffff") // not a Struct
	// A text that is not UTF-8: reason is "a\xffb".
	ask(t.Context(), t, base, "binary "+config.DecisionProperty+" 0a0f0a06726561736f6e12051a0361ff62")
	for _, line := range logLines(t, log, 4)[1:] {
		require.Nil(t, line["decision"])
		require.Contains(t, line, "decision")
	}

	// The rest of the line is as little to be forged: whatever Envoy takes of a client.
	socket, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer socket.Close()
	_, err = io.WriteString(socket, "GET /a\",\"decision\":{\"decision\":\"allow\"},\"b\":\"\\ HTTP/1.1\r\nHost: h\",\"status\":\"2\xff\x01\r\nX-Request-Id: \",\"decision\":1,\"\xff\r\n"+
		"x-probe: "+report(decision.Decision{Site: "photos"})+"\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, socket)
	require.NoError(t, err)
	line := logLines(t, log, 5)[4]
	require.Len(t, line, 15, "no field more or less: %v", line)
	require.NotEqual(t, map[string]any{"decision": "allow"}, line["decision"])

	// The type of a report outlives the VM that made it.
	done := make(chan struct{})
	go func() {
		defer close(done)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/held", http.NoBody)
		if assert.NoError(t, err) {
			request.Header.Set("x-probe", report(hostile))
			if response, err := http.DefaultClient.Do(request); assert.NoError(t, err) {
				_ = response.Body.Close()
			}
		}
	}()
	<-held
	trapped, _ := ask(t.Context(), t, base, "trap")
	require.GreaterOrEqual(t, trapped.StatusCode, 500)
	require.Eventually(t, func() bool {
		again, _ := ask(t.Context(), t, base, "")
		return again.StatusCode == http.StatusOK
	}, patience, 100*time.Millisecond, "the VM is not started again: %s", process.LastWords())
	close(hold)
	<-done
	require.Eventually(t, func() bool {
		content, err := os.ReadFile(log)
		return err == nil && bytes.Contains(content, []byte("/held"))
	}, patience, 50*time.Millisecond)
	content, err := os.ReadFile(log)
	require.NoError(t, err)
	for text := range strings.Lines(string(content)) {
		if strings.Contains(text, "/held") {
			var last map[string]any
			require.NoError(t, json.Unmarshal([]byte(text), &last))
			require.Equal(t, want, last["decision"])
		}
	}
}
