package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// ErrRefused says that a configuration has faults, all of them in its text. The
// one before is still in force.
var ErrRefused = errors.New("native gateway: configuration refused")

// sweepEvery is how often overdue calls are looked for, as the filter's tick.
const sweepEvery = time.Second

// Options make a [Gateway].
type Options struct {
	// Config is the filter's configuration.
	Config config.Config
	// Upstream is where allowed requests go: scheme and host count.
	Upstream *url.URL
	// UpstreamTransport replaces the transport to Upstream.
	UpstreamTransport http.RoundTripper
	// Clusters are what calls may reach, by name.
	Clusters map[string]Cluster
	// Workers is how many there are; default 1.
	Workers int
	// Decided, when set, is told of every decision. It must not block, and is
	// called by several goroutines.
	Decided func(Entry)
}

// Cluster is a target of calls to the authorization server.
type Cluster struct {
	// URL is where it is; scheme and host count.
	URL *url.URL
	// Credential is the Authorization header that is added to each call.
	Credential secret.Text
	// Transport replaces the default one.
	Transport http.RoundTripper
}

// Entry is one line of the access log.
type Entry struct {
	Method, Authority, Path string
	report                  []byte // the decision's
}

// Report is the decision as Envoy's access log prints it, an object.
func (e *Entry) Report() (map[string]any, error) {
	var message structpb.Struct
	if err := proto.Unmarshal(e.report, &message); err != nil {
		return nil, fmt.Errorf("native gateway: a decision that no access log could print: %w", err)
	}
	return message.AsMap(), nil
}

// Gateway is the proxy. It is an http.Handler; serve it with [Gateway.Server]. Its
// methods are safe for concurrent use. It must be closed.
type Gateway struct {
	upstream  *url.URL
	transport http.RoundTripper
	decided   func(Entry)
	workers   []*worker
	calling   context.Context //nolint:containedctx // the calls' own, ended by Close
	stop      context.CancelFunc
	running   sync.WaitGroup
	owned     []*http.Transport
	next      atomic.Uint64

	mu       sync.Mutex
	clusters map[string]Cluster
	closed   bool
}

// New makes a gateway; ctx bounds nothing but its values are kept. The error wraps
// [ErrRefused] when the configuration has faults.
func New(ctx context.Context, o Options) (*Gateway, error) {
	policy, err := compile(o.Config)
	if err != nil {
		return nil, err
	}
	calling, stop := context.WithCancel(context.WithoutCancel(ctx))
	g := &Gateway{
		upstream: o.Upstream, transport: o.UpstreamTransport, decided: o.Decided, calling: calling, stop: stop,
		clusters: make(map[string]Cluster, len(o.Clusters)),
	}
	if g.transport == nil {
		g.transport = g.own()
	}
	for name, c := range o.Clusters {
		g.SetCluster(name, c)
	}
	for range max(o.Workers, 1) {
		w := newWorker(g)
		w.evaluator = w.core.Evaluator(policy)
		g.workers = append(g.workers, w)
	}
	g.running.Go(func() { g.sweep(calling) })
	return g, nil
}

// compile takes the configuration through the contract's wire form, as the filter
// gets it.
func compile(c config.Config) (*decision.Policy, error) {
	document, err := config.Encode(&c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	parsed, err := config.Parse(document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	policy, err := decision.Compile(parsed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return policy, nil
}

func (g *Gateway) own() *http.Transport {
	t := &http.Transport{
		DisableCompression: true, MaxIdleConns: 1024, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
	}
	g.owned = append(g.owned, t)
	return t
}

// UpdateConfig gives every worker a new configuration. When it returns without an
// error, every new request is judged by it.
func (g *Gateway) UpdateConfig(c config.Config) error {
	policy, err := compile(c)
	if err != nil {
		return err
	}
	for _, w := range g.workers {
		w.update(policy)
	}
	return nil
}

// SetCluster adds or replaces a cluster.
func (g *Gateway) SetCluster(name string, c Cluster) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.Transport == nil {
		if old, ok := g.clusters[name]; ok && old.URL != nil && c.URL != nil && old.URL.Host == c.URL.Host {
			c.Transport = old.Transport
		} else {
			c.Transport = g.own()
		}
	}
	g.clusters[name] = c
}

func (g *Gateway) cluster(name string) (Cluster, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.clusters[name]
	return c, ok
}

// Drain calls visit with what each worker has counted since the last Drain.
func (g *Gateway) Drain(visit func(site string, s *decision.SiteStats)) {
	for _, w := range g.workers {
		w.mu.Lock()
		w.core.Drain(visit)
		w.mu.Unlock()
	}
}

type connectionKey struct{}

// Server is a server for the gateway that speaks HTTP/1.1 and HTTP/2 without TLS.
func (g *Gateway) Server() *http.Server {
	s := &http.Server{
		Handler: g, ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the core's to judge
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, g.next.Add(1))
		},
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

func (g *Gateway) workerOf(r *http.Request) *worker {
	id, ok := r.Context().Value(connectionKey{}).(uint64)
	if !ok {
		id = g.next.Add(1)
	}
	return g.workers[id%uint64(len(g.workers))]
}

func (g *Gateway) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, w := range g.workers {
			w.sweep()
		}
	}
}

// Close ends the calls under way and waits for them. Shut the server down first.
func (g *Gateway) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.stop()
	g.running.Wait()
	for _, t := range g.owned {
		t.CloseIdleConnections()
	}
}
