package xds

import (
	"strings"
	"time"
)

// TrapsFor is how long a trap of the filter is told after it was reported: one that mends
// itself in a second is a fault all the same, and somebody has to see it.
const TrapsFor = 5 * time.Minute

// Traps is what an Envoy reports of VMs of its filter that broke off. Envoy counts no trap:
// it counts what the next requests meet, while it is connected.
type Traps struct {
	// Since is when the first of them was reported, Last when the last one was.
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
	// Restarted is how many VMs were started anew, Failed how often that failed.
	Restarted uint64 `json:"restarted"`
	Failed    uint64 `json:"failed"`
	// Refused is how many requests met none, and were answered 503.
	Refused uint64 `json:"refused"`
	// Serves reports whether a VM was started anew, of what was reported last.
	Serves bool `json:"serves"`
}

// reloadPrefix begins Envoy's own counters of the filter's VMs: of a plugin of that name,
// with failure_policy FAIL_RELOAD.
const reloadPrefix = "wasm.umagate.vm_reload_"

// reloads is the operation of such a count. No call has it.
const reloads = "vm_reloads"

// What such a count is of: VMs that were started anew, starts that failed, and requests
// that came too soon after the last start.
const (
	reloadSuccess = "success"
	reloadFailure = "failure"
	reloadBackoff = "backoff"
)

// reloadOf takes the name of such a counter apart.
func reloadOf(name string) (key countKey, ok bool) {
	outcome, ok := strings.CutPrefix(name, reloadPrefix)
	switch outcome {
	case reloadSuccess, reloadFailure, reloadBackoff:
		return countKey{operation: reloads, outcome: outcome}, ok
	}
	return countKey{}, false
}

// judgeTraps notes what was reported of VMs since the last time. A trap that comes when
// the last one is forgotten begins anew.
func (r *reports) judgeTraps(now time.Time) {
	grown := func(outcome string) uint64 { return r.grown[countKey{operation: reloads, outcome: outcome}] }
	restarted, failed, refused := grown(reloadSuccess), grown(reloadFailure), grown(reloadBackoff)
	if restarted == 0 && failed == 0 && refused == 0 {
		return
	}
	if r.trapped(now) == nil {
		r.traps = Traps{Since: now}
	}
	r.traps.Last, r.traps.Serves = now, restarted > 0
	r.traps.Restarted += restarted
	r.traps.Failed += failed
	r.traps.Refused += refused
}

// trapped returns what there is to tell of traps, nil for nothing.
func (r *reports) trapped(now time.Time) *Traps {
	if r.traps.Since.IsZero() || now.Sub(r.traps.Last) > TrapsFor {
		return nil
	}
	t := r.traps
	return &t
}
