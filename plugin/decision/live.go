package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/uma"
)

const (
	// lookEvery is how often streams are looked at, but for pushes; the host's tick is a second.
	lookEvery = time.Second / 2
	// maxLooks bounds the streams that are looked at between two ticks, and comparing is
	// what one costs that has to be compared with what is revoked.
	maxLooks, comparing = 512, 16
	// askStreamAfter is how soon the AS is asked about a stream's token again where the
	// cache does not keep it, or there was no answer, and answerWithin how long a stream goes on without an answer.
	askStreamAfter = 5 * time.Second
	answerWithin   = 30 * time.Second
)

// live is a request that was let through and goes on only as long as it would be let
// through again: where the site says so, a stream ends with its token.
type live struct {
	node[*Exchange]
	round    uint64           // of the last look, see rounds
	next     instant          // when what is known of the token is over
	revoked  *revoked         // what it was compared with
	status   revocationStatus // that came of it
	text     string           // the token that the request showed
	token    *uma.Token       // by which it goes on
	complete bool             // the AS has said all that it has to say of that
	asked    instant          // when the AS was asked about it
	told     instant          // when the answer was asked for by which it goes on
	failure  Reason           // why there is no newer one
}

// rounds are the looks at all streams of a worker: one after each tick and each push.
type rounds struct {
	streams list[*Exchange] // the one looked at last first
	n       uint64
	began   instant
}

// begin begins a round.
func (r *rounds) begin(now time.Time) { r.n, r.began = r.n+1, at(now) }

// tick begins a round unless one has begun a moment ago.
func (r *rounds) tick(now time.Time) {
	if age := since(r.began, now); age < 0 || age >= lookEvery {
		r.begin(now)
	}
}

// pending reports whether a stream has not been looked at in this round.
func (r *rounds) pending() bool {
	return r.streams.entries > 0 && r.streams.last().live.round != r.n
}

// watch has a request that is let through by a token looked at from now on, and reports
// whether there is room for it.
func (x *Exchange) watch(token string, now time.Time) bool {
	w, m := x.evaluator.worker, x.state
	const perStream = 2048 // the host's part of it, too
	size := perStream + len(token) + len(x.path.Target) + len(x.request.authority)
	if l := &x.site.limits; m.streams.requests >= l.Streams || m.streams.bytes+size > l.StreamBytes {
		return false
	}
	m.streams.requests++
	m.streams.bytes += size
	x.live = &live{round: w.rounds.n, told: at(now), text: token, token: x.token}
	w.rounds.streams.push(x, &x.live.node, size)
	x.note("stream", "ends when this would not be permitted any more (token.streams)")
	return true
}

// Live tells that the request may be ended later by an [Outcome] that denies it
// ([Worker.Look]), and that the host must tell the end of its stream to [Worker.Abandon].
func (x *Exchange) Live() bool { return x.live != nil }

// unwatch forgets a stream.
func (x *Exchange) unwatch() {
	if l := x.live; l.list != nil {
		x.state.streams.requests--
		x.state.streams.bytes -= l.size
		l.unlink()
		l.list = nil
	}
}

// Look looks at streams that were let through, as far as [Worker.Bound] allows, and returns
// those that must end, with a step that denies them, and calls about their tokens. The host
// calls it at each tick; [Worker.Sweep] and a push begin a round, and [Worker.Pending] tells
// that one is not over.
func (w *Worker) Look(now time.Time) []Outcome {
	var outcomes []Outcome
	for left := maxLooks; left > 0 && w.rounds.pending() && (!w.bound || w.budget > 0); left-- {
		x := w.rounds.streams.last()
		l := x.live
		l.round = w.rounds.n
		l.touch()
		switch {
		case w.states[x.site.key] == x.state && l.revoked == x.state.revoked && before(now, l.next):
			continue
		case l.revoked != x.state.revoked:
			left -= comparing
		}
		if step := x.look(now); step != nil && step.Kind != KindAllow {
			w.spend()
			outcomes = append(outcomes, Outcome{x, *step})
		}
	}
	return outcomes
}

