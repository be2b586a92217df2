package filter

import (
	"strconv"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/decision"
)

// alarmEvery bounds how often one kind of failure is logged by one worker.
const alarmEvery = 10 * time.Second

// alarms logs failures of the authorization server without letting them flood
// the log.
type alarms struct {
	last map[alarm]int64 // nanoseconds since 1970; a time.Time would link its texts
}

type alarm struct {
	site    string
	purpose decision.Purpose
	outcome decision.CallOutcome
}

// lost logs an instance that the control plane will not hear of.
func (*alarms) lost(site string, p decision.Purpose, instance string) {
	proxywasm.LogError("umagate: site " + site + ": " + p.String() + " of " + instance +
		" was refused, or not heard for too long; register or remove it by the control plane's API")
}

// full logs that requests find no room to wait.
func (a *alarms) full(site string) {
	if a.sounds(alarm{site: site, outcome: decision.CallOutcomes}) {
		proxywasm.LogWarn("umagate: site " + site + ": too many requests wait for a decision, or their headers are too long (limits.waiting_…); those that come are denied")
	}
}

// stale logs that requests go on with what was known of their tokens, and that this
// is over.
func (a *alarms) stale(site string, served uint64) {
	switch {
	case !a.sounds(alarm{site: site, purpose: decision.Purposes, outcome: decision.CallOutcome(min(served, 1))}):
	case served > 0:
		proxywasm.LogInfo("umagate: site " + site + ": the authorization server answers introspections again; " +
			strconv.FormatUint(served, 10) + " requests went on with what was known of their tokens")
	default:
		proxywasm.LogWarn("umagate: site " + site + ": the authorization server cannot be asked about tokens; those that were active go on for as long as token.stale says")
	}
}

// sounds reports whether an alarm may be logged now, and if so counts it as logged.
func (a *alarms) sounds(key alarm) bool {
	now := now().UnixNano()
	if last, ok := a.last[key]; ok && now-last < int64(alarmEvery) {
		return false
	}
	if a.last == nil {
		a.last = make(map[alarm]int64)
	}
	a.last[key] = now
	return true
}

func (a *alarms) failure(site string, p decision.Purpose, o decision.CallOutcome, status int) {
	if !a.sounds(alarm{site, p, o}) {
		return
	}
	proxywasm.LogWarn("umagate: site " + site + ": the " + p.String() + " endpoint of the " + p.Callee() + " failed: " +
		o.String() + ", status " + strconv.Itoa(status) + " (0: no answer)")
}
