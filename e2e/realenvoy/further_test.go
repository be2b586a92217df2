package realenvoy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// TestManyWaitForTheSecondAnswer: whose the token is the AS says only when it is asked
// without its hint, and somebody's tokens are revoked: who waits for the first answer
// waits for the second one, too. None is lost on the way, whatever the second one is,
// and none is counted as waiting when all have gone.
func TestManyWaitForTheSecondAnswer(t *testing.T) {
	const permissions = `"permissions":[{"resource_id":"r-1","resource_scopes":["view"]}]`
	const hangUp = -1
	const waiters = 600 // in some twenty turns
	tests := []struct {
		name   string
		status int // of the second answer
		answer string
		want   int
	}{
		{"it is somebody else's", 200, `{"active":true,"iat":1,"sub":"bob","client_id":"app"}`, 200},
		{"the AS does not say", 200, `{"active":true,"iat":1}`, 401},
		{"the AS fails", 500, `{}`, 503},
		{"all hang up", 200, `{"active":true,"iat":1,"sub":"bob","client_id":"app"}`, hangUp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int64
			first, second := make(chan struct{}), make(chan struct{})
			free := []func(){sync.OnceFunc(func() { close(first) }), sync.OnceFunc(func() { close(second) })}
			as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.URL.Path == "/permission":
					w.WriteHeader(http.StatusCreated)
					fmt.Fprint(w, `{"ticket":"t-1"}`)
				case r.FormValue("token_type_hint") != "":
					calls.Add(1)
					<-first
					fmt.Fprint(w, `{"active":true,"iat":1,`+permissions+`}`)
				default:
					calls.Add(1)
					<-second
					w.WriteHeader(tt.status)
					fmt.Fprint(w, tt.answer)
				}
			}))
			t.Cleanup(as.Close)
			t.Cleanup(free[0])
			t.Cleanup(free[1])
			api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(api.Close)
			wasm, err := filepath.Abs("../../build/umagate.wasm")
			require.NoError(t, err)
			process, base := setup{
				Wasm: wasm, Config: furtherConfig(t, as), Upstream: api.Listener.Addr().String(),
				Clusters: cluster("as", as.Listener.Addr().String()), HCM: "          http2_protocol_options: {max_concurrent_streams: 1000}",
			}.start(t)

			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			crowd := streams(t)
			var all sync.WaitGroup
			got := make([]int, waiters)
			for i := range got {
				all.Go(func() { got[i] = fetch(ctx, crowd, base+"/photos/1", "slow") })
			}
			wait := func(active uint64, asked int64, what string) {
				t.Helper()
				require.Eventually(t, func() bool {
					stats, err := process.Stats(t.Context(), "http.main.downstream_rq_active")
					return err == nil && stats["http.main.downstream_rq_active"] == active && calls.Load() == asked
				}, patience, 10*time.Millisecond, what)
			}
			wait(waiters, 1, "all wait")
			free[0]()
			wait(waiters, 2, "all wait again, for one call")
			want := tt.want
			if want == hangUp {
				leave()
				want = 0
				wait(0, 2, "all have gone")
			}
			free[1]()
			all.Wait()
			requireNoTrap(t, process)
			for _, status := range got {
				require.Equal(t, want, status)
			}
			require.EqualValues(t, 2, calls.Load())
			require.Eventually(t, func() bool {
				stats, err := process.Stats(t.Context(), "umagate.waiting")
				n := uint64(0)
				for _, value := range stats {
					n += value
				}
				return err == nil && len(stats) > 0 && n == 0
			}, patience, 10*time.Millisecond, "nobody waits")
		})
	}
}

// furtherConfig protects /photos/** with tokens that the AS is asked about with a hint,
// while eve's are revoked.
func furtherConfig(t *testing.T, as *httptest.Server) string {
	t.Helper()
	authority := as.Listener.Addr().String()
	to := func(path string) config.Endpoint {
		return config.Endpoint{Cluster: "as", Scheme: "http", Authority: authority, Path: path, TimeoutMS: 120_000}
	}
	permission := to("/permission")
	document, err := config.Encode(&config.Config{
		Version: config.Version, Revision: "further",
		Revocations: []config.Revocations{{Subjects: config.NewDigests([]config.Digest{config.DigestOf("eve", time.Now().Add(time.Hour).Unix(), 2)})}},
		Sites: []config.Site{{
			Name: "photos", Hosts: []string{"*"}, Limits: config.Limits{TicketsPerSecond: 10_000, CallsInFlight: 10_000},
			AuthorizationServer: config.AuthorizationServer{
				URI: as.URL, Introspection: config.Introspection{Endpoint: to("/introspect"), TokenTypeHint: "requesting_party_token"}, Permission: &permission,
			},
			Resources: []config.Resource{{Name: "photos", ID: "r-1", Conditions: []config.Condition{
				{Paths: []string{"/photos/**"}, Methods: []string{http.MethodGet}, Scopes: []string{"view"}},
			}}},
		}},
	})
	require.NoError(t, err)
	return string(document)
}
