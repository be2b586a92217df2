package realenvoy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// upload is a body of zeros that counts what was taken of it.
type upload struct {
	left  int64
	taken *atomic.Int64
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	if u.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), u.left)
	clear(p[:n])
	u.left -= n
	u.taken.Add(n)
	return int(n), nil
}

// TestRefusalBeforeTheBody: a large upload without a good token is refused by its headers.
// What has been sent by then is what fits into buffers, the API gets none of it, and the
// next request is answered. With proxy_100_continue, as rendered, "Expect: 100-continue" holds
// all of it back.
func TestRefusalBeforeTheBody(t *testing.T) {
	const size, buffers = 100 << 20, 64 << 20
	as := browserAS(t)
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var reached atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(api.Close)
	process, base := setup{
		Wasm: wasm, Config: browserSite(t, as, ourOrigin), Clusters: cluster("as", as.Listener.Addr().String()), Upstream: api.Listener.Addr().String(),
		HCM: "          proxy_100_continue: true",
	}.start(t)
	http1 := &http.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(http1.CloseIdleConnections)
	for _, c := range []struct {
		name, token, expect string
		transport           *http.Transport
	}{
		{"HTTP/1.1", "", "", http1},
		{"HTTP/1.1, Expect", "", "100-continue", http1},
		{"HTTP/1.1, a bad token", "bad", "", http1},
		{"HTTP/2", "", "", streams(t)},
		{"HTTP/2, a bad token", "bad", "", streams(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := &upload{left: size, taken: new(atomic.Int64)}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, base+"/albums/1", body)
			require.NoError(t, err)
			r.ContentLength = size
			if c.expect != "" {
				r.Header.Set("Expect", c.expect)
			}
			if c.token != "" {
				r.Header.Set("Authorization", "Bearer "+c.token)
			}
			response, err := c.transport.RoundTrip(r)
			require.NoError(t, err)
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			require.Contains(t, response.Header.Get("WWW-Authenticate"), "UMA")
			text, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.Contains(t, string(text), `"status":401`)
			require.NoError(t, response.Body.Close())
			require.Less(t, body.taken.Load(), int64(buffers))
			if c.expect != "" {
				require.Zero(t, body.taken.Load())
			}
			t.Logf("%d KiB had been taken", body.taken.Load()>>10)
			require.Zero(t, reached.Load())
			require.Equal(t, http.StatusOK, fetch(t.Context(), c.transport, base+"/open", ""))
			reached.Store(0)
		})
	}
	requireNoTrap(t, process)
}
