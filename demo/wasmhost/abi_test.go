package wasmhost

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
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

// TestDeclaredProperty: a property that the filter declared to be a Struct is an object in
// the access log; any other is bytes.
func TestDeclaredProperty(t *testing.T) {
	message, err := structpb.NewStruct(map[string]any{"decision": "deny", "status": 403})
	require.NoError(t, err)
	value, err := proto.Marshal(message)
	require.NoError(t, err)
	declared := func(name, schema string, kind uint64) []byte {
		b := protowire.AppendString(protowire.AppendTag(nil, declaredName, protowire.BytesType), name)
		b = protowire.AppendVarint(protowire.AppendTag(b, declaredType, protowire.VarintType), kind)
		return protowire.AppendString(protowire.AppendTag(b, declaredSchema, protowire.BytesType), schema)
	}
	const schema = "type.googleapis.com/google.protobuf.Struct"
	p := &plugin{declared: map[string]string{}}
	require.Equal(t, statusOK, p.declare(declared("a", schema, typeProtobuf)))
	require.Equal(t, statusBadArgument, p.declare(declared("a", schema, typeProtobuf)), "it is declared already")
	require.Equal(t, statusBadArgument, p.declare(declared("", schema, typeProtobuf)))
	require.Equal(t, statusBadArgument, p.declare([]byte{0xff}))
	require.Equal(t, statusOK, p.declare(declared("text", schema, 1)))
	require.Equal(t, statusOK, p.declare(declared("other", "type.googleapis.com/google.protobuf.Value", typeProtobuf)))
	e := Entry{declared: p.declared, FilterState: map[string][]byte{"wasm.a": value, "wasm.text": value, "wasm.other": value, "wasm.undeclared": value}}
	require.Equal(t, map[string]any{"decision": "deny", "status": 403.0}, e.Typed("wasm.a"))
	for _, name := range []string{"wasm.text", "wasm.other", "wasm.undeclared", "wasm.nothing"} {
		require.Nil(t, e.Typed(name), name)
	}
	e.FilterState["wasm.a"] = []byte("\x0a\x0f\x0a\x06reason\x12\x05\x1a\x03a\xffb")
	require.Nil(t, e.Typed("wasm.a"), "it is not UTF-8")
}
