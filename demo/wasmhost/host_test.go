package wasmhost

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/process"
)

// patience bounds every wait for a condition. It is for a machine that is ten times
// slower than the one that a test was written on.
const patience = 2 * time.Minute

// fixture is the compiled filter of testdata/fixture, cacheDir its machine code.
var fixture, cacheDir string //nolint:gochecknoglobals // set once by TestMain

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wasmhost")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fixture, cacheDir = filepath.Join(dir, "fixture.wasm"), filepath.Join(dir, "cache")
	// Kept between runs: under the race detector the compiler needs minutes.
	if user, err := os.UserCacheDir(); err == nil {
		cacheDir = filepath.Join(user, "umagate", "wazero")
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", fixture, "./testdata/fixture")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the fixture filter: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// rig is a host with an upstream that echoes, and a client.
type rig struct {
	*Host
	url    string
	addr   string
	client *http.Client
	log    *process.Log
}

// startHost serves a host for a test and closes it with it.
func startHost(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	logs := &process.Log{}
	o := options(t)
	o.Log = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&o)
	}
	h, err := New(t.Context(), o)
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := h.Server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	transport := newTransport()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		require.NoError(t, h.Close(context.WithoutCancel(t.Context())))
		if t.Failed() {
			t.Log(logs.String())
		}
	})
	addr := listener.Addr().String()
	return &rig{Host: h, url: "http://" + addr, addr: addr, client: &http.Client{Transport: transport, Timeout: time.Minute}, log: logs}
}

// options are those of a host with one worker and an echoing upstream.
func options(t *testing.T) Options {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(upstream.Close)
	wasm, err := os.ReadFile(fixture)
	require.NoError(t, err)
	return Options{
		Wasm: wasm, Upstream: mustURL(t, upstream.URL), Workers: 1, CompilationCacheDir: cacheDir, ReloadBackoff: time.Nanosecond,
	}
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

// echo answers with the request as the upstream saw it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Upstream", "yes")
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s %s host=%s\n", r.Method, r.RequestURI, r.Host)
	_ = r.Header.Write(w)
	fmt.Fprintf(w, "\n%s", body)
}

// answer is what a test looks at.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (r *rig) do(t *testing.T, method, path string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url, http.NoBody)
	require.NoError(t, err)
	req.URL.Opaque = path
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// later makes a request in the background. Its error, and an answer that cannot be
// read, are an answer with code 0.
func (r *rig) later(ctx context.Context, headers ...string) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		defer close(got)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, http.NoBody)
		if err != nil {
			return
		}
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Add(headers[i], headers[i+1])
		}
		resp, err := r.client.Do(req)
		if err != nil {
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if body, err := io.ReadAll(resp.Body); err == nil {
			got <- answer{resp.StatusCode, resp.Header, string(body)}
		}
	}()
	return got
}

func TestAllow(t *testing.T) {
	r := startHost(t, nil)
	a := r.do(t, "GET", "/albums/1?x=y")
	require.Equal(t, 200, a.code)
	require.Contains(t, a.body, "GET /albums/1?x=y host="+r.addr+"\n")
	require.Contains(t, a.body, "X-Request-Id: ")
	require.Contains(t, a.body, "X-Forwarded-Proto: http\r\n")
	require.Equal(t, "yes", a.header.Get("X-Upstream"))
}
