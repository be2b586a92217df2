package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/telemetry"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/decision"
)

// controlPlane is one that runs: its parts, none of which is replaced while it runs.
// Each guards what it shares by itself.
type controlPlane struct {
	options Options
	started time.Time
	closers []func() error // of what was opened

	store       *store.SQL
	recorder    audit.Recorder
	telemetry   *telemetry.Telemetry
	metrics     *metrics
	xds         *xds.Server
	envoyTLS    *listen.Certificates // nil where xDS is plain text
	changes     *changes
	inForce     *inForce
	leadership  *leadership
	revocations *revoke.List
	removals    *instance.Removals
	instances   *instanceServer
	publisher   *publisher
	sites       *sites
	election    *election
	reloader    *reloader
	callers     *callers
	plans       chan struct{}   // holds as many as are under way
	stopped     <-chan struct{} // closed when Run is told to stop

	api, xdsListener net.Listener
	sources          []Source          // bring sites beside the file's
	requests         chan chan<- error // to read them anew; each is answered
}

// Run serves until ctx ends or something that it cannot do without fails. When
// it returns, every goroutine has ended and the store is closed.
func Run(ctx context.Context, options Options) error {
	options = options.withDefaults()
	file, err := options.Load(options.Path)
	if err != nil {
		return err
	}
	s := &controlPlane{options: options, started: time.Now(), stopped: ctx.Done()}
	err = s.open(ctx, file)
	if err == nil {
		err = s.run(ctx, file)
	}
	for _, closer := range slices.Backward(s.closers) {
		err = errors.Join(err, closer())
	}
	return err
}

// open makes the parts. What it opens is closed by closers, also when it fails.
func (s *controlPlane) open(ctx context.Context, file *site.File) (err error) {
	if s.store, err = link.OpenStore(ctx, s.options.Path, file); err != nil {
		return err
	}
	s.closers = append(s.closers, s.store.Close)
	lease, err := s.store.Lead(ctx)
	if err != nil && !errors.Is(err, store.ErrNotLeader) {
		return err
	}
	s.election = &election{
		name: s.options.Name, store: s.store, logger: s.options.Logger, every: s.options.Intervals.Standby, wake: make(chan struct{}, 1), lease: lease,
	}
	s.closers = append(s.closers, s.election.release)
	if s.telemetry, err = startTelemetry(ctx, file, s.options.Version); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { return s.telemetry.Stop(context.WithoutCancel(ctx)) })
	s.store.Trace(s.telemetry.Tracer())
	if s.xds, err = xds.New(s.options.Logger, nil); err != nil {
		return err
	}
	s.recorder = store.Recorder{Store: s.store, Logger: s.options.Logger}
	s.metrics, s.changes, s.inForce, s.leadership = newMetrics(), newChanges(), &inForce{}, &leadership{leading: lease != nil}
	s.instances, s.plans, s.requests = newInstanceServer(), make(chan struct{}, plansAtOnce), make(chan chan<- error)
	s.closers = append(s.closers, s.instances.close)
	s.revocations, s.removals = s.newRevocations(), s.newRemovals()
	s.publisher = &publisher{
		xds: s.xds, logger: s.options.Logger, changes: s.changes, sites: s.inForce, instances: s.instances, removals: s.removals, revocations: s.revocations,
		pings: make(chan struct{}), compilers: map[string]*decision.Compiler{},
	}
	if s.callers, err = s.newCallers(ctx, file); err != nil {
		return err
	}
	if err := s.listen(ctx, file); err != nil {
		return err
	}
	s.sites = &sites{
		store: s.store, recorder: s.recorder, logger: s.options.Logger, leadership: s.leadership, inForce: s.inForce, changed: s.changes.add,
		newWorker: s.newWorker, taken: s.callers.take, read: unread,
		prepare: func(ctx context.Context, file *site.File) error {
			return s.instances.open(ctx, file, s.store, s.envoyTLS)
		},
	}
	if len(s.sources) > 0 {
		s.sites.merge, s.election.polls = s.merge, true
	}
	s.election.sites = s.sites
	s.reloader = &reloader{
		path: s.options.Path, load: s.options.Load, apply: s.sites.apply, request: s.options.Reload, every: s.options.Intervals.Watch,
		logger: s.options.Logger, seen: sum(s.options.Path, file.Sources), file: file, sources: file.Sources, recorder: s.recorder,
	}
	s.metrics.registry.MustRegister(newStatusCollector(s.status, s.xds.Refusals))
	return nil
}

