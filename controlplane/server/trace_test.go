package server_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// TestTraces: what a caller of the API begins goes on to the AS, and the spans of
// both are sent, with what serve does of its own accord.
func TestTraces(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	spans := map[string]string{} // trace ids by the name of a span
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var export coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &export); err != nil || r.Header.Get("Authorization") != "Bearer collector-token" {
			t.Errorf("%v, %v", err, r.Header)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range export.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					spans[span.GetName()] = hex.EncodeToString(span.GetTraceId())
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(collector.Close)
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Beside("collector", "collector-token")
	p.Write("telemetry: {otlp: {endpoint: \"" + collector.URL + "\", token: {file: collector}}}\n" + p.config(as.Issuer(), "albums"))
	p.Start()
	p.Until("all is well", allWell)

	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.API+"/v1/sites/photos/plan", nil)
	require.NoError(t, err)
	p.Authorize(req)
	req.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	req.Header.Set("X-Request-Id", "from-a-test")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	joined := 0
	for _, call := range as.Calls(devas.EndpointResources) {
		if strings.Contains(call.Header.Get("Traceparent"), trace) {
			require.Equal(t, "from-a-test", call.Header.Get("X-Request-Id"))
			joined++
		}
	}
	require.Positive(t, joined)

	code, text := p.Get("/metrics")
	require.Equal(t, http.StatusOK, code)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	p.Stop() // sends what is left
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, trace, spans["planSite"])
	require.Contains(t, spans, "HTTP GET")
	require.Contains(t, spans, "bring resources in step")
	require.Contains(t, spans, "store: write resource")
	require.NotContains(t, p.Log.String(), "collector-token")
}
