package filter

import (
	"runtime/debug"
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/umagate/umagate/plugin/decision"
)

// tickMilliseconds is how often counts are given to Envoy and overdue calls are
// looked for.
const tickMilliseconds = 1000

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

	vm     *vm
	id     uint32
	worker *worker
	gate   *decision.Gate

	calls   int  // under way
	leaving bool // Envoy waits for the calls before it deletes the context
}

// OnPluginStart implements types.PluginContext. A configuration that is refused
// leaves the one before in force.
func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	document, err := proxywasm.GetPluginConfiguration()
	if err != nil {
		return refuse("the plugin has no configuration: " + err.Error())
	}
	p.worker = p.vm.worker(pluginName())
	policy, err := p.worker.compiler.Compile(document)
	if err != nil {
		return refuse(err.Error())
	}
	if err := proxywasm.SetTickPeriodMilliSeconds(tickMilliseconds); err != nil {
		return refuse("the host has no timer: " + err.Error())
	}
	debug.SetGCPercent(heapGrowth)
	debug.SetMemoryLimit(heapRoom + 2*int64(policy.CacheBytes()))
	p.gate = p.worker.Gate(policy)
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

// NewHttpContext implements types.PluginContext.
func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	return &stream{plugin: p, id: id}
}

// OnTick implements types.PluginContext.
func (p *plugin) OnTick() {
	if p.worker == nil {
		return
	}
	p.apply(p.worker.Sweep(now()))
	p.send(p.worker.Due(now()))
	p.own()
	p.worker.metrics.flush(p.worker.Worker)
}

// OnPluginDone implements types.PluginContext. Requests of a newer configuration
// may wait for a call of this one.
func (p *plugin) OnPluginDone() bool {
	p.leaving = p.calls > 0
	return !p.leaving
}
