package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/telemetry"
	"github.com/umagate/umagate/controlplane/xds"
)

// serving is a running control plane.
type serving struct {
	// wake tells lead that the store may have something new.
	wake chan struct{}

	options   Options
	store     store.Store
	xds       *xds.Server
	publisher *publisher
	book      *revoke.Book
	removals  *instance.Removals
	reloader  *reloader
	tls       *certificateWatch // nil where xDS is plain text
	metrics   *metrics
	recorder  audit.Recorder
	telemetry *telemetry.Telemetry
	callers   callers
	kept      *store.SQL
	instances *instanceServer
	// plans holds as many as are under way.
	plans   chan struct{}
	stopped <-chan struct{} // closed when Run is told to stop
	started time.Time

	// transition is held while workers begin or end; read, under it, is the number
	// of changes in the store that have been taken over.
	transition sync.Mutex
	read       int64

	// dynamic gives sites beside the file's; nil for none. base, under transition, is
	// the file as it was read, without them.
	dynamic Dynamic
	base    *site.File

	mu        sync.Mutex
	leading   bool
	leader    store.Leader // who leads, as the store has it
	withdrawn []withdrawn
	file      *site.File
	workers   []*worker
}

// worker looks after one site: what is registered at its AS, and its instances.
type worker struct {
	*registration.Worker

	site   *site.Site
	logger *slog.Logger
	keeper *instance.Keeper // nil for a site without instances

	cancel context.CancelFunc // nil while it does not run
	done   chan struct{}
}

// Run serves until ctx ends or something that it cannot do without fails. When
// it returns, every goroutine has ended and the store is closed.
func Run(ctx context.Context, options Options) (err error) {
	options.Intervals = options.Intervals.withDefaults()
	if options.Load == nil {
		options.Load = site.Load
	}
	if options.Name == "" {
		options.Name = replicaName()
	}
	file, err := options.Load(options.Path)
	if err != nil {
		return err
	}
	opened, err := link.OpenStore(ctx, options.Path, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	lease, err := opened.Lead(ctx)
	if err != nil && !errors.Is(err, store.ErrNotLeader) {
		return err
	}
	running := false // then lead looks after the lease
	defer func() {
		if lease != nil && !running {
			err = errors.Join(err, lease.Release())
		}
	}()

	s := &serving{wake: make(chan struct{}, 1), options: options, store: opened, started: time.Now(), metrics: newMetrics(), read: unread, leading: lease != nil}
	s.kept, s.instances = opened, newInstanceServer()
	defer s.instances.close()
	s.recorder, s.plans, s.stopped = store.Recorder{Store: opened, Logger: options.Logger}, make(chan struct{}, plansAtOnce), ctx.Done()
	if s.telemetry, err = startTelemetry(ctx, file, options.Version); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.telemetry.Stop(context.WithoutCancel(ctx))) }()
	opened.Trace(s.telemetry.Tracer())
	if s.xds, err = xds.New(options.Logger, nil); err != nil {
		return err
	}
	s.book = s.newBook(opened)
	s.publisher = newPublisher(s.xds, options.Logger, s.current, s.book)
	s.removals = s.newRemovals(opened)
	s.publisher.removals = s.removals.Compiled
	s.publisher.instances = s.instances.access
	s.reloader = &reloader{
		path: options.Path, load: options.Load, apply: s.apply, request: options.Reload, every: options.Intervals.Watch, logger: options.Logger,
		seen: sum(options.Path, file.Sources), file: file, sources: file.Sources, recorder: s.recorder,
	}
	s.metrics.registry.MustRegister(newStatusCollector(s.status, s.xds.Refusals))

	if err := s.makeLocalToken(ctx, file); err != nil {
		return err
	}
	api, err := s.listenAPI(ctx, file)
	if err != nil {
		return err
	}
	defer func() { _ = api.Close() }() // closed already, once it is served
	var xdsOptions []grpc.ServerOption
	if t := file.Listen.XDSTLS; t != nil {
		if s.tls, err = newCertificateWatch(t, options, s.xds); err != nil {
			return err
		}
		xdsOptions = append(xdsOptions, s.tls.certificates.ServerOption())
	}
	xdsListener, err := listen.TCP(ctx, "listen.xds", file.Listen.XDS, file.Listen.InsecurePlaintext || s.tls != nil)
	if err != nil {
		return err
	}
	defer func() { _ = xdsListener.Close() }()
	applications, err := s.openOXD(ctx, file, opened)
	if err != nil {
		return err
	}
	defer applications.close()

	if lease != nil {
		if err := s.tellLeader(ctx); err != nil {
			return err
		}
	}

	// What the store knows is published before anything is asked of an AS.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := s.apply(ctx, file); err != nil {
		s.stopWorkers(nil)
		return err
	}
	router, err := s.router()
	if err != nil {
		s.stopWorkers(nil)
		return err
	}
	s.reloader.tell(ctx, nil, file)
	if err := s.book.Load(ctx); err != nil {
		s.stopWorkers(nil)
		return err
	}
	if err := s.removals.Load(ctx); err != nil {
		s.stopWorkers(nil)
		return err
	}
	s.publisher.publish(ctx)
	options.Logger.Info("serving", slog.Bool("leader", s.leads()), slog.String("api", api.Addr().String()), slog.String("xds", xdsListener.Addr().String()),
		slog.Int("sites", len(file.Sites)), slog.String("store", file.Store.String()), slog.String("local_token", link.LocalToken(options.Path, file)))
	if web, socket := applications.addresses(); applications != nil {
		options.Logger.Info("serving applications of oxd", slog.String("http", web), slog.String("socket", socket))
	}

	var wg sync.WaitGroup
	guard := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	running = true
	guard(func(ctx context.Context) error { s.lead(ctx, lease); return nil })
	guard(func(ctx context.Context) error { opened.Watch(ctx, s.nudge); return nil })
	guard(func(ctx context.Context) error { s.publisher.run(ctx); return nil })
	guard(func(ctx context.Context) error { s.book.Run(ctx); return nil })
	guard(func(ctx context.Context) error { s.removals.Run(ctx); return nil })
	guard(func(ctx context.Context) error { s.reloader.run(ctx); return nil })
	guard(func(ctx context.Context) error { return s.xds.Serve(ctx, xdsListener, xdsOptions...) })
	if s.tls != nil {
		guard(func(ctx context.Context) error { s.tls.run(ctx); return nil })
	}
	guard(func(ctx context.Context) error { s.endAudit(ctx); return nil })
	guard(func(ctx context.Context) error { return serveAPI(ctx, api, s.telemetry.Handler(router)) })
	guard(func(ctx context.Context) error { return s.instances.run(ctx, s.instanceHandler()) })
	if applications != nil {
		guard(func(ctx context.Context) error { s.serveChanges(ctx, applications.changes); return nil })
	}
	if applications != nil && applications.http != nil {
		guard(applications.serveHTTP)
	}
	if applications != nil && applications.socket != nil {
		guard(applications.serveSocket)
	}
	if options.StartedOXD != nil {
		options.StartedOXD(applications.addresses())
	}
	if options.Started != nil {
		options.Started(api.Addr().String(), xdsListener.Addr().String())
	}
	<-ctx.Done()
	wg.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	options.Logger.Info("stopped")
	return nil
}

