package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/telemetry"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// controlPlane is one that runs: its parts, none of which is replaced. Each guards what
// it shares by itself.
type controlPlane struct {
	options Options
	started time.Time
	board   *health.Board // what is the matter with this replica

	store       *store.SQL
	recorder    audit.Recorder
	telemetry   *telemetry.Telemetry
	metrics     *metrics
	xds         *xds.Server
	envoyTLS    *listen.Certificates // nil where xDS is plain text
	inForce     *inForce
	leadership  *leadership
	revocations *revoke.List
	removals    *instance.Removals
	instances   *instanceServer
	publisher   *publisher
	sources     *sources
	sites       *sites
	election    *election
	presence    *presence
	reloader    *reloader
	callers     *callers
	plans       chan struct{}   // holds as many as are under way
	stopped     <-chan struct{} // closed when Run is told to stop

	api, xdsListener net.Listener
}

// Run serves until ctx ends or something that it cannot do without fails. When
// it returns, every goroutine has ended and the store is closed.
func Run(ctx context.Context, options Options) error {
	options = options.withDefaults()
	file, err := options.Load(options.Path)
	if err != nil {
		return err
	}
	var opened closers
	s, err := open(ctx, options, file, &opened)
	if err == nil {
		err = s.run(ctx, file)
	}
	return errors.Join(err, opened.close())
}

// closers end what was opened.
type closers []func() error

func (c *closers) add(closer func() error) { *c = append(*c, closer) }

// close ends what was opened last first.
func (c *closers) close() (err error) {
	for _, closer := range slices.Backward(*c) {
		err = errors.Join(err, closer())
	}
	return err
}

// open makes the parts, each of those before it. What it opens goes to opened, also when
// it fails.
func open(ctx context.Context, options Options, file *site.File, opened *closers) (*controlPlane, error) {
	kept, err := store.Open(ctx, file.Store.Secret(), filepath.Dir(options.Path), file.StoreKeys()...)
	if err != nil {
		return nil, err
	}
	opened.add(kept.Close)
	lease, err := kept.Lead(ctx)
	if err != nil && !errors.Is(err, store.ErrNotLeader) {
		return nil, err
	}
	board := health.NewBoard("", options.Logger, registration.Remedy)
	election := newElection(board, options.Name, kept, options.Logger, options.Intervals.Standby, lease)
	opened.add(election.release)
	traces, err := startTelemetry(ctx, file, options.Version)
	if err != nil {
		return nil, err
	}
	opened.add(func() error { return traces.Stop(context.WithoutCancel(ctx)) })
	kept.Trace(traces.Tracer())
	envoys, err := xds.New(options.Logger, nil)
	if err != nil {
		return nil, err
	}
	recorder := store.Recorder{Store: kept, Logger: options.Logger}
	metrics, changes, inForce, leadership := newMetrics(), newChanges(), &inForce{}, &leadership{leading: lease != nil}
	instances := newInstanceServer()
	opened.add(instances.close)
	revocations := newRevocations(options, kept, recorder, envoys, inForce, leadership, changes)
	removals := newRemovals(options, kept, inForce, changes)
	publisher := &publisher{
		xds: envoys, logger: options.Logger, changes: changes, sites: inForce, instances: instances, removals: removals, revocations: revocations,
		pings: make(chan struct{}), compilers: map[string]*decision.Compiler{},
	}
	callers, err := newCallers(ctx, options, recorder, file)
	if err != nil {
		return nil, err
	}
	api, err := listenAPI(ctx, options, file)
	if err != nil {
		return nil, err
	}
	opened.add(closing(api))
	envoyTLS, err := loadEnvoyTLS(options, file)
	if err != nil {
		return nil, err
	}
	xdsListener, err := listen.TCP(ctx, "listen.xds", file.Listen.XDS, file.Listen.InsecurePlaintext || envoyTLS != nil)
	if err != nil {
		return nil, err
	}
	opened.add(closing(xdsListener))
	publisher.address = xdsListener.Addr().String()
	s := &controlPlane{}
	sources, err := openSources(ctx, options, file, envoys, SourceHost{
		Path: options.Path, Store: kept, Logger: options.Logger, Audit: recorder, Transport: transports(options, metrics),
		Leads: leadership.leads, Status: s.status,
		Revoked: func() []config.Revocations { revoked, _ := revocations.Compiled(); return revoked },
	})
	if err != nil {
		return nil, err
	}
	opened.add(sources.close)
	workers := &workerFactory{
		options: options, store: kept, recorder: recorder, telemetry: traces, metrics: metrics, leadership: leadership, removals: removals, changed: changes.add,
	}
	sites := &sites{
		store: kept, recorder: recorder, logger: options.Logger, leadership: leadership, inForce: inForce, changed: changes.add,
		newWorker: workers.make, taken: callers.take, read: unread, merge: sources.merging(),
		prepare: func(ctx context.Context, file *site.File) error { return instances.open(ctx, file, kept, envoyTLS) },
	}
	reloader := &reloader{
		path: options.Path, load: options.Load, apply: sites.apply, request: options.Reload, every: options.Intervals.Watch,
		logger: options.Logger, seen: sum(options.Path, file.Sources), file: file, sources: file.Sources, recorder: recorder,
	}
	*s = controlPlane{
		options: options, started: time.Now(), board: board, store: kept, recorder: recorder, telemetry: traces, metrics: metrics, xds: envoys, envoyTLS: envoyTLS,
		inForce: inForce, leadership: leadership, revocations: revocations, removals: removals, instances: instances,
		publisher: publisher, sources: sources, sites: sites, election: election, reloader: reloader, callers: callers,
		plans: make(chan struct{}, plansAtOnce), stopped: ctx.Done(), api: api, xdsListener: xdsListener,
	}
	s.presence = newPresence(kept, envoys, options.Logger, s.announce)
	metrics.registry.MustRegister(newStatusCollector(s.status, envoys.Refusals))
	return s, nil
}