// listen opens every address that the file names.
func (s *controlPlane) listen(ctx context.Context, file *site.File) (err error) {
	if s.api, err = s.listenAPI(ctx, file); err != nil {
		return err
	}
	s.closers = append(s.closers, closing(s.api))
	if t := file.Listen.XDSTLS; t != nil {
		s.envoyTLS = listen.Beside(s.options.Path, t.Certificate, t.Key, t.ClientCA, s.options.Logger)
		if err = s.envoyTLS.Load(); err != nil {
			return fmt.Errorf("listen.xds_tls: %w", err)
		}
	}
	if s.xdsListener, err = listen.TCP(ctx, "listen.xds", file.Listen.XDS, file.Listen.InsecurePlaintext || s.envoyTLS != nil); err != nil {
		return err
	}
	s.closers = append(s.closers, closing(s.xdsListener))
	return s.openSources(ctx, file)
}

// closing closes a listener, which is closed already once it was served.
func closing(listener net.Listener) func() error {
	return func() error { _ = listener.Close(); return nil }
}

// run serves with the parts until ctx ends or one of them fails.
func (s *controlPlane) run(told context.Context, file *site.File) error {
	parts, ctx := errgroup.WithContext(told)
	ctx, cancel := context.WithCancel(ctx)
	defer s.sites.resign()
	defer cancel()
	router, err := s.router() //nolint:contextcheck // its handlers have the contexts of their requests
	if err != nil {
		return err
	}
	if err := s.publishKnown(ctx, file); err != nil {
		return err
	}
	s.options.Logger.Info("serving", slog.Bool("leader", s.leads()), slog.String("api", s.api.Addr().String()), slog.String("xds", s.xdsListener.Addr().String()),
		slog.Int("sites", len(file.Sites)), slog.String("store", file.Store.String()), slog.String("local_token", link.LocalToken(s.options.Path, file)))
	served := []func(context.Context) error{
		s.election.run,
		endless(func(ctx context.Context) { s.store.Watch(ctx, s.election.notify) }),
		endless(s.publisher.run),
		endless(s.revocations.Run),
		endless(s.removals.Run),
		endless(s.reloader.run),
		s.serveXDS,
		endless(s.endAudit),
		func(ctx context.Context) error { return serveAPI(ctx, s.api, s.telemetry.Handler(router)) },
		func(ctx context.Context) error { return s.instances.run(ctx, s.instanceHandler()) },
		endless(s.serveChanges),
	}
	for _, source := range s.sources {
		served = append(served, source.Run)
	}
	for _, part := range served {
		parts.Go(func() error { return part(ctx) })
	}
	if s.options.Started != nil {
		s.options.Started(s.api.Addr().String(), s.xdsListener.Addr().String())
	}
	if err := parts.Wait(); err != nil && told.Err() == nil {
		return err
	}
	s.options.Logger.Info("stopped")
	return nil
}

// endless is a part that does not fail.
func endless(run func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error { run(ctx); return nil }
}

// publishKnown publishes what the store knows, before anything is asked of an AS.
func (s *controlPlane) publishKnown(ctx context.Context, file *site.File) error {
	if s.leads() {
		if err := s.sites.claim(ctx, s.options.Name); err != nil {
			return err
		}
	}
	if err := s.sites.apply(ctx, file); err != nil {
		return err
	}
	s.reloader.tell(ctx, nil, file)
	if err := errors.Join(s.revocations.Load(ctx), s.removals.Load(ctx)); err != nil {
		return err
	}
	s.publisher.publish(ctx)
	return nil
}

// serveXDS answers Envoys until ctx ends.
func (s *controlPlane) serveXDS(ctx context.Context) error {
	if s.envoyTLS == nil {
		return s.xds.Serve(ctx, s.xdsListener, nil)
	}
	watching, ctx := errgroup.WithContext(ctx)
	watching.Go(func() error {
		s.envoyTLS.Watch(ctx, s.options.Intervals.Watch, func() { s.xds.Distrust(s.envoyTLS.Trusts) })
		return nil
	})
	watching.Go(func() error {
		return s.xds.Serve(ctx, s.xdsListener, s.envoyTLS.Config(tls.RequireAndVerifyClientCert, "h2"))
	})
	return watching.Wait()
}

// replicaName tells this process from others of the same store.
func replicaName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "umagate"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// leads reports whether this replica leads.
func (s *controlPlane) leads() bool { return s.leadership.leads() }

// current returns the file in force and its workers.
func (s *controlPlane) current() (*site.File, []*worker) {
	now := s.inForce.get()
	return now.file, now.workers
}

// observe measures and traces the calls to a site's AS.
func (s *controlPlane) observe(name string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return s.metrics.observe(name, s.telemetry.Transport(next))
	}
}
