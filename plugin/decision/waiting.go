package decision

import (
	"strings"
	"time"
)

// waitingRoom is what the requests that wait at one site take: how many they are,
// and the bytes of their headers, which the host keeps as well.
type waitingRoom struct{ requests, bytes int }

// queue is the requests that wait for one call, in the order they came.
type queue struct {
	first, last *Exchange
	n           int
}

func (q *queue) push(x *Exchange) {
	if x.before = q.last; q.last == nil {
		q.first = x
	} else {
		q.last.behind = x
	}
	q.last = x
	q.n++
}

func (q *queue) remove(x *Exchange) {
	if x.before == nil {
		q.first = x.behind
	} else {
		x.before.behind = x.behind
	}
	if x.behind == nil {
		q.last = x.before
	} else {
		x.behind.before = x.before
	}
	x.before, x.behind = nil, nil
	q.n--
}

// mayWait reports whether there is room for one more, at a call for which n wait.
func (x *Exchange) mayWait(n int) bool {
	if x.weight == 0 {
		x.weight = headerBytes(x.headers)
	}
	room, limits := &x.state.waiting, &x.site.limits
	if room.requests < limits.WaitingRequests && room.bytes+x.weight <= limits.WaitingBytes &&
		n < limits.WaitingRequestsPerCall {
		return true
	}
	if w := x.evaluator.worker; w.OnFull != nil {
		w.OnFull(x.site.name)
	}
	return false
}

// headerBytes is what the headers of a request take, and not 0.
func headerBytes(headers []Header) int {
	n := 1
	for i := range headers {
		n += len(headers[i].Name) + len(headers[i].Value)
	}
	return n
}

// wait puts an exchange that may wait into a call's queue. Its token must be its own
// by then.
func (x *Exchange) wait(c *call) {
	x.keep()
	x.call = c
	x.state.waiting.requests++
	x.state.waiting.bytes += x.weight
	c.waiting.push(x)
}

// leave takes an exchange out of the queue that it waits in.
func (x *Exchange) leave() {
	x.call.waiting.remove(x)
	x.call = nil
	x.state.waiting.requests--
	x.state.waiting.bytes -= x.weight
}

// keep copies what the exchange still needs of the host's text, the token apart.
// That text is part of all the headers of the request: what waits, or lives as long
// as a stream, must not keep them all.
func (x *Exchange) keep() {
	if x.kept {
		return
	}
	x.kept = true
	r := &x.request
	r.path, r.origin = "", "" // x.path and x.origin have them
	x.path = x.path.Clone()
	names := [...]string{r.authority, r.method, x.authority}
	Own(names[:])
	r.authority, r.method, x.authority = names[0], names[1], names[2]
	Own(r.identity)
	Own(r.overrides)
}

// Own copies texts of the host, so that they keep nothing else alive.
//
//go:noinline
func Own(texts []string) {
	for i, s := range texts {
		texts[i] = strings.Clone(s)
	}
}

// Keep makes an allowed exchange that is [Exchange.Watched] or [Exchange.Live] fit to be kept until
// its stream ends. Its step must have been done.
func (x *Exchange) Keep() {
	x.step = Step{}
	x.request.identity, x.request.overrides = nil, nil
	if x.live == nil {
		x.request.token = ""
	} else {
		x.live.text = strings.Clone(x.live.text)
		x.request.token = x.live.text
	}
	x.keep()
}

// Waiting is how many requests wait now, and the bytes of their headers.
func (w *Worker) Waiting() (requests, bytes int) {
	for _, m := range w.states {
		requests += m.waiting.requests
		bytes += m.waiting.bytes
	}
	return requests, bytes
}

// Bound makes Reply, Refused, Sweep, Next, Look and Due return n outcomes and calls at
// most, all together, until it is called again. The rest stays for [Worker.Next].
// Envoy needs it: doing one thing may do the next inside it, and its stack holds
// only so many. Without Bound there is no bound.
func (w *Worker) Bound(n int) { w.bound, w.budget = true, n }

// spend takes one from the budget, and reports whether there was one.
func (w *Worker) spend() bool {
	switch {
	case !w.bound:
	case w.budget <= 0:
		return false
	default:
		w.budget--
	}
	return true
}

// Pending reports whether the budget is spent, or that something waits for one: the
// host must call Bound and Next soon.
func (w *Worker) Pending() bool {
	return len(w.ready) > 0 || w.rounds.pending() || len(w.followUps) > 0 || w.bound && w.budget <= 0
}

// Next takes requests whose call has been answered to their next steps. Each is
// judged when its turn comes, so what was revoked or has expired meanwhile counts.
func (w *Worker) Next(now time.Time) []Outcome {
	var outcomes []Outcome
	for len(w.ready) > 0 {
		c := w.ready[0]
		x := c.waiting.first
		if x == nil {
			w.ready[0] = nil
			w.ready = w.ready[1:]
			continue
		}
		if !w.spend() {
			break
		}
		x.leave()
		outcomes = append(outcomes, Outcome{x, *x.fetch(c.resume(x, now), now)})
	}
	return outcomes
}

// incomparable keeps the compiler from making an equality function of a type that
// nobody compares.
type incomparable [0]func()
