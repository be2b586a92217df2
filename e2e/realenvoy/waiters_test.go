package realenvoy_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/plugin/config"
)

// waiters is how many requests wait for one call. 400 local replies inside each
// other are more than a V8 stack holds.
const waiters = 2000

// crowdServer is an AS and a control plane whose answers can be held back.
type crowdServer struct {
	*httptest.Server

	calls   atomic.Int64
	release chan struct{}
}

// newCrowdServer answers for the token "good" at once, and for everything else
// when release is closed.
func newCrowdServer(t *testing.T, status int, answer string) *crowdServer {
	t.Helper()
	s := &crowdServer{release: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/permission":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"ticket":"t-1"}`)
			return
		case r.URL.Path == "/introspect" && r.FormValue("token") == "good":
			fmt.Fprint(w, crowdToken)
			return
		}
		s.calls.Add(1)
		<-s.release
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

const crowdToken = `{"active":true,"sub":"bob","client_id":"app","permissions":[{"resource_id":"r-1","resource_scopes":["view"]}]}`

// crowdConfig protects /photos/** and an album each under /albums.
func crowdConfig(t *testing.T, as *crowdServer, limits config.Limits) string {
	t.Helper()
	authority := as.Listener.Addr().String()
	to := func(path string) config.Endpoint {
		return config.Endpoint{Cluster: "as", Scheme: "http", Authority: authority, Path: path, TimeoutMS: 120_000}
	}
	permission := to("/permission")
	view := func(path string) []config.Condition {
		return []config.Condition{{Paths: []string{path}, Methods: []string{"GET"}, Scopes: []string{"view"}}}
	}
	document, err := config.Encode(&config.Config{
		Version: config.Version, Revision: "crowd",
		Sites: []config.Site{{
			Name: "photos", Hosts: []string{"*"}, Limits: limits,
			AuthorizationServer: config.AuthorizationServer{
				URI: as.URL, Introspection: config.Introspection{Endpoint: to("/introspect")}, Permission: &permission,
			},
			Instances: &config.Instances{Endpoint: to("/instances")},
			Resources: []config.Resource{
				{Name: "photos", ID: "r-1", Conditions: view("/photos/**")},
				{Name: "album-{id}", Instances: true, Conditions: view("/albums/{id}")},
			},
		}},
	})
	require.NoError(t, err)
	return string(document)
}

// crowdEnvoy is the filter in an Envoy with one worker.
func crowdEnvoy(t *testing.T, as *crowdServer, limits config.Limits, breakers string) (process *envoy.Process, base string) {
	t.Helper()
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	return setup{
		Wasm: wasm, Config: crowdConfig(t, as, limits), Upstream: api.Listener.Addr().String(), UpstreamExtra: breakers,
		Clusters: cluster("as", as.Listener.Addr().String()), HCM: "          http2_protocol_options: {max_concurrent_streams: 1000}",
	}.start(t)
}

// streams is a transport of HTTP/2 streams without TLS.
func streams(t *testing.T) *http.Transport {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: (&net.Dialer{}).DialContext}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// fetch is a request and the status of its answer, 0 for none.
func fetch(ctx context.Context, transport http.RoundTripper, url, token string, headers ...string) int {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

func requireNoTrap(t *testing.T, process *envoy.Process) {
	t.Helper()
	log, err := os.ReadFile(process.LogFile)
	require.NoError(t, err)
	for line := range strings.Lines(string(log)) {
		require.NotContains(t, line, "Maximum call stack size exceeded")
		require.NotContains(t, line, "Function: proxy_on_", "a trap")
	}
}

// However many requests wait for one answer, and whatever becomes of them, the
// VM takes it, and who does not wait is served meanwhile.
func TestManyWaitForOneCall(t *testing.T) {
	roomy := config.Limits{TicketsPerSecond: 10_000, CallsInFlight: 10_000}
	const narrow = "    circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 1, max_requests: 1, max_retries: 0}]}"
	tests := []struct {
		name        string
		path, token string
		status      int    // of the answer that they wait for
		answer      string // and its body
		limits      config.Limits
		breakers    string
		want        []int // at least one of each, and no other
	}{
		{name: "allowed", path: "/photos/1", token: "slow", status: 200, answer: crowdToken, want: []int{200}},
		{name: "allowed, and the upstream has no room", path: "/photos/1", token: "slow", status: 200, answer: crowdToken, breakers: narrow, want: []int{200, 503}},
		{name: "denied with tickets", path: "/photos/1", token: "slow", status: 200, answer: `{"active":false}`, limits: roomy, want: []int{401}},
		{name: "denied, few tickets", path: "/photos/1", token: "slow", status: 200, answer: `{"active":false}`, want: []int{401, 429}},
		{name: "the AS fails", path: "/photos/1", token: "slow", status: 500, answer: `{}`, want: []int{503}},
		{name: "no token, an album nobody registered", path: "/albums/1", status: 404, want: []int{403}},
		{name: "no token, an album", path: "/albums/1", status: 200, answer: `{"resource_id":"r-2"}`, want: []int{401, 429}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			as := newCrowdServer(t, tt.status, tt.answer)
			free := sync.OnceFunc(func() { close(as.release) })
			t.Cleanup(free)
			process, base := crowdEnvoy(t, as, tt.limits, tt.breakers)
			crowd, user := streams(t), streams(t)
			require.Equal(t, 200, fetch(t.Context(), user, base+"/photos/1", "good"))

			var all sync.WaitGroup
			got := make([]int, waiters)
			for i := range got {
				all.Go(func() { got[i] = fetch(t.Context(), crowd, base+tt.path, tt.token) })
			}
			require.Eventually(t, func() bool {
				stats, err := process.Stats(t.Context(), "http.main.downstream_rq_active")
				return err == nil && stats["http.main.downstream_rq_active"] == waiters && as.calls.Load() == 1
			}, time.Minute, 10*time.Millisecond, "all wait")
			require.Equal(t, 200, fetch(t.Context(), user, base+"/photos/1", "good"), "nobody else waits")
			served := make(chan int)
			done := make(chan struct{})
			go func() {
				n := 0
				defer func() { served <- n }()
				for {
					select {
					case <-done:
						return
					default:
						if status := fetch(t.Context(), user, base+"/photos/1", "good"); status == 200 || status == 503 && tt.breakers != "" {
							n++
						} else {
							n = -1 << 30
						}
					}
				}
			}()
			free()
			began := time.Now()
			all.Wait()
			took := time.Since(began)
			close(done)
			good := <-served
			t.Logf("%d requests in %s, %d of somebody else meanwhile", waiters, took.Round(time.Millisecond), good)
			requireNoTrap(t, process)
			counts := map[int]int{}
			for _, status := range got {
				counts[status]++
			}
			require.Len(t, counts, len(tt.want), "%v", counts)
			for _, status := range tt.want {
				require.Positive(t, counts[status], "%v", counts)
			}
			require.Positive(t, good)
		})
	}
}
