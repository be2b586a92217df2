package decision

import "time"

const (
	// maxOutbox bounds the notifications of a worker that wait to be sent.
	maxOutbox = 1000
	// maxAttempts is how often a notification is sent at most, firstRetry the first
	// wait in between, and maxRetry the longest: an hour in all.
	maxAttempts = 70
	firstRetry  = time.Second
	maxRetry    = time.Minute
)

// notification tells the control plane of an instance that the API has created or
// removed, until it has heard.
type notification struct {
	purpose  Purpose
	key      string
	body     []byte
	site     *site
	state    *siteState
	attempts int
	due      instant
	before   *notification // a removal that must be heard first
}

// underWay reports whether another notification about the instance has no answer yet.
func (n *notification) underWay() bool {
	c := n.state.lookups[n.key]
	return c != nil && c.notification != nil
}

// notify sends a new notification. One about the same instance that is still to be
// sent says nothing any more; one that is under way is waited for.
func (w *Worker) notify(n *notification, now time.Time) *Call {
	known, f := &n.state.instances, n.site.resolver
	if i := w.queued(n); i >= 0 {
		if old := w.outbox[i]; n.purpose == PurposeRegister {
			if n.before = old.before; old.purpose == PurposeRemove {
				n.before = old
			}
		}
		w.outbox = append(w.outbox[:i], w.outbox[i+1:]...)
	}
	if n.purpose == PurposeRemove {
		// It is gone, whether the control plane knows already or not.
		known.keep(n.key, "", now, now.Add(overdueAfter+f.negativeTTL), f)
	} else {
		known.forget(n.key)
	}
	if n.underWay() {
		w.queue(n, now)
		return nil
	}
	return w.sendNotification(n, now)
}

// queued is the index in the outbox of the notification about the same instance, or -1.
func (w *Worker) queued(n *notification) int {
	for i, other := range w.outbox {
		if other.key == n.key && other.state == n.state {
			return i
		}
	}
	return -1
}

func (w *Worker) sendNotification(n *notification, now time.Time) *Call {
	if first := n.before; first != nil {
		n.before = nil
		w.queue(n, now)
		n = first
	}
	e := &n.site.resolver.register
	if n.purpose == PurposeRemove {
		e = &n.site.resolver.remove
	}
	n.attempts++
	c := newInstanceCall(n.key, n)
	n.state.join(c)
	return w.open(&c.call, n.purpose, n.state, n.site, e, n.body, now)
}

// queue keeps a notification for later. There is an end to what a worker can keep.
func (w *Worker) queue(n *notification, due time.Time) {
	if n.attempts >= maxAttempts || len(w.outbox) >= maxOutbox {
		w.lose(n)
		return
	}
	n.due = at(due)
	w.outbox = append(w.outbox, n)
}

func (w *Worker) lose(n *notification) {
	n.state.stats.ReportsLost++
	if w.OnLost != nil {
		w.OnLost(n.state.site, n.purpose, n.key)
	}
}

// Due returns the calls that no request waits for and that are to be sent now:
// notifications, introspections of tokens that are known ([Worker.refresh]), and what
// follows in an evaluation. The host calls it every second, and when [Worker.Pending]
// says so.
func (w *Worker) Due(now time.Time) []*Call {
	calls := w.dueFollowUps()
	calls = append(calls, w.dueRefreshes(now)...)
	queued := w.outbox
	w.outbox = nil
	for _, n := range queued {
		if before(now, n.due) || n.underWay() || !w.spend() {
			w.outbox = append(w.outbox, n)
			continue
		}
		calls = append(calls, w.sendNotification(n, now))
	}
	return calls
}

// readNotified reads the answer to a notification. Requests may have come to wait for it.
func (c *instanceCall) readNotified(w *Worker, r Response, now time.Time) {
	n, known, f := c.notification, &c.state.instances, c.site.resolver
	removes := n.purpose == PurposeRemove
	outcome := classify(r, 201)
	if outcome == CallOK && !removes {
		if c.id = resourceID(r.Body); c.id == "" {
			outcome = CallBadAnswer
		}
	}
	c.reason = ReasonNotRegistered
	heard := true
	switch {
	case outcome == CallOK && c.id != "":
		known.keep(c.key, c.id, now, now.Add(f.ttl), f)
		c.reason = ReasonPermitted
	case r.Status == 202, r.Status == 204, r.Status == 200:
		outcome = CallOK // the control plane has it in its books, and does what it takes
		if removes {
			known.keep(c.key, "", now, now.Add(f.negativeTTL), f)
			c.reason = ReasonResourceUnknown
		}
	case r.Status >= 400 && r.Status < 500 && r.Status != 401 && r.Status != 403 && r.Status != 408 && r.Status != 429:
		// It was heard, and refused for good, as for an instance that has another owner.
		w.lose(n)
	default:
		heard = false
		if removes {
			known.keep(c.key, "", now, now.Add(maxRetry+overdueAfter), f)
		}
		c.failed(outcome, r.Status, now)
	}
	w.count(&c.call, outcome, r.Status)
	if !heard {
		w.retry(n, now)
	}
}

// retry sends a notification again later. What was removed must not live on as what has
// been created since: that waits in the outbox, and comes after it.
func (w *Worker) retry(n *notification, now time.Time) {
	due := now.Add(min(maxRetry, firstRetry<<min(n.attempts-1, 10)))
	if i := w.queued(n); i < 0 {
		w.queue(n, due)
	} else if newer := w.outbox[i]; n.purpose == PurposeRemove && newer.purpose == PurposeRegister {
		newer.before, newer.due = n, at(due)
	}
}
