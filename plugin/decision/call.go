package decision

import "time"

// overdueAfter is how long past its time-out a call is waited for. The host
// answers every call, so this is for a host that does not.
const overdueAfter = 5 * time.Second

// call is what every call under way has, and the requests that wait for it. It is part
// of one of the five that it points to. An interface instead would link the texts and
// time zones of time.Time into the filter.
type call struct {
	_       incomparable
	id      uint64
	purpose Purpose
	state   *siteState
	site    *site
	waiting queue
	began   instant
	timeout time.Duration
	ended   Ended

	introspection *introspection
	ticket        *ticketRequest
	instance      *instanceCall
	key           *keyCall
	fetch         *fetch
}

// read reads how the call ended. No request can join it any more.
func (c *call) read(w *Worker, r Response, now time.Time) {
	switch {
	case c.introspection != nil:
		c.introspection.read(w, r, now)
	case c.ticket != nil:
		c.ticket.read(w, r)
	case c.instance != nil:
		c.instance.read(w, r, now)
	case c.key != nil:
		c.key.read(w, r, now)
	case c.fetch != nil:
		c.fetch.read(w, r)
	}
}

// resume takes a request that waited for the call to its next step.
func (c *call) resume(x *Exchange, now time.Time) *Step {
	switch {
	case c.introspection != nil:
		return c.introspection.resume(x, now)
	case c.ticket != nil:
		return c.ticket.resume(x, now)
	case c.instance != nil:
		return c.instance.resume(x, now)
	case c.key != nil:
		return c.key.resume(x, now)
	case c.fetch != nil:
		return c.fetch.resume(x)
	}
	return x.finish(ReasonInternal)
}

// Ended is how a call ended, and with which HTTP status, 0 for no answer.
type Ended struct {
	Outcome CallOutcome
	Status  int32
}

func (c *call) overdue(now time.Time) bool {
	return since(c.began, now) > c.timeout+overdueAfter
}

// open registers a call to an endpoint, and returns what is to be sent.
func (w *Worker) open(c *call, purpose Purpose, m *siteState, s *site, e *endpoint, body []byte, now time.Time) *Call {
	w.lastID++
	c.id, c.purpose, c.state, c.site, c.began, c.timeout = w.lastID, purpose, m, s, at(now), e.timeout
	w.calls[c.id] = c
	if purpose.ToAS() {
		m.inFlight++
	}
	return &Call{ID: c.id, Purpose: purpose, Cluster: e.cluster, Headers: e.headers, Body: body, Timeout: e.timeout}
}

// send makes an exchange wait for a new call.
func (x *Exchange) send(c *call, purpose Purpose, e *endpoint, body []byte, now time.Time) *Step {
	request := x.evaluator.worker.open(c, purpose, x.state, x.site, e, body, now)
	x.wait(c)
	x.step = Step{Kind: KindCall, Call: request}
	return &x.step
}

// join makes an exchange wait for a call that is under way.
func (x *Exchange) join(c *call) *Step {
	x.wait(c)
	x.step = Step{Kind: KindCall, Call: &Call{ID: c.id, Purpose: c.purpose, Shared: true}}
	return &x.step
}

// Refused reports that the host could not send a call, and ends the requests
// that wait for it, as far as [Worker.Bound] allows.
func (w *Worker) Refused(id uint64, now time.Time) []Outcome {
	return w.end(id, Response{notSent: true}, now)
}

// Reply reports how a call ended, and takes the requests that wait for it to
// their next steps, as far as [Worker.Bound] allows. A call that is not known, or
// was answered before, changes nothing.
func (w *Worker) Reply(id uint64, r Response, now time.Time) []Outcome {
	return w.end(id, r, now)
}

// Sweep ends the requests whose call is long overdue. The host calls it from
// time to time.
func (w *Worker) Sweep(now time.Time) []Outcome {
	var ended []Outcome
	w.rounds.tick(now)
	for id, c := range w.calls {
		if c.overdue(now) {
			ended = append(ended, w.Reply(id, Response{}, now)...)
		}
	}
	return ended
}

// end takes a call out, reads its answer and moves the waiting requests on.
func (w *Worker) end(id uint64, r Response, now time.Time) []Outcome {
	c := w.calls[id]
	if c == nil {
		return nil
	}
	delete(w.calls, id)
	if c.purpose.ToAS() {
		c.state.inFlight--
	}
	if !r.notSent {
		c.state.stats.observe(c.purpose, since(c.began, now))
		c.noteRetryAfter(r, now.Unix())
	}
	c.read(w, r, now)
	if in := c.introspection; in != nil && in.continues() {
		return w.follow(in, now)
	}
	if c.waiting.n > 0 {
		w.ready = append(w.ready, c)
	}
	return w.Next(now)
}

// count counts how a call ended.
func (w *Worker) count(c *call, o CallOutcome, status int) {
	c.state.stats.Calls[c.purpose][o]++
	c.ended = Ended{Outcome: o, Status: int32(status)} //nolint:gosec // an HTTP status
	if o != CallOK && w.OnFailure != nil {
		w.OnFailure(c.state.site, c.purpose, o, status)
	}
}

// classify reads the status of an answer.
func classify(r Response, success int) CallOutcome {
	switch {
	case r.Status == 429, r.Status == 503 && r.RetryAfter != "":
		return CallBusy
	case r.Status == 0, r.Status >= 502 && r.Status <= 504:
		// Envoy answers 503 or 504 itself for a connection that failed or a
		// time-out; a gateway in front of the AS says 502.
		return CallUnreachable
	case r.Status == success || r.Status == 200:
		if r.TooLarge {
			return CallBadAnswer
		}
		return CallOK
	case r.Status == 401 || r.Status == 403:
		return CallUnauthorized
	}
	return CallError
}