// closing closes a listener, which is closed already once it was served.
func closing(listener net.Listener) func() error {
	return func() error { _ = listener.Close(); return nil }
}

// loadEnvoyTLS reads the files of listen.xds_tls; nil where xDS is plain text.
func loadEnvoyTLS(options Options, file *site.File) (*listen.Certificates, error) {
	t := file.Listen.XDSTLS
	if t == nil {
		return nil, nil //nolint:nilnil // plain text is an answer
	}
	files := listen.NewCertificates(options.Path, t.Certificate, t.Key, t.ClientCA, options.Logger)
	if err := files.Load(); err != nil {
		return nil, fmt.Errorf("listen.xds_tls: %w", err)
	}
	return files, nil
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
		slog.Int("sites", len(file.Sites)), slog.String("store", file.Store.String()), slog.String("local_token", file.LocalTokenPath(s.options.Path)))
	served := []func(context.Context) error{
		func(ctx context.Context) error { return s.election.run(ctx, s.sites) },
		endless(func(ctx context.Context) { s.store.Watch(ctx, s.election.notify) }),
		endless(s.publisher.run),
		endless(s.revocations.Run),
		endless(s.removals.Run),
		endless(s.reloader.run),
		s.serveXDS,
		endless(s.watchStore),
		endless(s.probeSites),
		endless(s.endAudit),
		func(ctx context.Context) error { return serveAPI(ctx, s.api, s.telemetry.Handler(router)) },
		func(ctx context.Context) error { return s.instances.run(ctx, s.filterHandler()) },
		endless(s.serveChanges),
	}
	for _, source := range s.sources.list {
		served = append(served, source.Run)
	}
	for _, part := range served {
		parts.Go(func() error { return recovered(ctx, part) })
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

// errPanic says that a part has a fault.
var errPanic = errors.New("panic")

// recovered makes an error of a panic of a part, so that the log has it in its own form,
// and everything ends in order.
func recovered(ctx context.Context, part func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanic, r, debug.Stack())
		}
	}()
	return part(ctx)
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
