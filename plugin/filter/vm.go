package filter

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/umagate/umagate/plugin/decision"
)

// vm is the VM context. The SDK calls it, and everything below it, from one
// thread.
type vm struct {
	types.DefaultVMContext

	// workers are by pluginName.
	workers map[string]*worker
}

// worker is what a plugin has in this VM, whatever its configuration.
type worker struct {
	*decision.Worker

	current  *plugin // whose configuration is in force
	compiler decision.Compiler
	metrics  metrics
	alarms   alarms
	report   []byte // used again for each request
}

// New returns the VM context for proxywasm.SetVMContext.
func New() types.VMContext { return &vm{workers: make(map[string]*worker)} }

// NewPluginContext implements types.VMContext.
func (v *vm) NewPluginContext(id uint32) types.PluginContext { return &plugin{vm: v, id: id} }

func (v *vm) worker(plugin string) *worker {
	w := v.workers[plugin]
	if w == nil {
		w = &worker{Worker: decision.NewWorker(), metrics: newMetrics()}
		w.OnFailure, w.OnLost, w.OnFull, w.OnStale = w.alarms.failure, w.alarms.lost, w.alarms.full, w.alarms.stale
		v.workers[plugin] = w
	}
	return w
}
