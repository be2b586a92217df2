package filter

import (
	"runtime/debug"
	"strconv"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

const (
	// tick is how often counts are given to Envoy and overdue calls are looked for.
	tick = time.Second
	// hurriedTick is the tick while requests that can go on wait for their turn.
	hurriedTick = time.Millisecond
	// batch is how many requests and calls go on between two ticks. What Envoy is
	// asked to do it does when the callback has returned, and it calls back for a
	// stream that ends, after which it does the next: one inside the other. V8's
	// stack holds a few hundred. Only a tick is surely not inside another callback.
	batch = 32
)

// heapGrowth is how many percent of what is alive the heap may grow by before it
// is collected. A collection stops the worker, and what is alive is small while
// the caches are: a few MB more buy a fifth of the collections. When the caches
// are full the heap ends at twice their bounds and heapRoom, as WebAssembly never
// gives memory back.
const (
	heapGrowth = 400
	heapRoom   = 32 << 20
)

// plugin is one configuration in one VM.
type plugin struct {
	types.DefaultPluginContext

	vm        *vm
	id        uint32
	worker    *worker
	policy    *decision.Policy
	evaluator *decision.Evaluator

	calls   int                      // under way
	hurried bool                     // the tick is hurriedTick
	swept   int64                    // when overdue calls were looked for, in nanoseconds since 1970
	leaving bool                     // Envoy waits for the calls before it deletes the context
	told    [decision.Withhelds]bool // the log has it
	logs    bool                     // an access log has decisions
}

// OnPluginStart implements types.PluginContext. A configuration that is refused
// leaves the one before in force.
func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	document, err := proxywasm.GetPluginConfiguration()
	if err != nil {
		return refuse("the plugin has no configuration: " + err.Error())
	}
	worker := p.vm.worker(pluginName())
	worker.metrics.count(config.StartsMetric, 1) // first, as the configuration may be too new
	policy, err := worker.compiler.Compile(document)
	if err != nil {
		return refuse(err.Error())
	}
	if told := policy.Told(); told || !policy.Unreported {
		declared := declareReport()
		if told && !declared {
			return refuse("a site has reported_claims, and the host takes no property of a type")
		}
		p.logs = declared && !policy.Unreported
	}
	if err := setTick(tick); err != nil {
		return refuse("the host has no timer: " + err.Error())
	}
	debug.SetGCPercent(heapGrowth)
	p.worker, p.policy = worker, policy
	worker.Bound(batch)
	p.evaluator = worker.Evaluator(policy)
	p.evaluator.Client = clientAddress
	p.inForce()
	proxywasm.LogInfo("umagate: configuration " + policy.Revision + " in force, " + strconv.Itoa(len(policy.Sites())) + " sites")
	return types.OnPluginStartStatusOK
}

// pluginName tells the plugins of one VM apart: two listeners may have different
// configurations for the same binary. A host that has one plugin knows no names.
func pluginName() string {
	name, _ := proxywasm.GetProperty([]string{"plugin_name"})
	rootID, _ := proxywasm.GetProperty([]string{"plugin_root_id"})
	return string(name) + "\x00" + string(rootID)
}

func refuse(why string) types.OnPluginStartStatus {
	proxywasm.LogCritical("umagate: configuration refused; the one before, if any, stays in force\n" + why)
	return types.OnPluginStartStatusFailed
}

// inForce makes what is the worker's, or the VM's, that of this configuration.
func (p *plugin) inForce() {
	p.worker.current = p
	debug.SetMemoryLimit(heapRoom + 2*int64(p.policy.CacheBytes()) + int64(p.policy.WaitingBytes()))
	p.pace() // streams are looked at, as they may have been revoked
}

// NewHttpContext implements types.PluginContext. Envoy keeps a plugin as long as a stream that
// began under it, and takes it up again, without starting it, when its configuration comes
// back.
func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	if p.worker != nil && p.worker.current != p {
		p.worker.Bound(batch)
		p.evaluator.Begin()
		p.inForce()
	}
	return &stream{plugin: p, id: id}
}

// OnTick implements types.PluginContext.
func (p *plugin) OnTick() {
	if p.worker == nil {
		return
	}
	at := now()
	p.worker.Bound(batch)
	p.apply(p.worker.Next(at), nil)
	p.apply(nil, p.worker.Due(at))
	if since := at.UnixNano() - p.swept; since >= int64(tick) || since < 0 {
		p.swept = at.UnixNano()
		p.apply(p.worker.Sweep(at), nil)
		p.own()
		p.worker.metrics.flush(p.worker.Worker)
	}
	p.apply(p.worker.Look(at), nil)
	p.pace()
}

// pace makes the tick come soon while requests can go on, and lets Envoy delete the
// context when nothing more is to come.
func (p *plugin) pace() {
	if pending := p.worker.Pending(); pending != p.hurried && p.own() {
		every := tick
		if pending {
			every = hurriedTick
		}
		if err := setTick(every); err != nil {
			proxywasm.LogError("umagate: the host has no timer: " + err.Error())
			return
		}
		p.hurried = pending
	}
	if p.leaving && p.calls == 0 && !p.hurried && p.own() {
		p.leaving = false
		proxywasm.PluginDone()
	}
}

func setTick(every time.Duration) error {
	return proxywasm.SetTickPeriodMilliSeconds(uint32(every / time.Millisecond)) //nolint:gosec // a constant
}

// OnPluginDone implements types.PluginContext. Requests of a newer configuration
// may wait for a call of this one, or for its tick.
func (p *plugin) OnPluginDone() bool {
	p.leaving = p.calls > 0 || p.hurried
	return !p.leaving
}
