package wasmhost

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// vm is one instance of the module. All of it belongs to one goroutine: its
// worker's, or UpdateConfig's while a configuration is tried.
type vm struct {
	host    *Host
	worker  *worker // nil for the VM that tries a configuration
	log     *slog.Logger
	started time.Time

	mod     api.Module
	mem     api.Memory
	exports exports
	stack   [8]uint64
	alloc   [1]uint64

	// current is the context the VM was called for; effective, when not 0, is what
	// proxy_set_effective_context chose for the rest of the call.
	current, effective uint32
	// stopNext is set by a local response: the callback counts as paused, whatever
	// it returns.
	stopNext bool
	// after are deferred until the VM has returned.
	after []event
	// err is why the VM is dead.
	err error

	nextID    uint32
	nextToken uint32
	active    *plugin
	plugins   map[uint32]*plugin
	streams   map[uint32]*stream
	metrics   map[uint32]*metric
}

// exports are the callbacks; one that the module lacks is nil and not called.
type exports struct {
	allocate, contextCreate, vmStart, configure  api.Function
	requestHeaders, requestBody, requestTrailers api.Function
	responseHeaders                              api.Function
	callResponse, tick, done, logged, deleted    api.Function
}

type vmKey struct{}

// newVM instantiates the module and runs its initialisation.
func (h *Host) newVM(ctx context.Context, w *worker) (*vm, error) {
	v := &vm{
		host: h, worker: w, log: h.log, started: time.Now(),
		plugins: map[uint32]*plugin{}, streams: map[uint32]*stream{}, metrics: map[uint32]*metric{},
	}
	if w != nil {
		v.log = h.log.With(slog.Int("worker", w.id))
	}
	ctx = context.WithValue(ctx, vmKey{}, v)
	cfg := wazero.NewModuleConfig().
		WithName("").
		WithStartFunctions("_initialize").
		WithStdout(&logWriter{log: v.log, level: slog.LevelInfo}).
		WithStderr(&logWriter{log: v.log, level: slog.LevelError}).
		WithSysWalltime().WithSysNanotime().WithSysNanosleep().
		WithRandSource(rand.Reader)
	mod, err := h.runtime.InstantiateModule(ctx, h.compiled, cfg)
	if err != nil {
		return nil, fmt.Errorf("wasmhost: instantiate the module: %w", err)
	}
	v.mod, v.mem = mod, mod.Memory()
	if v.mem == nil {
		return nil, errors.Join(errors.New("wasmhost: the module exports no memory: build it with -buildmode=c-shared"), mod.Close(ctx))
	}
	e := &v.exports
	for name, fn := range map[string]*api.Function{
		"proxy_on_memory_allocate": &e.allocate, "proxy_on_context_create": &e.contextCreate,
		"proxy_on_vm_start": &e.vmStart, "proxy_on_configure": &e.configure,
		"proxy_on_request_headers": &e.requestHeaders, "proxy_on_request_body": &e.requestBody,
		"proxy_on_request_trailers": &e.requestTrailers, "proxy_on_http_call_response": &e.callResponse, "proxy_on_tick": &e.tick,
		"proxy_on_response_headers": &e.responseHeaders, "proxy_on_done": &e.done,
		"proxy_on_log": &e.logged, "proxy_on_delete": &e.deleted,
	} {
		*fn = mod.ExportedFunction(name)
	}
	if e.allocate == nil || e.contextCreate == nil {
		return nil, errors.Join(errors.New("wasmhost: the module is no proxy-wasm filter: it exports no proxy_on_memory_allocate or proxy_on_context_create"), mod.Close(ctx))
	}
	return v, nil
}

