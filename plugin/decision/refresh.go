package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/uma"
)

// maxRefreshes bounds the refreshes of a worker that wait to be sent. A token that finds
// no room has another chance at its next use.
const maxRefreshes = 1000

// refresh is a cached token that the AS is to be asked about again.
type refresh struct {
	entry *entry
	site  *site
}

// purpose is how the AS is asked again: as it was.
func (r refresh) purpose() Purpose {
	if r.site.evaluator != nil && (r.asked() != nil || r.entry.token.Asked != nil && !r.site.evaluator.direct()) {
		return PurposeEvaluate
	}
	return PurposeIntrospect
}

// asked is what is asked for again: not what was asked with claims of a request, each of
// which needs a ticket of its own.
func (r refresh) asked() []uma.Permission {
	var asked []uma.Permission
	for _, p := range r.entry.token.Asked {
		if !isPushed(p.ResourceID) {
			asked = append(asked, p)
		}
	}
	return asked
}

// refresh has the AS asked about a cached token again, by a call that no request waits
// for.
func (w *Worker) refresh(e *entry, s *site) {
	if !e.refreshing && len(w.refreshes) < maxRefreshes {
		e.refreshing = true
		w.refreshes = append(w.refreshes, refresh{e, s})
	}
}

// refreshAhead has the AS asked about a token that is in use, before what is known of it
// ends: then no request waits for the answer, and an outage finds what was known young.
func (w *Worker) refreshAhead(e *entry, s *site, now time.Time) {
	if e.refreshAt != 0 && !before(now, e.refreshAt) {
		w.refresh(e, s)
	}
}

// refreshAt is when the next use of a token has the AS asked again, if what is known of
// it ends at some time: early in the last fifth, and each token at a moment of its own,
// so that those that came together do not come together again. It is zero for a token
// that is not active, or that the AS has been asked about in two ways: once more in the
// first would lose what the second has said.
func (c *introspection) refreshAt(end instant) instant {
	if !c.site.ahead || !c.result.Active || c.about != nil {
		return 0
	}
	if e := c.evaluation; e != nil && (e.mixed || e.carries || len(c.result.Asked) > maxEvaluatedAhead || isPushed(e.asked[0].ResourceID)) {
		return 0
	}
	hash := hashOf(c.token)
	tenth := instant(c.site.maxTTL / 10)
	return end - 2*tenth + tenth/(1<<16)*instant(hash>>16^hash&0xFFFF)
}

// dueRefreshes returns the introspections that are to be sent now.
func (w *Worker) dueRefreshes(now time.Time) []*Call {
	var calls []*Call
	queued := w.refreshes
	w.refreshes = queued[:0]
	for _, r := range queued {
		e, m := r.entry, r.entry.state
		switch {
		case m.tokens[e.value] != e || w.states[r.site.key] != m || e.freshness(r.site, now) == tooOld:
			// It has been replaced, or forgotten, or nobody would believe it.
		case m.introspections[e.value] != nil:
			e.refreshing = false // a request has asked
		case w.bound && w.budget <= 0, !m.mayRefresh(w, r.site, r.purpose(), now):
			w.refreshes = append(w.refreshes, r)
		default:
			calls = append(calls, w.sendRefresh(r, now))
		}
	}
	clear(queued[len(w.refreshes):])
	return calls
}

// mayRefresh reports whether the AS may be asked now by a call that no request waits
// for. Half of the calls that may be under way are left for those that one waits for. In
// an outage it is one call, and the distance grows.
func (m *siteState) mayRefresh(w *Worker, s *site, purpose Purpose, now time.Time) bool {
	o := &m.outage
	switch {
	case m.pause(purpose, now) > 0, m.inFlight >= (s.limits.CallsInFlight+1)/2:
		return false
	case o.began != 0:
		return !before(now, o.next) && w.calls[o.probe] == nil
	}
	return m.refreshes.take(now, s.refreshRate)
}

func (w *Worker) sendRefresh(r refresh, now time.Time) *Call {
	w.spend()
	m := r.entry.state
	r.entry.refreshAt = 0 // once
	var c *introspection
	var form []byte
	to := &r.site.introspect
	if r.purpose() == PurposeEvaluate {
		c = m.newEvaluation(r.entry.value, r.entry.value+"\x00", r.asked())
		to, form = c.begin(r.site, now)
	} else {
		c, form = m.newIntrospection(r.site, r.entry.value, nil)
	}
	c.refreshes = true
	call := w.open(&c.call, r.purpose(), m, r.site, to, form, now)
	m.outage.probe = c.id
	return call
}

// refreshed ends a refresh. Without an answer, there will be another.
func (w *Worker) refreshed(c *introspection) {
	if e := c.state.tokens[c.token]; e != nil {
		e.refreshing = false
		if c.unanswered {
			w.refresh(e, c.site)
		}
	}
}
