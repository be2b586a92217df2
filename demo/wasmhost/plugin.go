package wasmhost

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// plugin is a plugin context (root context): one configuration in one VM.
type plugin struct {
	vm     *vm
	id     uint32
	config []byte
	// configuring is true while OnPluginStart runs: the configuration can be read
	// then only.
	configuring bool
	refs        int // streams
	superseded  bool
	finishing   bool // waits for proxy_done

	declared map[string]string // the types of properties, by their names in the filter state
	calls    map[uint32]context.CancelFunc
	answer   *callAnswer // while proxy_on_http_call_response runs
	period   time.Duration
	timer    *time.Timer
	tickSeen uint64
}

// startPlugin makes a plugin context and configures it. Streams still use the one
// that is active.
func (v *vm) startPlugin(ctx context.Context, config []byte) (*plugin, error) {
	v.nextID++
	p := &plugin{vm: v, id: v.nextID, config: config, declared: map[string]string{}, calls: map[uint32]context.CancelFunc{}}
	v.plugins[p.id] = p
	if _, err := v.call(ctx, v.exports.contextCreate, p.id, 0, 0); err != nil {
		return nil, err
	}
	ok, err := v.call(ctx, v.exports.vmStart, p.id, 1, 0) // the VM has no configuration of its own
	if err != nil {
		return nil, err
	}
	if ok == 0 {
		return nil, errors.Join(ErrConfigRefused, errors.New("OnVMStart said no"), p.discard(ctx))
	}
	p.configuring = true
	ok, err = v.call(ctx, v.exports.configure, p.id, 1, uint32(len(config))) //nolint:gosec // a configuration's length
	p.configuring = false
	if err != nil {
		return nil, err
	}
	if ok == 0 {
		return nil, errors.Join(ErrConfigRefused, p.discard(ctx))
	}
	return p, nil
}

// discard removes a plugin context that no stream uses.
func (p *plugin) discard(ctx context.Context) error {
	p.superseded = true
	p.finishIfIdle(ctx)
	return p.vm.err
}

// supersede marks the context as replaced.
func (p *plugin) supersede(ctx context.Context) {
	p.superseded = true
	p.finishIfIdle(ctx)
}

// finishIfIdle ends a replaced context when its last stream has gone.
func (p *plugin) finishIfIdle(ctx context.Context) {
	if !p.superseded || p.refs > 0 || p.finishing || p.vm.err != nil {
		return
	}
	p.finishing = true
	p.stopTimer()
	done, err := p.vm.call(ctx, p.vm.exports.done, p.id, 1)
	if err == nil && done != 0 {
		p.delete(ctx)
	}
}

// delete removes the context from the VM; the calls it made are cancelled.
func (p *plugin) delete(ctx context.Context) {
	if p.vm.plugins[p.id] == nil || p.vm.err != nil {
		return
	}
	delete(p.vm.plugins, p.id)
	p.stop()
	if _, err := p.vm.call(ctx, p.vm.exports.deleted, p.id, 0); err != nil {
		return
	}
	p.vm.log.DebugContext(ctx, "a replaced plugin context is finished", slog.Uint64("context", uint64(p.id)))
}

// stop cancels what the context has outside the VM.
func (p *plugin) stop() {
	p.stopTimer()
	for token, cancel := range p.calls {
		cancel()
		delete(p.calls, token)
	}
}

func (p *plugin) stopTimer() {
	p.period = 0
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// setTick starts, changes or (0) stops the ticks.
func (p *plugin) setTick(period time.Duration) {
	p.stopTimer()
	if p.vm.worker == nil || p.finishing {
		return // a VM that tries a configuration lives too short to tick
	}
	p.period = period
	p.arm()
}

func (p *plugin) arm() {
	if p.period <= 0 {
		return
	}
	p.tickSeen++
	seen := p.tickSeen
	w := p.vm.worker
	p.timer = time.AfterFunc(p.period, func() {
		w.queue.post(func(ctx context.Context) { p.tick(ctx, seen) })
	})
}

// tick runs OnTick and arms the timer again; seen tells a tick that was already
// queued when the period changed.
func (p *plugin) tick(ctx context.Context, seen uint64) {
	if p.tickSeen != seen || p.period <= 0 || p.vm.err != nil {
		return
	}
	if _, err := p.vm.call(ctx, p.vm.exports.tick, p.id, 0); err != nil {
		return
	}
	if p.tickSeen == seen {
		p.arm()
	}
}
