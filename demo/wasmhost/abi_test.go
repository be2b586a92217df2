package wasmhost

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetrics(t *testing.T) {
	r := startHost(t, nil)
	for range 2 {
		require.Equal(t, 200, r.do(t, "GET", "/", "x-test", "metrics").code)
	}
	s := r.Stats()
	require.EqualValues(t, 6, s.Counters["c"])
	require.EqualValues(t, 10, s.Gauges["g"])
	require.Equal(t, Histogram{Count: 4, Sum: 84, Min: 2, Max: 40}, s.Histograms["h"])
}

func TestProperties(t *testing.T) {
	r := startHost(t, func(o *Options) { o.RootID = "root" })
	a := r.do(t, "GET", "/", "x-test", "property", "x-properties", "plugin_root_id,plugin_name,nothing,node/id")
	require.Equal(t, []string{
		"plugin_root_id=root", "plugin_name=umagate",
		"nothing: error status returned by host: not found", "node/id: error status returned by host: not found",
	}, strings.Split(a.body, "\n"))
}

func TestDecodeHeaders(t *testing.T) {
	m := &headerMap{}
	m.add("a", "1")
	m.add("b", "")
	m.add("a", "2")
	got, ok := decodeHeaders(m.encode())
	require.True(t, ok)
	require.Equal(t, m, got)
	for i := 1; i < len(m.encode()); i++ {
		_, ok := decodeHeaders(m.encode()[:i])
		require.False(t, ok, i)
	}
	m.set("a", "3")
	require.Equal(t, []field{{"a", "3"}, {"b", ""}}, m.fields)
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'a', 0, 'b', 0})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := decodeHeaders(b); ok && m.len() > 0 {
			again, ok := decodeHeaders(m.encode())
			require.True(t, ok)
			require.Equal(t, m, again)
		}
	})
}

func FuzzRawURL(f *testing.F) {
	for _, target := range []string{"/", "//a", "/a?b#c", "//\xff", "*", "//a?b?", "a"} {
		f.Add(target)
	}
	base := mustURL(f, "http://127.0.0.1:80")
	f.Fuzz(func(t *testing.T, target string) {
		if u, err := rawURL(base, target); err == nil {
			require.Equal(t, target, u.RequestURI())
			require.Equal(t, "127.0.0.1:80", u.Host)
		}
	})
}
