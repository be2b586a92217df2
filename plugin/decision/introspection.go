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

	result     *uma.Token
	failure    Reason // without a result
	unanswered bool   // so that what the AS would say is not known
	refreshes  bool   // no request has asked for it, see Worker.refresh

	comparedUnder *Policy // when the result was compared with what is revoked
	status        revocationStatus
}

// complete reports whether the answer is all that the AS has to say.
func (c *introspection) complete() bool { return c.about != nil || c.site.hint == "" }

// introspect asks the AS about the token, or, where it has been asked with a
// token_type_hint, for the rest of what it can say.
func (x *Exchange) introspect(about *entry, now time.Time) *Step {
	m := x.state
	m.stats.CacheMisses++
	if c := m.introspections[x.request.token]; c != nil && !c.overdue(now) {
		if !x.mayWait(c.waiting.n) {
			return x.unverified(ReasonTooManyWaiting, now)
		}
		x.cache = CacheShared
		m.stats.CallsShared++
		x.request.token = c.token // the same text
		return x.join(&c.call)
	}
	switch {
	case x.retryLater(PurposeIntrospect, now):
		return x.unverified(ReasonASBusy, now)
	case m.inFlight >= x.site.limits.CallsInFlight:
		return x.unverified(ReasonTooManyCalls, now)
	case !x.mayWait(0):
		return x.unverified(ReasonTooManyWaiting, now)
	}
	x.cache = CacheMiss
	// The host's text is part of all the headers of the request; a cached token
	// must not keep them.
	x.request.token = strings.Clone(x.request.token)
	c, form := m.newIntrospection(x.site, x.request.token, about)
	return x.send(&c.call, PurposeIntrospect, &x.site.introspect, form, now)
}

// newIntrospection makes the one introspection of a token that is under way, and the
// form that is sent.
func (m *siteState) newIntrospection(s *site, token string, about *entry) (*introspection, []byte) {
	form := appendForm(nil, "token", token)
	if s.hint != "" && about == nil {
		form = appendForm(form, "token_type_hint", s.hint)
	}
	if s.clientID != "" {
		form = appendForm(form, "client_id", s.clientID)
	}
	c := &introspection{token: token, about: about}
	c.introspection = c
	m.introspections[token] = c
	return c, form
}

func (c *introspection) read(w *Worker, r Response, now time.Time) {
	if c.state.introspections[c.token] == c {
		delete(c.state.introspections, c.token)
	}
	outcome := CallRefused
	if !r.notSent {
		outcome = classify(r, 200)
	}
	if outcome == CallOK {
		if c.result = c.parse(r.Body); c.result == nil {
			outcome = CallBadAnswer
		}
	}
	c.failure = outcome.failure()
	w.count(&c.call, outcome, r.Status)
	if c.unanswered = outcome.unanswered(r.Status); c.unanswered {
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
}

// parse returns what an answer says of the token, nil when it cannot be used.
func (c *introspection) parse(body []byte) *uma.Token {
	token, err := uma.ParseIntrospection(body)
	switch {
	case err != nil:
		return nil
	case !token.Active:
		return token
	}
	if c.site.fromToken {
		// An opaque token has no claims: the answer is all there is.
		if err := uma.AddJWTClaims(token, c.token); err != nil && err != uma.ErrNotJWT { //nolint:errorlint // returned bare
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
	for status.needsMore() && c.further != nil && w.calls[c.further.id] == nil {
		c = c.further // it has been asked further, and answered
		status = c.revocationStatus(w, now)
	}
	switch {
	case c.result == nil:
		x.retryLater(PurposeIntrospect, now) // which the client is told
		if c.unanswered {
			return x.unverified(c.failure, now)
		}
		return x.finish(c.failure)
	case status.needsMore() && !c.complete():
		step := x.introspect(&entry{token: c.result, fetched: at(now)}, now)
		if x.call != nil {
			c.further = x.state.introspections[x.request.token]
		}
		return step
	}
	return x.decide(x.checkRevoked(c.result, status, now), now)
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
