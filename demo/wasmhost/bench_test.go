package wasmhost

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkServe is one request through the proxy on one connection per client:
// the fixture filter looks at its headers and lets it pass.
func BenchmarkServe(b *testing.B) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer upstream.Close()
	wasm, err := os.ReadFile(fixture)
	require.NoError(b, err)
	h, err := New(b.Context(), Options{Wasm: wasm, Upstream: mustURL(b, upstream.URL), CompilationCacheDir: cacheDir})
	require.NoError(b, err)
	front := httptest.NewUnstartedServer(h)
	front.Config.ConnContext = h.ConnContext
	front.Start()
	defer front.Close()
	for name, test := range map[string]string{"allow": "", "reply": "reply"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				client := &http.Client{Transport: newTransport()}
				defer client.CloseIdleConnections()
				for pb.Next() {
					req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, front.URL, http.NoBody)
					if err != nil {
						b.Error(err)
						return
					}
					req.Header.Set("X-Test", test)
					resp, err := client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	}
}

// BenchmarkReady is the time to a host with one worker, without kept machine code.
func BenchmarkReady(b *testing.B) {
	wasm, err := os.ReadFile(fixture)
	require.NoError(b, err)
	for b.Loop() {
		h, err := New(b.Context(), Options{Wasm: wasm, Upstream: mustURL(b, "http://127.0.0.1:1"), Workers: 1})
		require.NoError(b, err)
		require.NoError(b, h.Close(b.Context()))
	}
}
