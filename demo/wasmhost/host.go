package wasmhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/umagate/umagate/controlplane/secret"
)

// Host is the proxy. It is an [http.Handler]; serve it with [Host.Server]. All
// methods are safe for concurrent use.
type Host struct {
	log       *slog.Logger
	accessLog func(Entry)
	upstream  *url.URL
	transport http.RoundTripper // to upstream
	h2c       http.RoundTripper // to upstream, for gRPC
	owned     []*http.Transport

	maxBuffered     int
	maxCallResponse int64
	reloadBackoff   time.Duration
	passMalformed   bool
	letBodiesCome   bool
	rootID          string

	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	cache    wazero.CompilationCache
	workers  []*worker
	running  sync.WaitGroup // workers
	calls    sync.WaitGroup // HTTP calls
	stop     context.CancelFunc
	metrics  *metrics
	buffers  sync.Pool
	seed     maphash.Seed

	nextConnection atomic.Uint64
	streams        atomic.Int64

	updating sync.Mutex // one UpdateConfig at a time
	mu       sync.Mutex // what follows
	current  []byte
	clusters map[string]*clusterState
	closed   bool

	vmTraps, vmReloads, vmReloadFailures, vmReloadBackoffs atomic.Uint64
	configUpdates, configRefusals                          atomic.Uint64
}

// clusterState is a cluster in use. Only its credential changes.
type clusterState struct {
	name               string
	url                *url.URL
	transport          http.RoundTripper
	timeout            time.Duration
	credentialRequired bool
	credential         atomic.Pointer[credential]
}

type credential struct{ secret.Text }

// New compiles the module, tries the configuration and starts the workers; ctx is
// for that only. The host must be closed.
func New(ctx context.Context, o Options) (*Host, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	h := &Host{
		log: o.Log, accessLog: o.AccessLog, upstream: o.Upstream, transport: o.UpstreamTransport, h2c: o.UpstreamTransport,
		maxBuffered: o.MaxBufferedBytes, maxCallResponse: o.MaxCallResponseBytes, reloadBackoff: o.ReloadBackoff, passMalformed: o.PassMalformed,
		rootID: o.RootID, letBodiesCome: o.AllowOnHeadersStopIteration,
		metrics: newMetrics(), current: bytes.Clone(o.Config),
		clusters: map[string]*clusterState{}, seed: maphash.MakeSeed(),
	}
	h.buffers.New = func() any { b := make([]byte, 32<<10); return &b }
	if h.transport == nil {
		h.transport, h.h2c = h.own(newTransport()), h.own(newH2CTransport())
	}
	for name, c := range o.Clusters {
		h.clusters[name] = h.newCluster(name, c)
	}
	h.clusters[upstreamCluster] = h.newCluster(upstreamCluster, Cluster{URL: h.upstream, Transport: h.transport})
	if err := h.load(ctx, &o); err != nil {
		return nil, errors.Join(err, h.unload(ctx))
	}
	return h, nil
}

// load compiles and starts.
func (h *Host) load(ctx context.Context, o *Options) error {
	cfg := wazero.NewRuntimeConfig()
	if o.CompilationCacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(o.CompilationCacheDir)
		if err != nil {
			return fmt.Errorf("wasmhost: Options.CompilationCacheDir: %w", err)
		}
		h.cache = cache
		cfg = cfg.WithCompilationCache(cache)
	}
	h.runtime = wazero.NewRuntimeWithConfig(ctx, cfg)
	compiled, err := h.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, 2), o.Wasm)
	if err != nil {
		return fmt.Errorf("wasmhost: compile the module: %w", err)
	}
	h.compiled = compiled
	if err := link(ctx, h.runtime, compiled); err != nil {
		return err
	}
	if err := h.try(ctx, h.current); err != nil {
		return err
	}
	// The workers outlive ctx: Close ends them.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	for i := range o.Workers {
		w := &worker{host: h, id: i, queue: newQueue()}
		if err := w.start(running); err != nil {
			return fmt.Errorf("wasmhost: worker %d: %w", i, err)
		}
		h.workers = append(h.workers, w)
	}
	for _, w := range h.workers {
		h.running.Go(func() { w.run(running) })
	}
	return nil
}

// unload frees what load made.
func (h *Host) unload(ctx context.Context) error {
	if h.stop != nil {
		h.stop()
	}
	var errs []error
	if h.runtime != nil {
		errs = append(errs, h.runtime.Close(ctx))
	}
	if h.cache != nil {
		errs = append(errs, h.cache.Close(ctx))
	}
	for _, t := range h.owned {
		t.CloseIdleConnections()
	}
	return errors.Join(errs...)
}

func (h *Host) own(t *http.Transport) *http.Transport {
	h.owned = append(h.owned, t)
	return t
}

// try starts the plugin in a VM of its own, as Envoy's main thread does.
func (h *Host) try(ctx context.Context, config []byte) error {
	v, err := h.newVM(ctx, nil)
	if err != nil {
		return err
	}
	_, err = v.startPlugin(ctx, config)
	if v.err == nil {
		v.release(ctx)
	}
	return err
}

