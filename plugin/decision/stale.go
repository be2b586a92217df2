package decision

import "time"

const (
	// firstProbe is how long after a failure the AS is asked again, and maxProbe the
	// longest of the distances that grow from it.
	firstProbe = time.Second
	maxProbe   = 16 * time.Second
)

// outage is a time in which an AS does not say anything about the tokens of a site.
type outage struct {
	began  instant // zero while there is none
	next   instant // when the AS is asked again
	pause  time.Duration
	probe  uint64 // the call that asks
	served uint64 // requests that went on with what was known
}

// lasts reports whether a request need not find out by itself that the AS does not
// answer: it was asked a moment ago, or is being asked.
func (o *outage) lasts(w *Worker, now time.Time) bool {
	return o.began != 0 && (since(o.next, now) < overdueAfter || w.calls[o.probe] != nil)
}

// noteOutage notes that the AS has not answered. Only of a token that it has called
// active before does that mean something, and of what it has granted it before: whoever
// sends another, or asks for something else, may have chosen what the AS stumbles over.
func (w *Worker) noteOutage(c *introspection, now time.Time) {
	e, o := c.state.tokens[c.token], &c.state.outage
	if e == nil || !e.token.Active || c.evaluation != nil && !c.refreshes && !c.evaluation.grantedBefore(e.token) {
		return
	}
	switch {
	case o.began == 0:
		*o = outage{began: at(now), pause: firstProbe}
	case before(now, o.next):
		return
	default:
		o.pause = min(2*o.pause, maxProbe)
	}
	o.next = at(now.Add(o.pause))
}

func (w *Worker) endOutage(m *siteState) {
	if m.outage.served > 0 && w.OnStale != nil {
		w.OnStale(m.site, m.outage.served)
	}
	m.outage = outage{}
}

// unverified ends a request whose token the AS cannot be asked about: by what is known
// of it, if the site allows and that is enough, or else for a reason.
func (x *Exchange) unverified(reason Reason, now time.Time) *Step {
	if x.site.stale > 0 {
		if e, _ := x.evaluator.worker.lookUp(x.state, x.site, x.request.token, now); e != nil {
			if step := x.useStale(e, now); step != nil {
				return step
			}
		}
	}
	return x.finish(reason)
}

// useStale decides by what is known of a token, and returns nil where only the AS could:
// a stale token permits what it did, and nothing follows from what it lacks.
func (x *Exchange) useStale(e *entry, now time.Time) *Step {
	w, m := x.evaluator.worker, x.state
	if e.status.needsMore() && !e.complete {
		return nil
	}
	reason := x.checkRevoked(e.token, e.status, now)
	switch reason {
	case ReasonPermitted:
		if m.outage.served == 0 && w.OnStale != nil {
			w.OnStale(m.site, 0)
		}
		m.outage.served++
		w.refresh(e, x.site)
	case ReasonRevoked:
	default:
		x.token, x.held = nil, nil
		return nil
	}
	x.note("cache", "had the token, and the AS cannot be asked: what is known of it counts")
	x.cache = CacheStale
	m.stats.CacheStale++
	return x.decide(reason, now)
}
