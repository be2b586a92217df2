package serve_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// hammer asks, on connections of its own, for the path that was protected last.
type hammer struct {
	base string
	// protected is how many paths the application was told are protected.
	protected atomic.Int64
	// asked counts, for each, the requests that were begun after that and are answered.
	asked []atomic.Int64
	mu    sync.Mutex
	open  []string
}

func hammerPath(n int64) string { return fmt.Sprint("/photo/", n) }

// run asks until ctx ends. The number is read before the request begins: what it
// gets is what holds after the command was answered.
func (h *hammer) run(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		n := h.protected.Load()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+hammerPath(n), nil)
		if err != nil {
			return
		}
		req.Host = "photos.example.com"
		resp, err := client.Do(req)
		if err != nil {
			continue // the end
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if n == 0 {
			continue // nothing is protected yet
		}
		if resp.StatusCode == http.StatusOK {
			h.mu.Lock()
			h.open = append(h.open, req.URL.Path)
			h.mu.Unlock()
		}
		h.asked[n].Add(1)
	}
}

// TestOXDProtectsBeforeItAnswers: once uma_rs_protect is answered, no request meets
// what held before, on any worker of Envoy.
func TestOXDProtectsBeforeItAnswers(t *testing.T) {
	t.Parallel()
	const commands, clients, requests = 20, 16, 80
	binary := envoytest.Binary(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(upstream.Close)
	as := servertest.StartAS(t, devas.Options{SkipConsent: true, Scopes: []string{"oxd"}})
	p := newPlane(t, strings.Replace(oxdConfig(t, as.Issuer(), upstream.URL), "hosts: [photos.example.com]", "hosts: [photos.example.com], unmatched: allow", 1))
	p.Start()
	app := p.application()
	app.register(as.Issuer(), "openid", "uma_protection")
	app.protect(false, `[{"path":"/none","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)
	e := p.protect(envoy.Options{Binary: binary, Concurrency: 2})
	p.Until("Envoy has acknowledged everything", servertest.Acknowledged)
	require.Equal(t, http.StatusOK, e.Get(hammerPath(1), "").StatusCode, "unmatched: allow")

	h := &hammer{base: e.Base, asked: make([]atomic.Int64, commands+1)}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range clients {
		running.Go(func() { h.run(ctx) })
	}
	defer running.Wait()
	defer cancel()
	var resources []string
	for n := int64(1); n <= commands; n++ {
		resources = append(resources, fmt.Sprintf(`{"path":%q,"conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}`, hammerPath(n)))
		app.protect(true, "["+strings.Join(resources, ",")+"]")
		h.protected.Store(n)
		require.Eventually(t, func() bool { return h.asked[n].Load() >= requests }, servertest.Within, servertest.Within/1000)
	}
	cancel()
	running.Wait()
	require.Empty(t, h.open, "paths that were open after they were protected")
}
