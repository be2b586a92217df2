package decision

import (
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/uma"
)

// introspection asks the AS about a token.
type introspection struct {
	call
	token string
	// about is what is known of the token already. It is asked about once more,
	// without a token_type_hint, which has some servers leave out whose it is.
	about *entry
	// further is that introspection, for all who waited for this one.
	further *introspection

	// evaluation is what it asks for instead of what the token has; nil for nothing.
	evaluation *evaluation

	result     *uma.Token
	failure    Reason // without a result
	unanswered bool   // so that what the AS would say is not known
	refreshes  bool   // no request has asked for it, see Worker.refresh

	comparedUnder *Policy // when the result was compared with what is revoked
	status        revocationStatus
}

// complete reports whether the answer is all that the AS has to say.
func (c *introspection) complete() bool {
	if c.evaluation != nil {
		return c.evaluation.whole
	}
	return c.about != nil || c.site.hint == ""
}

// key is what the call is known by while it is under way.
func (c *introspection) key() string {
	if c.evaluation != nil {
		return c.evaluation.key
	}
	return c.token
}

// introspect asks the AS about the token, or, where it has been asked with a
// token_type_hint, for the rest of what it can say.
func (x *Exchange) introspect(about *entry, now time.Time) *Step {
	m := x.state
	m.stats.CacheMisses++
	if step := x.share(x.request.token, now); step != nil {
		return step
	}
	if reason := x.mayCall(PurposeIntrospect, now); reason != ReasonPermitted {
		return x.unverified(reason, now)
	}
	x.cache = CacheMiss
	// The host's text is part of all the headers of the request; a cached token
	// must not keep them.
	x.request.token = strings.Clone(x.request.token)
	c, form := m.newIntrospection(x.site, x.request.token, about)
	return x.send(&c.call, PurposeIntrospect, &x.site.introspect, form, now)
}

// share waits for a call that is under way, and returns nil where none is.
func (x *Exchange) share(key string, now time.Time) *Step {
	c := x.state.introspections[key]
	switch {
	case c == nil || c.overdue(now):
		return nil
	case !x.mayWait(c.waiting.n):
		return x.unverified(ReasonTooManyWaiting, now)
	}
	x.cache = CacheShared
	x.state.stats.CallsShared++
	x.request.token = c.token // the same text
	return x.join(&c.call)
}

// mayCall reports whether the AS may be called for a purpose now, or why it may not.
func (x *Exchange) mayCall(p Purpose, now time.Time) Reason {
	switch {
	case x.retryLater(p, now):
		return ReasonASBusy
	case x.state.inFlight >= x.site.limits.CallsInFlight:
		return ReasonTooManyCalls
	case !x.mayWait(0):
		return ReasonTooManyWaiting
	}
	return ReasonPermitted
}

// newIntrospection makes the one introspection of a token that is under way, and the
// form that is sent.
func (m *siteState) newIntrospection(s *site, token string, about *entry) (*introspection, []byte) {
	c := &introspection{token: token, about: about}
	c.introspection = c
	m.introspections[token] = c
	return c, s.introspectionForm(token, about == nil)
}

func (c *introspection) read(w *Worker, r Response, now time.Time) {
	outcome := CallRefused
	switch {
	case r.notSent:
	case c.evaluation != nil:
		outcome = c.readEvaluation(r, now)
	default:
		if outcome = classify(r, 200); outcome == CallOK {
			if c.result = c.parse(r.Body); c.result == nil {
				outcome = CallBadAnswer
			}
		}
	}
	if outcome != CallOK && c.evaluation != nil {
		c.evaluation.step = stepEnd
	}
	if c.continues() {
		w.count(&c.call, outcome, r.Status)
		return
	}
	if c.state.introspections[c.key()] == c {
		delete(c.state.introspections, c.key())
	}
	began := c.began
	if c.evaluation != nil {
		began = c.evaluation.began
	}
	if old := c.state.tokens[c.token]; old != nil && old.evaluated && !old.token.Active && c.result != nil && old.fetched >= began {
		c.result = old.token // the AS was asked this before it refused the token itself
	}
	c.failure = outcome.failure()
	w.count(&c.call, outcome, r.Status)
	denied := c.evaluation != nil && c.evaluation.denied != ReasonInternal
	if c.unanswered = outcome.unanswered(r.Status) && !denied; c.unanswered {
		w.noteOutage(c, now)
	} else {
		w.endOutage(c.state)
	}
	if c.refreshes {
		w.refreshed(c)
	}
	if c.result != nil {
		w.remember(c, now)
	}
	if denied {
		e := c.evaluation
		switch {
		case c.result != nil: // less than was asked for
			e.claims = c.result
		case e.about != nil:
			e.claims, e.whole = e.about.token, e.about.complete
			c.takeBack()
		default:
			e.claims, e.whole = c.verified(), c.site.payloadIsWhole()
			c.takeBack()
		}
		w.rememberNo(c, e.denied, e.claims, e.whole, now)
	}
}