// replicaName tells this process from others of the same store.
func replicaName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "umagate"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// current gives the file in force and its workers.
func (s *serving) current() (*site.File, []*worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file, s.workers
}

// apply makes file the one in force, nil the one that is, with what applications
// protect now. Workers of sites that did not change go on; the others are stopped,
// and new ones begin with what the store knows.
func (s *serving) apply(ctx context.Context, file *site.File) error {
	s.transition.Lock()
	defer s.transition.Unlock()
	return s.applyLocked(ctx, file)
}

// applyLocked is apply with transition held.
func (s *serving) applyLocked(ctx context.Context, base *site.File) error {
	if base == nil {
		base = s.base
	}
	file, err := s.merge(ctx, base)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old, before := s.file, s.workers
	s.mu.Unlock()
	if old != nil {
		if err := unchangeable(old, file); err != nil {
			return err
		}
	}
	kept := map[string]*worker{}
	for _, w := range before {
		if next, ok := file.Site(w.site.Name); ok && reflect.DeepEqual(*next, *w.site) {
			kept[w.site.Name] = w
		}
	}
	// Everything that can fail comes before anything is stopped.
	var next []*worker
	var fresh []*worker
	for i := range file.Sites {
		name := file.Sites[i].Name
		if w := kept[name]; w != nil {
			next = append(next, w)
			continue
		}
		w, err := s.newWorker(&file.Sites[i])
		if err != nil {
			return fmt.Errorf("site %s: %w", name, err)
		}
		next, fresh = append(next, w), append(fresh, w)
	}
	guarded, gone, err := s.guard(ctx, file)
	if err != nil {
		return err
	}
	if err := s.instances.open(ctx, file, s.kept, s.tls); err != nil {
		return err
	}
	s.stopWorkers(func(w *worker) bool { return kept[w.site.Name] == nil })
	phase := registration.Standby
	if s.leads() {
		phase = registration.Discovering
	}
	for _, w := range fresh {
		if restoreErr := w.Restore(ctx, phase); restoreErr != nil {
			err = errors.Join(err, fmt.Errorf("site %s: %w", w.site.Name, restoreErr))
		}
	}
	s.base = base
	s.mu.Lock()
	s.file, s.workers, s.withdrawn = guarded, next, gone
	s.callers.take(file)
	s.mu.Unlock()
	if s.leads() {
		for _, w := range fresh {
			w.start(ctx)
		}
	}
	for _, w := range before {
		if _, ok := file.Site(w.site.Name); !ok {
			s.options.Logger.Warn("site is gone from the file; its client and resources stay at the AS", slog.String("site", w.site.Name))
		}
	}
	s.publisher.changed()
	return err
}

func (s *serving) newWorker(settings *site.Site) (*worker, error) {
	w := &worker{site: settings, logger: s.options.Logger.With(slog.String("site", settings.Name))}
	var err error
	w.Worker, err = registration.NewWorker(registration.Options{
		Site: settings, Store: s.store, Logger: w.logger, Intervals: s.options.Intervals.Site, Tracer: s.telemetry.Tracer(),
		Transport: s.options.Transport, Observe: s.observe(settings.Name), Changed: s.publisher.changed,
	})
	if err != nil {
		return nil, err
	}
	w.keeper, err = s.newKeeper(w)
	return w, err
}

// observe measures and traces the calls to a site's AS.
func (s *serving) observe(name string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return s.metrics.observe(name, s.telemetry.Transport(next))
	}
}

func (w *worker) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		var wg sync.WaitGroup
		wg.Go(func() { w.keepInstances(ctx) })
		w.Run(ctx)
		wg.Wait()
	}()
}

// stopWorkers stops those that which selects, all when nil, and waits for them.
func (s *serving) stopWorkers(which func(*worker) bool) {
	s.mu.Lock()
	workers := s.workers
	s.mu.Unlock()
	var stopped []*worker
	for _, w := range workers {
		if w.cancel != nil && (which == nil || which(w)) {
			w.cancel()
			stopped = append(stopped, w)
		}
	}
	for _, w := range stopped {
		<-w.done
	}
}
