package decision

import (
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/scope"
	"github.com/umagate/umagate/plugin/uma"
)

const (
	// maxEvaluated bounds the permissions of one token that come from evaluations. Who
	// would have more begins anew.
	maxEvaluated = 256
	// maxEvaluatedAhead bounds what one call asks for again.
	maxEvaluatedAhead = 32
)

// evaluator is how the AS of a site is asked what a token may.
type evaluator struct {
	endpoint
	audience string
	rate     config.Limits // for bucket
}

// evaluation is an introspection that asks what a token may, which has no permission for
// it: by the UMA grant, with the token itself as the credential. An AS that answers has
// verified it.
type evaluation struct {
	key   string // of the call, and of what is remembered of a no
	asked []uma.Permission
	since instant // when the oldest part of the result was asked for
	mixed bool    // the result has permissions that were not asked for in this way
	whole bool    // nothing more is to be known of whose the token is
	// denied is the answer, where it is no; claims are the token's then.
	denied Reason
	claims *uma.Token
}

// evaluator compiles how the AS is asked what a token may.
func (b *builder) evaluator(path place, s *site, e *config.Evaluation) {
	if e == nil {
		return
	}
	if s.oauth {
		b.fault(path, "a site that requires oauth_scopes has no permissions to ask for")
	}
	if e.Audience == "" {
		b.fault(path.member("audience"), "the client_id of the resource server is needed")
	}
	s.evaluator = &evaluator{endpoint: b.endpoint(path, &e.Endpoint, "application/x-www-form-urlencoded"), audience: e.Audience}
	s.evaluator.rate = config.Limits{TicketsPerSecond: s.limits.EvaluationsPerSecond, TicketBurst: s.limits.EvaluationBurst}
}

// evaluates reports whether the AS is to be asked what the token may, rather than to end
// the request for a reason.
func (x *Exchange) evaluates(reason Reason, evaluated bool) bool {
	switch {
	case x.site.evaluator == nil || x.cond.anyToken || x.resourceID == "":
		return false
	case reason == ReasonNotPermitted:
		return true
	}
	// Introspection calls a token inactive that was issued for another audience. What
	// carries permissions was issued for this one.
	return reason == ReasonInactive && !evaluated && !uma.CarriesPermissions(x.request.token)
}

// evaluatesFirst reports whether the AS is asked what a token may that nothing is known of,
// instead of what it has.
func (x *Exchange) evaluatesFirst() bool {
	return x.evaluates(ReasonNotPermitted, false) && !uma.CarriesPermissions(x.request.token)
}

// evaluate asks the AS whether it permits what the request needs.
func (x *Exchange) evaluate(now time.Time) *Step {
	w, m := x.evaluator.worker, x.state
	key := x.evaluationKey()
	if e, f := w.lookUp(m, x.site, key, now); f == fresh {
		if x.cache == CacheNone {
			x.cache = CacheHit
			m.stats.CacheHits++
		}
		x.note("evaluation", "the AS has been asked a moment ago")
		return x.refused(e.reason, e.token, now)
	}
	if x.trace != nil {
		x.note("evaluation", "the AS is asked for ", x.resourceID, " with ", quoteList(x.cond.need.Scopes()))
	}
	m.stats.CacheMisses++
	if step := x.share(key, now); step != nil {
		return step
	}
	if reason := x.mayCall(PurposeEvaluate, now); reason != ReasonPermitted {
		return x.unverified(reason, now)
	}
	// A token that nothing is known of costs one call, as an introspection would: who sends
	// bad ones takes nothing from good ones.
	if e := m.tokens[x.request.token]; e != nil && e.token.Active && !m.evaluations.take(now, x.site.evaluator.rate) {
		return x.finish(ReasonTooManyEvaluations) // the AS could be asked
	}
	x.cache = CacheMiss
	x.request.token = strings.Clone(x.request.token) // the host's text is part of much more
	// So are the configuration's, and what a token has lives longer.
	asked := append([]string{x.resourceID}, x.cond.need.Scopes()...)
	Own(asked)
	c, to, form := m.newEvaluation(x.site, x.request.token, key, []uma.Permission{{ResourceID: asked[0], Scopes: asked[1:]}})
	return x.send(&c.call, PurposeEvaluate, to, form, now)
}

// evaluationKey tells what the request asks of its token from everything else.
func (x *Exchange) evaluationKey() string {
	return strings.Join([]string{x.request.token, x.resourceID, x.cond.asks}, "\x00") // a token has no such byte
}

// newEvaluation makes the one call that asks for these permissions of a token, where it
// goes and the form that is sent.
func (m *siteState) newEvaluation(s *site, token, key string, asked []uma.Permission) (*introspection, *endpoint, []byte) {
	form := appendForm(nil, "grant_type", "urn:ietf:params:oauth:grant-type:uma-ticket")
	form = appendForm(form, "audience", s.evaluator.audience)
	form = appendForm(form, "response_mode", "permissions")
	for i := range asked {
		form = appendForm(form, "permission", asked[i].ResourceID+"#"+strings.Join(asked[i].Scopes, ","))
	}
	to := s.evaluator.endpoint
	to.headers = append(slices.Clip(to.headers), Header{"authorization", "Bearer " + token})
	c := &introspection{token: token, evaluation: &evaluation{key: key, asked: asked}}
	c.introspection = c
	m.introspections[key] = c
	return c, &to, form
}

