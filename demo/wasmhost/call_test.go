package wasmhost

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
)

// authServer is a cluster whose answers a test scripts.
func authServer(t *testing.T, handler http.HandlerFunc) Cluster {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	return Cluster{URL: target}
}

func TestHTTPCall(t *testing.T) {
	long := strings.Repeat("x", 2000)
	clusters := map[string]Cluster{
		"as": authServer(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %s %s%s", r.Method, r.RequestURI, r.Host, r.Header.Get("Content-Type"), body, r.UserAgent())
		}),
		"broken":   authServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, "boom") }),
		"redirect": authServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }),
		"silent": authServer(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does net/http see that the caller has gone
			<-r.Context().Done()
		}),
		"reset": authServer(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"cut": authServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "short")
		}),
		"long": authServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, long) }),
		"dead": {URL: &url.URL{Scheme: "http", Host: deadAddress(t)}},
	}
	r := startHost(t, func(o *Options) { o.Clusters = clusters; o.MaxCallResponseBytes = 1000 })
	tests := []struct {
		cluster, timeout string
		code             int
		body             string
	}{
		{"as", "", 200, "X-Call: POST /introspect?a=%2F as.example text/plain token=abc\r\n"},
		{"broken", "", 502, "call said 500 boom"},
		{"redirect", "", 502, "call said 302 "},
		{"silent", "50", 502, "call said 504 upstream request timeout"},
		{"reset", "", 502, "call said 503 upstream connect error or disconnect/reset before headers. reset reason: connection termination"},
		{"dead", "", 502, "call said 503 upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"},
		{"cut", "", 503, "call failed"},
		{"long", "", 503, "call failed"},
		{"nobody", "", 500, "dispatch: error status returned by host: bad argument"},
	}
	for _, tt := range tests {
		t.Run(tt.cluster, func(t *testing.T) {
			a := r.do(t, "GET", "/", "x-test", "call", "x-cluster", tt.cluster, "x-timeout", tt.timeout)
			require.Equal(t, tt.code, a.code)
			require.Contains(t, a.body, tt.body)
		})
	}
}

func TestCredentials(t *testing.T) {
	as := authServer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Authorization"]) })
	as.CredentialRequired = true
	r := startHost(t, func(o *Options) { o.Clusters = map[string]Cluster{"as": as} })
	call := func(headers ...string) string {
		return r.do(t, "GET", "/", append([]string{"x-test", "call", "x-cluster", "as"}, headers...)...).body
	}
	require.Contains(t, call(), "call said 401 Failed to inject credential.")
	require.True(t, r.SetCredential("as", secret.New("Bearer one")))
	require.Contains(t, call(), "X-Call: [Bearer one]\r\n")
	require.True(t, r.SetCredential("as", secret.New("Bearer two")))
	require.Contains(t, call(), "X-Call: [Bearer two]\r\n")
	require.Contains(t, call("x-own-credential", "Bearer own"), "X-Call: [Bearer two]\r\n", "nothing stands in for it")
	require.False(t, r.SetCredential("nobody", secret.New("x")))
	require.NotContains(t, r.log.String(), "Bearer two")

	require.NoError(t, r.SetCluster("as", authServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "moved") })))
	require.Contains(t, call(), "X-Call: moved\r\n")
	r.removeCluster("as")
	require.Contains(t, call(), "dispatch: ")
	require.Error(t, r.SetCluster("as", Cluster{}))
}

// removeCluster takes a cluster away: calls to it are refused.
func (h *Host) removeCluster(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clusters, name)
}

// The answer to a call whose stream is gone is dropped by the SDK, and does no
// harm; the call itself goes on, as in Envoy.
func TestHangUpDuringCall(t *testing.T) {
	arrived, release, answered := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	as := authServer(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		answered <- r.Context().Err()
	})
	r := startHost(t, func(o *Options) { o.Clusters = map[string]Cluster{"as": as} })
	ctx, hangUp := context.WithCancel(t.Context())
	ended := r.later(ctx, "x-test", "call", "x-cluster", "as")
	<-arrived
	hangUp()
	<-ended
	require.Eventually(t, func() bool { return r.Stats().Counters["done"] == 1 }, patience, time.Millisecond)
	close(release)
	require.NoError(t, <-answered)
	require.Equal(t, 200, r.do(t, "GET", "/").code)
	require.Zero(t, r.Stats().Traps)
}

// Streams that wait for a call made in a tick get its answer, also when the stream
// that asked for it has hung up.
func TestSharedCallSurvivesHangUp(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	as := authServer(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		fmt.Fprint(w, "shared")
	})
	r := startHost(t, func(o *Options) { o.Clusters = map[string]Cluster{"as": as} })
	ctx, hangUp := context.WithCancel(t.Context())
	ended := r.later(ctx, "x-test", "call-tick", "x-cluster", "as")
	<-arrived
	follower := r.later(t.Context(), "x-test", "join")
	require.Eventually(t, func() bool { return r.Stats().Gauges["waiting"] == 2 }, patience, time.Millisecond)
	hangUp()
	<-ended
	require.Eventually(t, func() bool { return r.Stats().Counters["done"] == 1 }, patience, time.Millisecond)
	close(release)
	a := <-follower
	require.Equal(t, 200, a.code)
	require.Contains(t, a.body, "X-Call: shared\r\n")
	require.Zero(t, r.Stats().Traps)
}
