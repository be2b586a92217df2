package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// status is what a host call returns (proxy-wasm ABI 0.2.x, proxy_status_t).
type status uint32

const (
	statusOK              status = 0
	statusNotFound        status = 1
	statusBadArgument     status = 2
	statusInvalidMemory   status = 6
	statusInternalFailure status = 10
	statusUnimplemented   status = 12
)

// mapType names a header map (proxy_header_map_type_t).
type mapType uint32

const (
	mapRequestHeaders      mapType = 0
	mapRequestTrailers     mapType = 1
	mapResponseHeaders     mapType = 2
	mapCallResponseHeaders mapType = 6
)

// mapMax is the last that ABI 0.2 knows.
const mapMax = 7

// bufferType names a buffer (proxy_buffer_type_t).
type bufferType uint32

const (
	bufferRequestBody      bufferType = 0
	bufferCallResponseBody bufferType = 4
	bufferPluginConfig     bufferType = 7
	bufferMax              bufferType = 8
)

// hostCall is one function that the module may import from "env".
type hostCall struct {
	params int
	do     func(ctx context.Context, v *vm, a []uint64) status
}

// link makes the module's imports: WASI by wazero, "env" by this package. What
// "env" lacks becomes a stub that says Unimplemented, as in Envoy.
func link(ctx context.Context, rt wazero.Runtime, compiled wazero.CompiledModule) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		return fmt.Errorf("wasmhost: WASI: %w", err)
	}
	calls := hostCalls()
	env := rt.NewHostModuleBuilder("env")
	for _, def := range compiled.ImportedFunctions() {
		module, name, _ := def.Import()
		if module != "env" {
			continue
		}
		call, known := calls[name]
		if !known {
			call = hostCall{len(def.ParamTypes()), func(context.Context, *vm, []uint64) status { return statusUnimplemented }}
		}
		if len(def.ParamTypes()) != call.params || len(def.ResultTypes()) != 1 {
			return fmt.Errorf("wasmhost: the module imports env.%s with a form that is not of ABI 0.2: build it with the SDK that go.mod names", name)
		}
		do, types := call.do, def.ParamTypes()
		env.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
			v, ok := ctx.Value(vmKey{}).(*vm)
			if !ok {
				panic(errors.New("wasmhost: a host call outside of a VM")) // wazero makes a trap of it
			}
			for i, t := range types {
				if t == api.ValueTypeI32 {
					stack[i] &= math.MaxUint32 // wazero leaves the upper half undefined
				}
			}
			stack[0] = uint64(do(ctx, v, stack))
		}), types, def.ResultTypes()).Export(name)
	}
	if _, err := env.Instantiate(ctx); err != nil {
		return fmt.Errorf("wasmhost: host calls: %w", err)
	}
	return nil
}

func hostCalls() map[string]hostCall {
	return map[string]hostCall{
		"proxy_log":                          {3, abiLog},
		"proxy_set_tick_period_milliseconds": {1, abiSetTickPeriod},
		"proxy_set_effective_context":        {1, abiSetEffectiveContext},
		"proxy_done":                         {0, abiDone},

		"proxy_add_header_map_value":     {5, abiAddHeader},
		"proxy_replace_header_map_value": {5, abiReplaceHeader},
		"proxy_remove_header_map_value":  {3, abiRemoveHeader},
		"proxy_get_header_map_pairs":     {3, abiGetHeaders},
		"proxy_get_buffer_bytes":         {5, abiGetBuffer},

		"proxy_continue_stream":     {1, abiContinueStream},
		"proxy_close_stream":        {1, abiCloseStream},
		"proxy_send_local_response": {8, abiSendLocalResponse},
		"proxy_http_call":           {10, abiHTTPCall},

		"proxy_get_property": {4, abiGetProperty},
		"proxy_set_property": {4, abiSetProperty},

		"proxy_call_foreign_function": {6, abiCallForeignFunction},

		"proxy_define_metric":    {4, abiDefineMetric},
		"proxy_increment_metric": {2, abiIncrementMetric},
		"proxy_record_metric":    {2, abiRecordMetric},
	}
}

// contextID is the context a host call is about.
func (v *vm) contextID() uint32 {
	if v.effective != 0 && (v.streams[v.effective] != nil || v.plugins[v.effective] != nil) {
		return v.effective
	}
	return v.current
}

// stream is the stream a host call is about, nil in a plugin context.
func (v *vm) stream() *stream { return v.streams[v.contextID()] }

// plugin is the plugin context a host call is about, or that of its stream.
func (v *vm) plugin() *plugin {
	if s := v.stream(); s != nil {
		return s.plugin
	}
	return v.plugins[v.contextID()]
}

func abiLog(ctx context.Context, v *vm, a []uint64) status {
	msg, ok := v.text(a[1], a[2])
	if !ok {
		return statusInvalidMemory
	}
	if a[0] > 6 {
		return statusBadArgument
	}
	v.log.Log(ctx, logLevel(uint32(a[0])), "the filter logged", slog.String("text", msg)) //nolint:gosec // checked above
	return statusOK
}

func abiSetTickPeriod(_ context.Context, v *vm, a []uint64) status {
	p := v.plugin()
	if p == nil {
		return statusBadArgument
	}
	p.setTick(time.Duration(uint32(a[0])) * time.Millisecond) //nolint:gosec // an i32 of the ABI
	return statusOK
}