// look judges a stream by what is known of its token now, and has the AS asked where that
// is over. It returns nil where nothing follows.
func (x *Exchange) look(now time.Time) *Step {
	w, m, l := x.evaluator.worker, x.state, x.live
	if w.states[x.site.key] != m { // nobody asks that AS about tokens any more
		return x.end(ReasonWrongIssuer)
	}
	t, evaluated := l.token, false
	e, f := w.lookUp(m, x.site, x.request.token, now)
	if f == fresh {
		t, evaluated = e.token, e.evaluated
		l.status, l.complete, l.told = e.status, e.complete, max(l.told, e.fetched)
	} else if l.revoked != m.revoked {
		l.status = m.revoked.names(x.request.token, t, now.Unix())
	}
	l.revoked = m.revoked
	reason := x.checkRevoked(t, l.status.unlessAsked(l.complete), now)
	switch further := !l.complete && (l.status.needsMore() || x.unsaid(t)); {
	case further, reason != ReasonPermitted && x.evaluates(reason, evaluated):
	case reason != ReasonPermitted:
		return x.end(reason)
	case f == fresh:
		l.token = t
		l.next = x.over(t, min(e.expires, e.fetched+instant(x.site.maxTTL)))
		return nil
	case before(now, l.told+instant(askStreamAfter)):
		l.next = x.over(t, l.told+instant(askStreamAfter))
		return nil
	}
	return x.ask(now)
}

// unlessAsked is what a token is taken for until the AS has been asked for more about it.
func (s revocationStatus) unlessAsked(complete bool) revocationStatus {
	if s.needsMore() && !complete {
		return notRevoked
	}
	return s
}

// ask has the AS asked about the token of a stream, as for a new request, but by a call that
// takes no more than what refreshes may. Without an answer the stream goes on for a while.
func (x *Exchange) ask(now time.Time) *Step {
	w, m, l, s := x.evaluator.worker, x.state, x.live, x.site
	purpose := refresh{entry: &entry{token: l.token}, site: s}.purpose()
	patience := max(s.maxTTL, askStreamAfter) + max(s.stale, answerWithin)
	switch {
	case !before(now, l.told+instant(patience)):
		if l.failure == ReasonInternal {
			l.failure = ReasonASUnreachable
		}
		return x.end(l.failure)
	case l.failure != ReasonInternal && before(now, l.asked+instant(askStreamAfter)):
		return nil
	case x.call != nil, m.introspections[x.request.token] != nil, !m.mayRefresh(w, s, purpose, now):
		return nil
	}
	l.asked, x.cache = at(now), CacheNone
	step := x.verify(now)
	if x.call != nil && m.outage.began != 0 {
		m.outage.probe = x.call.id
	}
	return step
}

// over is when a stream has to be looked at again: what is known of its token is over, or
// what it has.
func (x *Exchange) over(t *uma.Token, end instant) instant {
	sooner := func(second int64) {
		if second > 0 && second < int64(end)/int64(time.Second) {
			end = instant(time.Duration(second) * time.Second)
		}
	}
	leeway := x.site.leeway
	if t.Expires != 0 {
		sooner(t.Expires + leeway)
	}
	for i := range t.Permissions {
		if p := &t.Permissions[i]; p.ResourceID == x.resourceID && p.Expires != 0 {
			sooner(p.Expires + leeway)
		}
	}
	if x.cond.maxAuthAge != 0 {
		sooner(t.AuthTime + x.cond.maxAuthAge + leeway + 1)
	}
	return end
}

// again ends a look for which the AS was asked: the stream goes on, or ends.
func (x *Exchange) again(reason Reason) *Step {
	l := x.live
	switch status := reason.Status(); {
	case reason.Allows() && x.cache == CacheStale: // as there is no answer
		l.failure = ReasonASUnreachable
	case reason.Allows():
		l.token, l.told, l.failure = x.token, max(l.told, l.asked), ReasonInternal
	case (status == 429 || status == 503) && reason != ReasonInternal && !l.status.needsMore():
		l.failure = reason
	default:
		return x.end(reason)
	}
	x.call = nil
	x.step = Step{Kind: KindAllow}
	return &x.step
}

// end ends a stream. Who has no answer yet gets one, without a ticket: it comes with the
// next request.
func (x *Exchange) end(reason Reason) *Step {
	if x.call != nil && (x.call.waiting.first == x || x.before != nil) {
		x.leave()
	}
	x.call = nil
	x.unwatch()
	x.decided.Effect, x.decided.Reason, x.decided.Failed = EffectEnd, reason, x.failed
	x.state.stats.StreamsEnded[reason]++
	x.step = Step{Kind: KindDeny, Deny: x.deny(reason, reason, "")}
	return &x.step
}

// Streams is how many streams end with their tokens now, and the bytes that they take.
func (w *Worker) Streams() (streams, bytes int) {
	return w.rounds.streams.entries, w.rounds.streams.bytes
}
