package envoyconf_test

import (
	"testing"

	wasmfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// TestMessagesAreKept: where conditions name messages to an MCP server, Envoy lets the filter
// see a body before the headers go on, and keeps it for that long; nowhere else.
func TestMessagesAreKept(t *testing.T) {
	file := &site.File{Sites: []site.Site{
		{Name: "tools", Hosts: []string{"a.test"}, Upstream: "http://127.0.0.1:1", Resources: []site.Resource{{Name: "r", Conditions: []site.Condition{
			{Condition: config.Condition{Paths: []string{"/mcp"}, Scopes: []string{"view"}, MCP: &config.MCP{Tools: []string{"a"}}}},
		}}}},
		{Name: "other", Hosts: []string{"b.test"}, Upstream: "http://127.0.0.1:2"},
	}}
	filter := func() *wasmfilterv3.Wasm {
		compiled, err := site.Compile(file, nil)
		require.ErrorIs(t, err, site.ErrIncomplete)
		out, err := envoyconf.Filter(envoyconf.Input{File: file, Config: compiled})
		require.NoError(t, err)
		var wasm wasmfilterv3.Wasm
		require.NoError(t, out.GetTypedConfig().UnmarshalTo(&wasm))
		return &wasm
	}
	limits := func() []uint64 {
		var out []uint64
		for _, host := range envoyconf.Routes(file).GetVirtualHosts() {
			for _, r := range host.GetRoutes() {
				out = append(out, r.GetRequestBodyBufferLimit().GetValue())
			}
		}
		return out
	}
	require.True(t, filter().GetConfig().GetAllowOnHeadersStopIteration().GetValue())
	require.Equal(t, []uint64{1<<20 + 64<<10, 0}, limits())
	file.Sites[0].Limits.MCPMessageBytes = 4 << 20
	require.Equal(t, []uint64{4<<20 + 64<<10, 0}, limits())
	file.Sites[0].Resources[0].Conditions[0].MCP = nil
	require.Nil(t, filter().GetConfig().GetAllowOnHeadersStopIteration())
	require.Equal(t, []uint64{0, 0}, limits())
}
