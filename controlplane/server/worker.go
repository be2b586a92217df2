package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/telemetry"
)

// worker looks after one site: what is registered at its AS, and its instances.
type worker struct {
	*registration.Worker

	site      *site.Site
	logger    *slog.Logger
	instances *instance.Manager // nil for a site without instances

	probing sync.Mutex // held while its AS is probed

	cancel context.CancelFunc // nil while it does not run
	done   chan struct{}
}

// workerFactory makes the workers of sites.
type workerFactory struct {
	options    Options
	store      *store.SQL
	recorder   audit.Recorder
	telemetry  *telemetry.Telemetry
	metrics    *metrics
	leadership *leadership
	removals   *instance.Removals
	changed    func() // asks for a publication
}

func (f *workerFactory) make(settings *site.Site) (*worker, error) {
	w := &worker{site: settings, logger: f.options.Logger.With(slog.String("site", settings.Name))}
	var err error
	w.Worker, err = registration.NewWorker(registration.Options{
		Site: settings, Store: f.store, Logger: w.logger, Intervals: f.options.Intervals.Site, Tracer: f.telemetry.Tracer(),
		Transport: f.options.Transport, Observe: observe(f.metrics, f.telemetry, settings.Name), Changed: f.changed, Missing: w.recheckInstance,
	})
	if err != nil {
		return nil, err
	}
	w.instances, err = f.instanceManager(w)
	return w, err
}

// observe measures and traces the calls to a site's AS.
func observe(m *metrics, t *telemetry.Telemetry, name string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return m.observe(name, t.Transport(next)) }
}

// restore reads everything anew. None of the workers runs.
func restore(ctx context.Context, workers []*worker, phase registration.Phase) (err error) {
	for _, w := range workers {
		if restoreErr := w.Restore(ctx, phase); restoreErr != nil {
			err = errors.Join(err, fmt.Errorf("site %s: %w", w.site.Name, restoreErr))
		}
	}
	return err
}

// start has workers run until ctx ends or they are stopped.
func start(ctx context.Context, workers []*worker) {
	for _, w := range workers {
		var running context.Context
		running, w.cancel = context.WithCancel(ctx)
		w.done = make(chan struct{})
		go func() {
			defer close(w.done)
			var wg sync.WaitGroup
			wg.Go(func() { w.keepInstances(running) })
			w.Run(running)
			wg.Wait()
		}()
	}
}

// stop ends those of the workers that which selects, and waits for them.
func stop(workers []*worker, which func(*worker) bool) {
	var stopped []*worker
	for _, w := range workers {
		if w.cancel != nil && which(w) {
			w.cancel()
			stopped = append(stopped, w)
		}
	}
	for _, w := range stopped {
		<-w.done
	}
}