// UpdateConfig gives every worker a new plugin configuration, as ECDS does. When it
// returns without error, new streams have it. When OnPluginStart refuses, the error
// is [ErrConfigRefused], and the old configuration stays in force in every worker.
func (h *Host) UpdateConfig(ctx context.Context, config []byte) error {
	h.updating.Lock()
	defer h.updating.Unlock()
	if h.isClosed() {
		return ErrClosed
	}
	if bytes.Equal(h.config(), config) {
		return nil
	}
	config = bytes.Clone(config)
	if err := h.try(ctx, config); err != nil {
		h.configRefusals.Add(1)
		return err
	}
	fresh, err := h.prepare(config)
	if err != nil {
		h.configRefusals.Add(1)
		return err
	}
	h.mu.Lock()
	h.current = config
	h.mu.Unlock()
	for i, w := range h.workers {
		if !w.do(func(ctx context.Context) { w.activate(ctx, fresh[i]) }) {
			return ErrClosed
		}
	}
	h.configUpdates.Add(1)
	return nil
}

// prepare makes a plugin context in every worker, or in none.
func (h *Host) prepare(config []byte) ([]*plugin, error) {
	fresh := make([]*plugin, len(h.workers))
	var failure error
	for i, w := range h.workers {
		ran := w.do(func(ctx context.Context) {
			if w.vm.err != nil {
				return // it starts with the host's configuration when it is restarted
			}
			fresh[i], failure = w.vm.startPlugin(ctx, config)
		})
		if !ran {
			failure = ErrClosed
		}
		if failure != nil {
			failure = fmt.Errorf("worker %d: %w", i, failure)
			break
		}
	}
	if failure == nil {
		return fresh, nil
	}
	for i, w := range h.workers {
		w.do(func(ctx context.Context) {
			if p := fresh[i]; p != nil && p.vm.err == nil {
				p.supersede(ctx)
			}
		})
	}
	return nil, failure
}

// activate gives new streams to p. p may be of a VM that has trapped since.
func (w *worker) activate(ctx context.Context, p *plugin) {
	if p == nil || p.vm.err != nil {
		// A restart between prepare and now may have taken the old configuration.
		if w.vm.err == nil && !bytes.Equal(w.vm.active.config, w.host.config()) {
			fresh, err := w.vm.startPlugin(ctx, w.host.config())
			if err != nil {
				w.vm.fail(ctx, err)
				return
			}
			w.activate(ctx, fresh)
		}
		return
	}
	old := p.vm.active
	p.vm.active = p
	old.supersede(ctx)
}

func (h *Host) config() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

func (h *Host) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

func (h *Host) newCluster(name string, c Cluster) *clusterState {
	s := &clusterState{name: name, url: c.URL, transport: c.Transport, timeout: c.Timeout, credentialRequired: c.CredentialRequired}
	if s.transport == nil {
		s.transport = h.own(newTransport())
	}
	if s.url == nil {
		s.url = &url.URL{Scheme: "http", Host: "cluster.invalid"}
	}
	s.credential.Store(&credential{c.Credential})
	return s
}

// SetCluster adds or replaces a cluster, as CDS does. Calls in flight stay with the
// old one.
func (h *Host) SetCluster(name string, c Cluster) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("wasmhost: cluster %q: %w", name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clusters[name] = h.newCluster(name, c)
	return nil
}

// SetCredential changes the Authorization header of a cluster's calls, as SDS does.
// It says false when there is no such cluster.
func (h *Host) SetCredential(name string, value secret.Text) bool {
	c, ok := h.cluster(name)
	if ok {
		c.credential.Store(&credential{value})
	}
	return ok
}

func (h *Host) cluster(name string) (*clusterState, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.clusters[name]
	return c, ok
}

// Stats tells the metrics now.
func (h *Host) Stats() Stats {
	s := Stats{
		Traps: h.vmTraps.Load(), Reloads: h.vmReloads.Load(), ReloadFailures: h.vmReloadFailures.Load(),
		ReloadBackoffs: h.vmReloadBackoffs.Load(), ConfigUpdates: h.configUpdates.Load(),
		ConfigRefusals: h.configRefusals.Load(), Streams: h.streams.Load(),
	}
	h.metrics.fill(&s)
	return s
}

// connectionKey is the key of a connection's number in its context.
type connectionKey struct{}

// ConnContext numbers connections, so that each worker gets as many. It is for
// [http.Server.ConnContext]; without it the client's address selects the worker.
func (h *Host) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, h.nextConnection.Add(1))
}

// Server is a server for the host that speaks HTTP/1.1 and HTTP/2 without TLS.
func (h *Host) Server() *http.Server {
	s := &http.Server{
		Handler: h, ConnContext: h.ConnContext, ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:                     slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the filter's to judge
		Protocols:                    new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// workerOf selects a connection's worker.
func (h *Host) workerOf(r *http.Request) *worker {
	id, ok := r.Context().Value(connectionKey{}).(uint64)
	if !ok {
		id = maphash.String(h.seed, r.RemoteAddr)
	}
	return h.workers[id%uint64(len(h.workers))]
}

// Close ends the workers; streams in progress are cut. Shut the server down first.
func (h *Host) Close(ctx context.Context) error {
	h.updating.Lock()
	defer h.updating.Unlock()
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	for _, w := range h.workers {
		w.queue.close()
	}
	h.running.Wait()
	h.stop()
	h.calls.Wait()
	return h.unload(ctx)
}