// readEvaluation reads the answer of an evaluation. A 200 may grant less than was asked
// for, so that only what is in it counts.
func (c *introspection) readEvaluation(r Response, now time.Time) CallOutcome {
	outcome := classify(r, 200)
	if outcome == CallOK {
		granted, err := uma.ParsePermissions(r.Body)
		if err != nil || !c.grant(granted, now) {
			return CallBadAnswer
		}
		return CallOK
	}
	if r.Status != 400 && r.Status != 401 && r.Status != 403 || r.TooLarge {
		return outcome
	}
	e := c.evaluation
	switch uma.ParseGrantError(r.Body) {
	case uma.GrantInvalidToken:
		c.result = &uma.Token{}
		return CallOK
	case uma.GrantDenied:
		e.denied = ReasonNotPermitted
	case uma.GrantSubmitted:
		e.denied = ReasonRequestSubmitted
	case uma.GrantNeedsInfo:
		e.denied = ReasonNeedsInfo
	case uma.GrantUnknownResource:
		e.denied = ReasonNotRegistered
		return CallError
	case uma.GrantErrorOther:
		return outcome
	}
	return CallOK
}

// grant makes the result of what the AS has granted and of what is known of the token.
func (c *introspection) grant(granted []uma.Permission, now time.Time) bool {
	e := c.evaluation
	t := &uma.Token{Active: true}
	if err := uma.AddJWTClaims(t, c.token, c.site.named...); err != nil && err != uma.ErrNotJWT { //nolint:errorlint // returned bare
		return false
	}
	uma.Restrict(t, c.token)
	e.since, e.whole = at(now), c.site.hint == ""
	if old := c.known(now); old != nil {
		left, asked := old.token.Permissions, old.token.Asked
		for _, a := range e.asked {
			left, asked = uma.Without(left, a.ResourceID, a.Scopes), uma.Without(asked, a.ResourceID, a.Scopes)
		}
		if len(left)+len(granted) <= maxEvaluated && len(asked)+len(e.asked) <= maxEvaluated {
			t = t.With(old.token)
			t.Permissions, t.Asked, e.whole = left, asked, e.whole || old.complete
			if len(left) > 0 {
				e.since, e.mixed = old.fetched, old.mixed || old.token.Asked == nil
			}
		}
	}
	for _, a := range e.asked {
		t.Permissions = append(t.Permissions, uma.Within(granted, a.ResourceID, a.Scopes)...)
		t.Asked = append(t.Asked, a)
	}
	c.result = t
	return true
}

// known is what is known and believed of the token.
func (c *introspection) known(now time.Time) *entry {
	if e := c.state.tokens[c.token]; e != nil && e.token.Active && e.freshness(c.site, now) == fresh {
		return e
	}
	return nil
}

// takeBack forgets what the AS has granted before and does not grant any more. What an
// introspection told is not its answer: it may come of a ticket, with claims that an
// evaluation does not know.
func (c *introspection) takeBack() {
	old := c.state.tokens[c.token]
	switch {
	case old == nil || !old.token.Active:
		return
	case c.evaluation.denied == ReasonNotRegistered: // of which, where many were asked for, is not known
		old.drop()
		return
	}
	left := *old.token
	for _, a := range c.evaluation.asked {
		for _, p := range uma.Within(left.Asked, a.ResourceID, a.Scopes) {
			left.Permissions = uma.Without(left.Permissions, p.ResourceID, p.Scopes)
		}
	}
	old.token = &left
}

// rememberNo remembers that what the AS says is not enough, beside the tokens that are not
// active: for a short time, and bounded.
func (w *Worker) rememberNo(c *introspection, reason Reason, claims *uma.Token, now time.Time) {
	e := c.evaluation
	if c.refreshes || c.state.tokens[e.key] != nil {
		return
	}
	said := &uma.Token{}
	if claims != nil {
		said.Subject, said.ClientID = strings.Clone(claims.Subject), strings.Clone(claims.ClientID)
	}
	w.put(c.state, c.site, &entry{
		token: said, reason: reason, fetched: at(now), expires: at(now.Add(c.site.negativeTTL)), value: e.key, state: c.state,
	}, now)
}

// grantedBefore reports whether a token has all that is asked for.
func (e *evaluation) grantedBefore(t *uma.Token) bool {
	for _, a := range e.asked {
		lacks := []uma.Permission{a}
		for i := range t.Permissions {
			if p := &t.Permissions[i]; p.ResourceID == a.ResourceID {
				lacks = uma.Without(lacks, p.ResourceID, p.Scopes)
			}
		}
		if len(lacks) > 0 {
			return false
		}
	}
	return true
}

// refused ends a request for which the AS has said no.
func (x *Exchange) refused(reason Reason, claims *uma.Token, now time.Time) *Step {
	x.token, x.held = claims, nil
	if reason == ReasonNotRegistered {
		return x.finish(reason)
	}
	return x.refuse(reason, now)
}

// covered reports whether a condition that a scope more could fail has been asked for as
// a whole.
func (x *Exchange) covered(t *uma.Token) bool {
	for i := range t.Asked {
		var set scope.Set
		for _, s := range t.Asked[i].Scopes {
			set = x.cond.need.Add(set, s)
		}
		if t.Asked[i].ResourceID == x.resourceID && x.cond.need.HasAll(set) {
			return true
		}
	}
	return false
}
