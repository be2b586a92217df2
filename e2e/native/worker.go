package native

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/umagate/umagate/plugin/decision"
)

// worker is one decision.Worker and what makes it one thread's.
type worker struct {
	gateway   *Gateway
	mu        sync.Mutex // of everything below
	core      *decision.Worker
	evaluator *decision.Evaluator
}

func newWorker(g *Gateway) *worker { return &worker{gateway: g, core: decision.NewWorker()} }

// pending is a request that waits for its decision.
type pending struct {
	exchange *decision.Exchange
	done     chan decided // room for one
	taken    *decision.Taken
	passed   bool // it was let through
	end      context.CancelCauseFunc
}

// ended is why a stream that was let through has been ended.
type ended struct {
	answer decision.Deny // to who has none yet
	reason decision.Reason
	report []byte
}

// Error implements error.
func (e *ended) Error() string { return "native gateway: ended: " + e.reason.String() }

type decided struct {
	step      decision.Step
	report    []byte
	answering *decision.Answering
}

func (w *worker) start(r *decision.Request, client string, end context.CancelCauseFunc) *pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.evaluator.Client = func() string { return client }
	x, step := w.evaluator.Start(r, time.Now())
	p := &pending{exchange: x, done: make(chan decided, 1), taken: x.Taken(), end: end}
	x.Owner = p
	w.apply([]decision.Outcome{{Exchange: x, Step: step}}, nil)
	return p
}

// apply does what the core wants done: the next steps of requests, and calls that no
// request waits for. The caller holds the lock.
func (w *worker) apply(outcomes []decision.Outcome, calls []*decision.Call) {
	for len(outcomes) > 0 {
		next := outcomes[0]
		outcomes = outcomes[1:]
		p, ok := next.Exchange.Owner.(*pending)
		switch {
		case !ok:
		case p.passed && next.Step.Kind == decision.KindDeny:
			p.end(&ended{next.Step.Deny, next.Exchange.Decision().Reason, next.Exchange.AppendReport(nil)})
		case p.passed && next.Step.Kind == decision.KindAllow:
		case next.Step.Kind != decision.KindCall:
			p.passed = next.Step.Kind == decision.KindAllow
			d := decided{step: next.Step, report: next.Exchange.AppendReport(nil)}
			if next.Step.Kind == decision.KindAllow {
				d.answering = next.Exchange.Answering()
			}
			p.done <- d
		case !next.Step.Call.Shared:
			calls = append(calls, next.Step.Call)
		}
	}
	for _, c := range calls {
		if !w.gateway.send(w, c) {
			w.apply(w.core.Refused(c.ID, time.Now()), nil)
		}
	}
}

// fetch sends a request, as it would go on, in a call whose answer is the core's to read.
func (w *worker) fetch(p *pending, step *decision.Step, headers []decision.Header, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	call, allow := step.Call, &step.Allow
	headers = slices.DeleteFunc(headers, func(h decision.Header) bool { return slices.Contains(allow.Remove, h.Name) })
	for i := range headers {
		switch h := &headers[i]; {
		case h.Name == ":authority" && allow.Authority != "":
			h.Value = allow.Authority
		case h.Name == ":path" && allow.Path != "":
			h.Value = allow.Path
		}
	}
	call.Headers, call.Body = call.FetchHeaders(append(headers, allow.Set...)), body
	w.apply([]decision.Outcome{{Exchange: p.exchange, Step: decision.Step{Kind: decision.KindCall, Call: call}}}, nil)
}

// read shows the core the body that it wants.
func (w *worker) read(p *pending, client string, body []byte, tooLarge bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.evaluator.Client = func() string { return client }
	w.apply([]decision.Outcome{{Exchange: p.exchange, Step: w.core.Read(p.exchange, body, tooLarge, time.Now())}}, nil)
}

func (w *worker) abandon(p *pending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.core.Abandon(p.exchange)
}

func (w *worker) reply(id uint64, r decision.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apply(w.core.Reply(id, r, time.Now()), nil)
}

func (w *worker) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apply(w.core.Sweep(time.Now()), nil)
	w.look()
}

// look ends the streams that must end, and sends the calls that no request waits for.
func (w *worker) look() {
	for more := true; more; more = w.core.Pending() {
		w.apply(w.core.Look(time.Now()), w.core.Due(time.Now()))
	}
}

// ended tells the core what the API answered to a request.
func (w *worker) ended(p *pending, status int, locations []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.exchange.Watched() {
		return
	}
	location := ""
	if len(locations) == 1 {
		location = locations[0]
	}
	w.apply(nil, w.core.Ended(p.exchange, status, location, time.Now()))
}

func (w *worker) update(p *decision.Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.evaluator = w.core.Evaluator(p)
	w.look()
}
