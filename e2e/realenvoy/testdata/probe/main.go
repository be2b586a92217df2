// Command probe is a filter that shows a test what Envoy hands to a filter and
// what Envoy does with what a filter asks for. The header x-probe names what to
// do.
package main

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

// closeStream resets an HTTP stream: 0 by its request. The SDK has only those for TCP.
//
//go:wasmimport env proxy_close_stream
func closeStream(kind uint32) uint32

func init() {
	proxywasm.SetVMContext(&vm{})
}

type vm struct{ types.DefaultVMContext }

func (*vm) NewPluginContext(id uint32) types.PluginContext { return &plugin{id: id} }

type plugin struct {
	types.DefaultPluginContext
	id     uint32
	config string
	// waiting are the streams that wait for the shared call.
	waiting map[uint32]struct{}
	// pending is called at the next tick.
	pending func()
}

// OnTick runs under the context of the plugin.
func (p *plugin) OnTick() {
	if pending := p.pending; pending != nil {
		p.pending = nil
		pending()
		_ = proxywasm.SetTickPeriodMilliSeconds(0)
	}
}

func (p *plugin) OnPluginStart(size int) types.OnPluginStartStatus {
	p.waiting = map[uint32]struct{}{}
	config, err := proxywasm.GetPluginConfiguration()
	if err != nil && size > 0 {
		return types.OnPluginStartStatusFailed
	}
	p.config = string(config)
	if name, ok := strings.CutPrefix(p.config, "declare "); ok {
		if _, err := proxywasm.CallForeignFunction("declare_property", declareStruct(name)); err != nil {
			proxywasm.LogCritical("declare_property: " + err.Error())
			return types.OnPluginStartStatusFailed
		}
	}
	if p.config == "refuse" {
		proxywasm.LogCritical("probe refuses its configuration")
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	return &stream{id: id, plugin: p}
}

type stream struct {
	types.DefaultHttpContext
	id     uint32
	plugin *plugin
}

// OnHttpResponseHeaders has the stream ended soon, where that was asked for.
func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	if s.plugin.pending != nil {
		_ = proxywasm.SetTickPeriodMilliSeconds(20)
	}
	return types.ActionContinue
}

func (s *stream) OnHttpStreamDone() { delete(s.plugin.waiting, s.id) }

