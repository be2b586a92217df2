package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/envoy/envoytest"
)

const module = "../../build/umagate.wasm"

// TestRun measures little, to see that every part works: umagate, a peer, and no
// filter.
func TestRun(t *testing.T) {
	binary := envoytest.Binary(t)
	require.FileExists(t, module, "run `make wasm` first")
	t.Setenv("ENVOY_BIN", binary.Path)
	var out bytes.Buffer
	args := []string{"--wasm", module, "--rounds", "2", "--requests", "200", "--only", "umagate, token cached", "--only", "jwt_authn", "--only", "ext_authz"}
	require.NoError(t, run(t.Context(), args, &out, io.Discard))
	for _, part := range []string{"machine: ", binary.Version, nameNone, nameCached, nameJWTCached, nameJWT, nameExtAuthz, "ready after", "bytes)"} {
		require.Contains(t, out.String(), part)
	}
	require.NotContains(t, out.String(), "introspection each time")
}

// TestVariants sees that each variant is answered as it must be by the filter's own
// kind of configuration.
func TestVariants(t *testing.T) {
	b, err := startBackend(t.Context())
	require.NoError(t, err)
	defer b.stop()
	all, err := variants(b, options{wasm: module, also: []build{{"old", "old.wasm"}}})
	require.NoError(t, err)
	require.Equal(t, nameNone, all[0].name)
	require.Equal(t, "old, token cached", all[len(all)-1].name)
	for _, v := range all {
		document, err := bootstrap(v, b)
		require.NoError(t, err)
		require.Contains(t, document, b.api[strings.LastIndex(b.api, ":")+1:], v.name)
		require.NotContains(t, document, "<no value>", v.name)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, args, wrong string }{
		{"no rounds", "--rounds 0", "at least 1"},
		{"an argument too many", "fast", "unknown argument"},
		{"a build without a name", "--also x.wasm", "NAME=PATH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(strings.Fields(tt.args), io.Discard)
			require.ErrorContains(t, err, tt.wrong)
		})
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var d []time.Duration
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i))
	}
	for p, want := range map[int]time.Duration{1: 1, 50: 50, 99: 99, 100: 100} {
		require.Equal(t, want, percentile(d, p))
	}
	require.Equal(t, time.Duration(7), percentile([]time.Duration{7}, 50))
}

func TestRatio(t *testing.T) {
	t.Parallel()
	of := func(d ...time.Duration) *result { return &result{cpu: d} }
	for _, tt := range []struct {
		name          string
		r, peer, base *result
		want          string
	}{
		{"of the minima above the base", of(150, 130), of(120, 500), of(100, 400), "1.50"},
		{"a peer that was left out", of(150), nil, of(100), "-"},
		{"a peer that costs nothing", of(150), of(100), of(100), "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, ratio(tt.r, tt.peer, tt.base))
		})
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, wire string
		status     int
		body       string
		fails      bool
	}{
		{"ok", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: y\r\n\r\nhiHTTP/1.1", 200, "hi", false},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", 0, "", true},
		{"cut", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", 0, "", true},
		{"nonsense", "nonsense\r\n\r\n", 0, "", true},
		{"no status", "HTTP/1.1 abc OK\r\n\r\n", 0, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, body, err := answer(bufio.NewReader(strings.NewReader(tt.wire)))
			if tt.fails {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.status, status)
			require.Equal(t, tt.body, string(body))
		})
	}
}

// TestCPUTime burns some, and finds it again.
func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	require.NoError(t, err)
	for x := range 20_000_000 {
		burnt += x
	}
	after, err := cpuTime(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, after-before, time.Millisecond)
	used, err := memory(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, used, 1<<20)
}

var burnt int
