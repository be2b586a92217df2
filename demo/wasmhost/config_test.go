package wasmhost

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUpdateConfig(t *testing.T) {
	r := startHost(t, func(o *Options) { o.Config = []byte("one"); o.Workers = 2 })
	require.Equal(t, "one", r.do(t, "GET", "/", "x-test", "config").body)

	require.NoError(t, r.UpdateConfig(t.Context(), []byte("two")))
	a := r.do(t, "GET", "/", "x-test", "config")
	require.Equal(t, "two", a.body)
	require.Equal(t, "2", a.header.Get("X-Starts"), "the VM survives")
	require.EqualValues(t, 2, r.Stats().Counters["plugin_done"], "both workers have finished the old context")

	require.ErrorIs(t, r.UpdateConfig(t.Context(), []byte("refuse")), ErrConfigRefused)
	require.ErrorIs(t, r.UpdateConfig(t.Context(), []byte("panic")), ErrTrapped)
	require.Equal(t, "two", r.do(t, "GET", "/", "x-test", "config").body)
	require.Contains(t, r.log.String(), "told to refuse")
	s := r.Stats()
	require.Equal(t, []uint64{1, 2}, []uint64{s.ConfigUpdates, s.ConfigRefusals})

	require.NoError(t, r.UpdateConfig(t.Context(), []byte("two")), "the same again changes nothing")
	require.EqualValues(t, 1, r.Stats().ConfigUpdates)
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		want   error
	}{
		{"a refused configuration", func(o *Options) { o.Config = []byte("refuse") }, ErrConfigRefused},
		{"a trap at start", func(o *Options) { o.Config = []byte("panic") }, ErrTrapped},
		{"no module", func(o *Options) { o.Wasm = nil }, nil},
		{"no wasm", func(o *Options) { o.Wasm = []byte("nonsense") }, nil},
		{"no upstream", func(o *Options) { o.Upstream = nil }, nil},
		{"a cluster without URL", func(o *Options) { o.Clusters = map[string]Cluster{"as": {}} }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t)
			tt.change(&o)
			_, err := New(t.Context(), o)
			require.Error(t, err)
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
			}
		})
	}
}

// The old context answers its streams to the end, and is finished after the last.
func TestOldConfigServesItsStreams(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	as := authServer(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-release })
	r := startHost(t, func(o *Options) { o.Clusters = map[string]Cluster{"as": as}; o.Config = []byte("one") })
	got := r.later(t.Context(), "x-test", "call", "x-cluster", "as")
	<-arrived
	require.NoError(t, r.UpdateConfig(t.Context(), []byte("two")))
	require.Equal(t, "two", r.do(t, "GET", "/", "x-test", "config").body)
	require.Zero(t, r.Stats().Counters["plugin_done"])
	close(release)
	require.Equal(t, 200, (<-got).code)
	require.Eventually(t, func() bool { return r.Stats().Counters["plugin_done"] == 1 }, patience, time.Millisecond)
}

// No request is lost while configurations change under traffic.
func TestUpdateUnderTraffic(t *testing.T) {
	r := startHost(t, func(o *Options) { o.Config = []byte("v0"); o.Workers = 2 })
	var stop atomic.Bool
	var served, wrong atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for !stop.Load() {
				a := <-r.later(t.Context(), "x-test", "config")
				served.Add(1)
				if a.code != 200 || !strings.HasPrefix(a.body, "v") {
					wrong.Add(1)
				}
			}
		})
	}
	for i := range 30 {
		require.NoError(t, r.UpdateConfig(t.Context(), fmt.Appendf(nil, "v%d", i+1)))
		require.Equal(t, fmt.Sprintf("v%d", i+1), r.do(t, "GET", "/", "x-test", "config").body)
		require.ErrorIs(t, r.UpdateConfig(t.Context(), []byte("refuse")), ErrConfigRefused)
	}
	stop.Store(true)
	clients.Wait()
	require.Zero(t, wrong.Load())
	require.Positive(t, served.Load())
	require.Eventually(t, func() bool { return r.Stats().Counters["plugin_done"] >= 60 }, patience, time.Millisecond)
}

func TestTrapFailsClosedAndReloads(t *testing.T) {
	r := startHost(t, func(o *Options) { o.Config = []byte("one") })
	require.NoError(t, r.UpdateConfig(t.Context(), []byte("two")))
	waiting := r.later(t.Context(), "x-test", "join")
	require.Eventually(t, func() bool { return r.Stats().Gauges["waiting"] == 1 }, patience, time.Millisecond)

	a := r.do(t, "GET", "/", "x-test", "panic")
	require.Equal(t, 503, a.code)
	require.Empty(t, a.header.Get("X-Filter"), "a dead VM is not called")
	require.Equal(t, 503, (<-waiting).code, "the other streams of the VM fail too")

	a = r.do(t, "GET", "/", "x-test", "config")
	require.Equal(t, "two", a.body, "the new VM has the last good configuration")
	require.Equal(t, "1", a.header.Get("X-Starts"), "and none of the old one's memory")
	require.Equal(t, 503, r.do(t, "POST", "/", "x-test", "panic").code)
	a = r.do(t, "POST", "/", "x-test", "panic", "content-type", "application/grpc")
	require.Equal(t, "14", a.header.Get("Grpc-Status"))
	require.Contains(t, r.log.String(), "told to panic")
	s := r.Stats()
	require.Equal(t, []uint64{3, 2}, []uint64{s.Traps, s.Reloads})
}

func TestReloadBackoff(t *testing.T) {
	r := startHost(t, func(o *Options) { o.ReloadBackoff = time.Hour })
	require.Equal(t, 503, r.do(t, "GET", "/", "x-test", "panic").code)
	require.Equal(t, 503, r.do(t, "GET", "/").code)
	require.NoError(t, r.UpdateConfig(t.Context(), []byte("two")))
	require.EqualValues(t, 1, r.Stats().ReloadBackoffs)
}

func TestTick(t *testing.T) {
	r := startHost(t, func(o *Options) { o.Config = []byte("tick") })
	require.Eventually(t, func() bool { return r.Stats().Counters["ticks"] > 3 }, patience, time.Millisecond)
	require.NoError(t, r.UpdateConfig(t.Context(), []byte("quiet")))
	ticks := r.Stats().Counters["ticks"]
	for range 20 {
		r.do(t, "GET", "/")
	}
	require.Equal(t, ticks, r.Stats().Counters["ticks"], "a finished context does not tick")
}

func TestClosedHost(t *testing.T) {
	o := options(t)
	h, err := New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Close(t.Context()))
	require.NoError(t, h.Close(t.Context()))
	require.ErrorIs(t, h.UpdateConfig(t.Context(), []byte("x")), ErrClosed)
}