func (s *stream) OnHttpRequestHeaders(_ int, end bool) types.Action {
	all, err := proxywasm.GetHttpRequestHeaders()
	if err != nil {
		return answer(500, err.Error())
	}
	header := map[string]string{}
	for _, h := range all {
		header[h[0]] = h[1]
	}
	verb, argument, _ := strings.Cut(header["x-probe"], " ")
	switch verb {
	case "":
		return types.ActionContinue
	case "config":
		return answer(200, s.plugin.config)
	case "headers":
		text, _ := json.Marshal(map[string]any{"headers": all, "end": end})
		return answer(200, string(text))
	case "property": // name value
		name, value, _ := strings.Cut(argument, " ")
		if err := proxywasm.SetProperty([]string{name}, []byte(value)); err != nil {
			return answer(500, "set_property: "+err.Error())
		}
		return types.ActionContinue
	case "binary": // name hex
		name, value, _ := strings.Cut(argument, " ")
		decoded, _ := hex.DecodeString(value)
		if err := proxywasm.SetProperty([]string{name}, decoded); err != nil {
			return answer(500, "set_property: "+err.Error())
		}
		return types.ActionContinue
	case "deny": // name value
		name, value, _ := strings.Cut(argument, " ")
		if err := proxywasm.SetProperty([]string{name}, []byte(value)); err != nil {
			return answer(500, "set_property: "+err.Error())
		}
		return answer(403, "denied")
	case "counter":
		proxywasm.DefineCounterMetric(argument).Increment(3)
		return answer(200, "")
	case "gauge":
		proxywasm.DefineGaugeMetric(argument).Add(3)
		return answer(200, "")
	case "histogram":
		proxywasm.DefineHistogramMetric(argument).Record(7)
		return answer(200, "")
	case "dispatch": // cluster path
		cluster, path, _ := strings.Cut(argument, " ")
		_, err := proxywasm.DispatchHttpCall(cluster, [][2]string{
			{":method", "GET"}, {":path", path}, {":authority", "as.example.com"}, {":scheme", "http"},
		}, nil, nil, 5000, func(headers, size, _ int) {
			body, _ := proxywasm.GetHttpCallResponseBody(0, size)
			got, _ := proxywasm.GetHttpCallResponseHeaders()
			text, _ := json.Marshal(map[string]any{"count": headers, "headers": got, "body": string(body)})
			answer(200, string(text))
		})
		if err != nil {
			return answer(500, "dispatch: "+err.Error())
		}
		return types.ActionPause
	case "tick": // cluster path: the call is made under the plugin's context
		cluster, path, _ := strings.Cut(argument, " ")
		p := s.plugin
		p.waiting[s.id] = struct{}{}
		p.pending = func() {
			_, err := proxywasm.DispatchHttpCall(cluster, [][2]string{
				{":method", "GET"}, {":path", path}, {":authority", "as.example.com"}, {":scheme", "http"},
			}, nil, nil, 5000, func(int, int, int) {
				proxywasm.DefineCounterMetric("probe.shared_callback").Increment(1)
				for id := range p.waiting {
					if err := proxywasm.SetEffectiveContext(id); err != nil {
						proxywasm.LogWarn("set_effective_context: " + err.Error())
						continue
					}
					answer(200, "shared")
				}
				clear(p.waiting)
			})
			if err != nil {
				proxywasm.LogWarn("dispatch: " + err.Error())
			}
		}
		_ = proxywasm.SetTickPeriodMilliSeconds(1)
		return types.ActionPause
	case "end": // at a tick, when the answer has begun
		id := s.id
		s.plugin.pending = func() {
			if err := proxywasm.SetEffectiveContext(id); err != nil {
				proxywasm.LogWarn("set_effective_context: " + err.Error())
				return
			}
			_ = proxywasm.SetProperty([]string{"ended"}, []byte("yes"))
			closeStream(0)
		}
		return types.ActionContinue
	case "trap":
		panic("a trap on purpose")
	case "hold": // until Envoy ends the request
		return types.ActionPause
	case "wait": // for the shared call of another stream
		s.plugin.waiting[s.id] = struct{}{}
		return types.ActionPause
	case "local": // grpc status or -1
		status := int32(-1)
		if argument != "" {
			status = int32(argument[0]-'0')*10 + int32(argument[1]-'0')
		}
		if err := proxywasm.SendHttpResponse(401, [][2]string{
			{"www-authenticate", `UMA realm="r", as_uri="https://as", ticket="t"`},
			{"cache-control", "no-store"}, {"content-type", "application/problem+json"},
			{"x-two", "1"}, {"x-two", "2"},
		}, []byte(`{"reason":"probe"}`), status); err != nil {
			proxywasm.LogWarn(err.Error())
		}
		return types.ActionPause
	case "get":
		value, err := proxywasm.GetProperty(strings.Split(argument, "."))
		if err != nil {
			return answer(404, err.Error())
		}
		return answer(200, string(value))
	}
	return answer(500, "unknown probe "+verb)
}

func answer(status uint32, body string) types.Action {
	if err := proxywasm.SendHttpResponse(status, [][2]string{{"content-type", "text/plain"}}, []byte(body), -1); err != nil {
		proxywasm.LogWarn(err.Error())
	}
	return types.ActionPause
}

// declareStruct is Envoy's DeclarePropertyArguments: the property's values are
// google.protobuf.Struct, of the request.
func declareStruct(name string) []byte {
	const schema = "type.googleapis.com/google.protobuf.Struct"
	b := append([]byte{1<<3 | 2, byte(len(name))}, name...)
	b = append(b, 3<<3|0, 3) // type: Protobuf
	b = append(b, 4<<3|2, byte(len(schema)))
	b = append(b, schema...)
	return append(b, 5<<3|0, 1) // span: DownstreamRequest
}