// parse returns what an answer says of the token, nil when it cannot be used.
func (c *introspection) parse(body []byte) *uma.Token {
	token, err := uma.ParseIntrospection(body, c.site.named...)
	switch {
	case err != nil:
		return nil
	case !token.Active && c.about != nil && c.about.evaluated && !c.about.mixed && (c.site.evaluator == nil || c.site.evaluator.direct()):
		return c.about.token // which the AS has verified; it says no more of another audience's
	case !token.Active:
		return token
	}
	if c.site.fromToken {
		// An opaque token has no claims: the answer is all there is.
		if err := uma.AddJWTClaims(token, c.token, c.site.named...); err != nil && err != uma.ErrNotJWT { //nolint:errorlint // returned bare
			return nil
		}
	}
	uma.Restrict(token, c.token)
	if c.about != nil {
		return c.about.token.With(token)
	}
	return token
}

func (c *introspection) resume(x *Exchange, now time.Time) *Step {
	w := x.evaluator.worker
	status := c.revocationStatus(w, now)
	for (status.needsMore() || x.unsaid(c.result)) && c.further != nil && w.calls[c.further.id] == nil {
		c = c.further // it has been asked further, and answered
		status = c.revocationStatus(w, now)
	}
	surveyed := c.evaluation != nil && c.evaluation.survey
	switch {
	case surveyed && c.evaluation.denied != ReasonInternal:
		return x.verify(now) // what the request itself needs is known
	case c.evaluation != nil && c.evaluation.denied != ReasonInternal:
		x.interval = c.evaluation.interval
		return x.refused(c.evaluation.denied, c.evaluation.claims, c.evaluation.whole, now)
	case c.result == nil:
		x.failed = c.ended
		x.retryLater(c.purpose, now) // which the client is told
		if c.unanswered {
			return x.unverified(c.failure, now)
		}
		return x.finish(c.failure)
	case (status.needsMore() || x.unsaid(c.result)) && !c.complete():
		about := &entry{token: c.result, fetched: at(now)}
		if e := c.evaluation; e != nil {
			about.fetched, about.evaluated, about.mixed, about.value = e.since, true, e.mixed, e.key
		}
		step := x.introspect(about, now)
		if x.call != nil {
			c.further = x.state.introspections[x.request.token]
		}
		return step
	}
	reason := x.checkRevoked(c.result, status, now)
	if surveyed {
		w.rememberNo(c, ReasonPermitted, c.result, c.complete(), now) // and no more than what it has
	}
	switch {
	case surveyed && reason == ReasonNotPermitted:
		return x.verify(now) // it has been forgotten meanwhile
	case c.evaluation == nil && x.evaluates(reason, c.about != nil && c.about.evaluated) && (c.about == nil || c.about.value != x.evaluationKey()):
		return x.evaluate(c.told(), now)
	case c.evaluation != nil && reason == ReasonNotPermitted:
		w.rememberNo(c, reason, c.result, c.complete(), now)
	}
	return x.decide(reason, now)
}

// told is what is known of the token by the answer; nil where it says nothing of it.
func (c *introspection) told() *entry {
	if !c.result.Active {
		return nil
	}
	e := &entry{token: c.result, fetched: c.began, complete: c.complete()}
	if c.about != nil {
		e.fetched, e.evaluated, e.mixed = c.about.fetched, c.about.evaluated, c.about.mixed
	}
	return e
}

// revocationStatus compares the token with what is revoked now, whichever policy the
// requests began under.
func (c *introspection) revocationStatus(w *Worker, now time.Time) revocationStatus {
	if c.result != nil && c.comparedUnder != w.policy {
		if w.states[c.site.key] != c.state {
			w.revoke(w.policy, c.state) // of an older policy: no push has reached it since
		}
		c.comparedUnder = w.policy
		c.status = c.state.revoked.names(c.token, c.result, now.Unix())
	}
	return c.status
}
