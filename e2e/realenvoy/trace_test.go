package realenvoy_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/plugin/config"
)

// collector takes traces as an OpenTelemetry collector does.
type collector struct {
	*httptest.Server

	mu     sync.Mutex
	traces map[string][]string // the names of spans, by trace id
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{traces: map[string][]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var export coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &export); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range export.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					id := hex.EncodeToString(span.GetTraceId())
					c.traces[id] = append(c.traces[id], span.GetName())
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) spans(trace string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.traces[trace]
}

// seen is what an AS was told of the request that a call is made for.
type seen struct{ path, traceparent, tracestate, requestID string }

// TestOneTraceFromTheClientToTheAS: Envoy's OpenTelemetry tracer takes the client's
// trace up, and the filter's calls to the AS belong to the same one.
func TestOneTraceFromTheClientToTheAS(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []seen
	release := make(chan struct{})
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		calls = append(calls, seen{r.URL.Path, r.Header.Get("Traceparent"), r.Header.Get("Tracestate"), r.Header.Get("X-Request-Id")})
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/permission" {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"ticket":"t-1"}`)
			return
		}
		<-release
		fmt.Fprint(w, `{"active":false}`)
	}))
	t.Cleanup(as.Close)
	told := func() []seen {
		mu.Lock()
		defer mu.Unlock()
		return append([]seen(nil), calls...)
	}
	otlp := newCollector(t)
	authority := as.Listener.Addr().String()
	filter, err := config.Encode(&config.Config{
		Version: config.Version, Revision: "trace",
		Sites: []config.Site{{
			Name: "photos", Hosts: []string{"photos.example.com"},
			AuthorizationServer: config.AuthorizationServer{
				URI: as.URL,
				Introspection: config.Introspection{Endpoint: config.Endpoint{
					Cluster: "as", Scheme: "http", Authority: authority, Path: "/introspect",
				}},
				Permission: &config.Endpoint{Cluster: "as", Scheme: "http", Authority: authority, Path: "/permission"},
			},
			Resources: []config.Resource{{Name: "albums", ID: "r-1", Conditions: []config.Condition{
				{Paths: []string{"/albums/**"}, Methods: []string{"GET"}, Scopes: []string{"view"}},
			}}},
		}},
	})
	require.NoError(t, err)
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	collectorURL, err := url.Parse(otlp.URL)
	require.NoError(t, err)
	_, base := setup{
		Wasm: wasm, Config: string(filter),
		Clusters: cluster("as", authority) + cluster("collector", collectorURL.Host),
		HCM: `          tracing:
            random_sampling: {value: 100}
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                service_name: envoy
                http_service:
                  http_uri: {uri: "` + otlp.URL + `/v1/traces", cluster: collector, timeout: 1s}`,
	}.start(t)

	ask := func(token, trace string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/albums/1", nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Host = "photos.example.com"
		req.Header.Set("Authorization", "Bearer "+token)
		if trace != "" {
			req.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
			req.Header.Set("Tracestate", "vendor=value")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	const first, second = "4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736"

	// Two requests with one token share its introspection: that is the trace of the
	// one that came first. Each has a ticket of its own, in its own trace.
	var wg sync.WaitGroup
	wg.Go(func() { ask("shared", first) })
	require.Eventually(t, func() bool { return len(told()) == 1 }, patience, 5*time.Millisecond)
	wg.Go(func() { ask("shared", second) })
	close(release)
	wg.Wait()
	got := told()
	require.Equal(t, "/introspect", got[0].path)
	require.Contains(t, got[0].traceparent, first)
	require.Equal(t, "vendor=value", got[0].tracestate)
	require.NotEmpty(t, got[0].requestID)
	traces, ids := map[string]int{}, map[string]bool{}
	for _, call := range got {
		if call.path == "/permission" {
			traces[strings.Split(call.traceparent, "-")[1]]++
			ids[call.requestID] = true
		}
	}
	require.Equal(t, map[string]int{first: 1, second: 1}, traces)
	require.Len(t, ids, 2, "each has the id of its own request")
	for _, trace := range []string{first, second} {
		require.Eventually(t, func() bool { return len(otlp.spans(trace)) > 0 }, patience, 20*time.Millisecond, "Envoy's span is in the client's trace")
	}

	// A client that begins no trace: the calls have the request's id, and no trace
	// that Envoy's own would not have.
	ask("alone", "")
	last := told()[len(told())-1]
	t.Logf("without the client's trace, the AS is told %+v", last)
	require.NotEmpty(t, last.requestID)
}