func abiSetEffectiveContext(_ context.Context, v *vm, a []uint64) status {
	id := uint32(a[0]) //nolint:gosec // an i32 of the ABI
	if v.streams[id] == nil && v.plugins[id] == nil {
		return statusBadArgument
	}
	v.effective = id
	return statusOK
}

// abiDone ends a plugin context whose OnPluginDone had said "not yet".
func abiDone(_ context.Context, v *vm, _ []uint64) status {
	p := v.plugins[v.contextID()]
	if p == nil || !p.finishing {
		return statusNotFound
	}
	v.after = append(v.after, p.delete)
	return statusOK
}

// headers finds a map for a host call.
func (v *vm) headers(kind uint64, change bool) *headerMap {
	t := mapType(kind) //nolint:gosec // an i32 of the ABI
	switch t {
	case mapCallResponseHeaders:
		p := v.plugin()
		if change || p == nil || p.answer == nil {
			return nil
		}
		return p.answer.headers
	case mapRequestHeaders, mapRequestTrailers, mapResponseHeaders:
		if s := v.stream(); s != nil {
			return s.visible(t, change)
		}
	}
	return nil
}

// change reads a name and a value and finds the map to change.
func (v *vm) change(a []uint64) (m *headerMap, name, value string, st status) {
	name, ok1 := v.text(a[1], a[2])
	value, ok2 := v.text(a[3], a[4])
	if !ok1 || !ok2 {
		return nil, "", "", statusInvalidMemory
	}
	m = v.headers(a[0], true)
	if m == nil {
		return nil, "", "", statusBadArgument
	}
	return m, lower(name), value, statusOK
}

func abiAddHeader(_ context.Context, v *vm, a []uint64) status {
	m, name, value, st := v.change(a)
	if st == statusOK {
		m.add(name, value)
	}
	return st
}

func abiReplaceHeader(_ context.Context, v *vm, a []uint64) status {
	m, name, value, st := v.change(a)
	if st == statusOK {
		m.set(name, value)
	}
	return st
}

func abiRemoveHeader(_ context.Context, v *vm, a []uint64) status {
	name, ok := v.text(a[1], a[2])
	if !ok {
		return statusInvalidMemory
	}
	m := v.headers(a[0], true)
	if m == nil {
		return statusBadArgument
	}
	m.remove(lower(name))
	return statusOK
}

func abiGetHeaders(ctx context.Context, v *vm, a []uint64) status {
	if a[0] > mapMax {
		return statusBadArgument
	}
	return v.give(ctx, v.headers(a[0], false).encode(), a[1], a[2])
}

// buffer is what a buffer of the ABI holds now.
func (v *vm) buffer(kind uint64) ([]byte, status) {
	p := v.plugin()
	switch t := bufferType(kind); t { //nolint:gosec // an i32 of the ABI
	case bufferPluginConfig:
		if p != nil && p.configuring {
			return p.config, statusOK
		}
	case bufferRequestBody:
		if s := v.stream(); s != nil && s.headers != nil && s.body != nil {
			return s.body, statusOK
		}
	case bufferCallResponseBody:
		if p != nil && p.answer != nil {
			return p.answer.body, statusOK
		}
	default:
		if t > bufferMax {
			return nil, statusBadArgument
		}
	}
	return nil, statusNotFound
}

func abiGetBuffer(ctx context.Context, v *vm, a []uint64) status {
	data, st := v.buffer(a[0])
	if st != statusOK {
		return st
	}
	start, length := a[1]&math.MaxUint32, a[2]&math.MaxUint32
	size := uint64(len(data))
	if start+length > math.MaxUint32 || start > size {
		return statusBadArgument
	}
	end := min(start+length, size)
	if end == start {
		return statusOK // nothing is written, as in Envoy: the SDK says "not found"
	}
	return v.give(ctx, data[start:end], a[3], a[4])
}

// abiContinueStream lets a request go on; a response never waits.
func abiContinueStream(_ context.Context, v *vm, a []uint64) status {
	const request = 0
	if a[0] != request {
		return statusBadArgument
	}
	s := v.stream()
	if s == nil {
		return statusOK
	}
	s.headers, s.trailers = nil, nil
	v.after = append(v.after, func(context.Context) { s.resume() })
	return statusOK
}

// abiCloseStream resets a stream: 0 by its request, 1 by its response.
func abiCloseStream(_ context.Context, v *vm, a []uint64) status {
	const response = 1
	s := v.stream()
	if a[0] > response || s == nil {
		return statusBadArgument
	}
	v.after = append(v.after, func(context.Context) { s.abort() })
	return statusOK
}

func abiSendLocalResponse(_ context.Context, v *vm, a []uint64) status {
	details, ok1 := v.text(a[1], a[2])
	body, ok2 := v.bytes(a[3], a[4])
	pairs, ok3 := v.bytes(a[5], a[6])
	if !ok1 || !ok2 || !ok3 {
		return statusInvalidMemory
	}
	headers, ok := decodeHeaders(pairs)
	if !ok {
		headers = &headerMap{}
	}
	r := &localReply{status: int(uint32(a[0])), headers: headers, body: body, grpcStatus: int32(uint32(a[7])), details: details} //nolint:gosec // i32s of the ABI
	if s := v.stream(); s != nil {
		v.after = append(v.after, func(context.Context) { s.answer(r) })
	}
	v.stopNext = true
	return statusOK
}