// call enters the VM for a context and returns the callback's result, or orElse
// when the module does not export it. What the callback deferred runs before call
// returns. The error is ErrTrapped; every stream of the VM has failed by then.
func (v *vm) call(ctx context.Context, fn api.Function, id uint32, orElse uint32, args ...uint32) (uint32, error) {
	if v.err != nil {
		return 0, v.err
	}
	if fn == nil {
		return orElse, nil
	}
	stack := v.stack[:max(1, len(args)+1)]
	stack[0] = uint64(id)
	for i, a := range args {
		stack[i+1] = uint64(a)
	}
	v.current, v.effective = id, 0
	err := fn.CallWithStack(context.WithValue(ctx, vmKey{}, v), stack)
	v.current, v.effective = 0, 0
	result := uint32(stack[0]) //nolint:gosec // an i32 of the ABI
	if v.stopNext {
		result, v.stopNext = actionStop, false
	}
	if err != nil {
		v.after = nil
		v.fail(ctx, err)
		return 0, v.err
	}
	for len(v.after) > 0 && v.err == nil {
		actions := v.after
		v.after = nil
		for _, a := range actions {
			a(ctx)
		}
	}
	return result, v.err
}

// actionStop is how send_local_response makes a callback count.
const actionStop = 1 << 16

// fail marks the VM dead and answers every stream it had.
func (v *vm) fail(ctx context.Context, cause error) {
	if v.err != nil {
		return
	}
	v.err = fmt.Errorf("%w: %w", ErrTrapped, cause)
	v.log.ErrorContext(ctx, "the VM trapped; its streams fail", slog.Any("error", cause), slog.Int("streams", len(v.streams)))
	v.host.vmTraps.Add(1)
	for _, p := range v.plugins {
		p.stop()
	}
	for _, s := range v.streams {
		s.fail()
	}
	v.release(ctx)
}

// release frees the instance.
func (v *vm) release(ctx context.Context) {
	for _, p := range v.plugins {
		p.stop()
	}
	if err := v.mod.Close(ctx); err != nil {
		v.log.WarnContext(ctx, "the VM did not close", slog.Any("error", err))
	}
}

// bytes copies guest memory.
func (v *vm) bytes(ptr, size uint64) ([]byte, bool) {
	if size == 0 {
		return nil, true
	}
	b, ok := v.mem.Read(uint32(ptr), uint32(size)) //nolint:gosec // i32s of the ABI
	return bytes.Clone(b), ok
}

func (v *vm) text(ptr, size uint64) (string, bool) {
	if size == 0 {
		return "", true
	}
	b, ok := v.mem.Read(uint32(ptr), uint32(size)) //nolint:gosec // i32s of the ABI
	return string(b), ok
}

func (v *vm) putU32(ptr uint64, value uint32) status {
	if !v.mem.WriteUint32Le(uint32(ptr), value) { //nolint:gosec // an i32 of the ABI
		return statusInvalidMemory
	}
	return statusOK
}

// give hands data to the guest in memory that the guest allocates. Nothing is
// allocated for empty data: the SDK panics on it, and Envoy does not ask either.
func (v *vm) give(ctx context.Context, data []byte, ptrPtr, sizePtr uint64) status {
	var ptr uint32
	if len(data) > 0 {
		v.alloc[0] = uint64(len(data))
		current, effective := v.current, v.effective
		if err := v.exports.allocate.CallWithStack(ctx, v.alloc[:]); err != nil {
			// The guest is dead in the middle of a call. A panic is how a host
			// function ends the guest's call in wazero.
			panic(err)
		}
		v.current, v.effective = current, effective
		ptr = uint32(v.alloc[0]) //nolint:gosec // an i32 of the ABI
		if ptr == 0 || !v.mem.Write(ptr, data) {
			return statusInvalidMemory
		}
	}
	if st := v.putU32(ptrPtr, ptr); st != statusOK {
		return st
	}
	return v.putU32(sizePtr, uint32(len(data))) //nolint:gosec // bounded by guest memory
}

// logWriter makes log lines of what the module prints, such as a Go panic.
type logWriter struct {
	log   *slog.Logger
	level slog.Level
	rest  []byte
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		if len(line) > 0 {
			w.log.Log(context.Background(), w.level, "the module printed", slog.String("line", string(line)))
		}
		w.rest = append(w.rest[:0], rest...)
	}
}
