package wasmhost

import (
	"context"
	"log/slog"
	"time"
)

// worker owns one VM and the goroutine that enters it.
type worker struct {
	host  *Host
	id    int
	queue *queue
	vm    *vm
}

// run serves the queue until it is closed.
func (w *worker) run(ctx context.Context) {
	var spare []event
	for {
		events := w.queue.take(spare)
		if events == nil {
			break
		}
		for _, e := range events {
			e(ctx)
		}
		spare = events
	}
	for _, s := range w.vm.streams {
		s.abort()
	}
	if w.vm.err == nil {
		w.vm.release(ctx)
	}
}

// do runs f on the worker and waits for it; false when the worker has ended.
func (w *worker) do(f event) bool {
	done := make(chan struct{})
	if !w.queue.post(func(ctx context.Context) { defer close(done); f(ctx) }) {
		return false
	}
	<-done
	return true
}

// start makes the VM with the host's configuration.
func (w *worker) start(ctx context.Context) error {
	v, err := w.host.newVM(ctx, w)
	if err != nil {
		return err
	}
	p, err := v.startPlugin(ctx, w.host.config())
	if err != nil {
		if v.err == nil {
			v.release(ctx)
		}
		return err
	}
	v.active = p
	w.vm = v
	return nil
}

// live is the worker's VM, restarted when it has trapped and the back-off is over
// (FAIL_RELOAD). A nil answer means that the stream must fail.
func (w *worker) live(ctx context.Context) *vm {
	if w.vm.err == nil {
		return w.vm
	}
	if time.Since(w.vm.started) < w.host.reloadBackoff {
		w.host.vmReloadBackoffs.Add(1)
		return nil
	}
	dead := w.vm
	if err := w.start(ctx); err != nil {
		dead.started = time.Now()
		w.host.vmReloadFailures.Add(1)
		w.host.log.ErrorContext(ctx, "the VM does not start again; requests get 503", slog.Int("worker", w.id), slog.Any("error", err))
		return nil
	}
	w.host.vmReloads.Add(1)
	w.host.log.WarnContext(ctx, "the VM was started again; its caches are empty", slog.Int("worker", w.id))
	return w.vm
}
