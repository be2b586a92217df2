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
	// tokenShare is the part of a site's further evaluations that one token may use: one
	// quarter.
	tokenShare = 4
)

// evaluator is how the AS of a site is asked what a token may.
type evaluator struct {
	endpoint
	audience  string
	format    string    // claim_token_format; empty for Keycloak's way
	clientID  string    // client_id of the grant
	verify    *endpoint // where the AS knows the token
	askOwner  bool
	rate      config.Limits // for bucket
	tokenRate config.Limits // of one token's
}

// evaluation is an introspection that asks what a token may, which has no permission for
// it: by the UMA grant, with the token itself as the credential or as a claim_token. An AS
// that answers has verified it.
type evaluation struct {
	key       string // of the call, and of what is remembered of a no
	asked     []uma.Permission
	condition *condition // of the request; nil where none waits for it
	step      evaluationStep
	// about is what the AS has said of the token, where it is a claim_token.
	about *entry
	party string // see partyOf
	// ticket is what the grant is asked with, polls that it came when the owner was asked.
	ticket string
	polls  bool
	survey bool    // of what a list names, for a request that is permitted
	rpt    string  // between the grant and its introspection
	began  instant // the first step
	since  instant // when the oldest part of the result was asked for
	mixed  bool    // the result has permissions that were not asked for in this way
	// carries tells that it has claims that an introspection has told before.
	carries bool
	whole   bool // nothing more is to be known of whose the token is
	// denied is the answer, where it is no; claims are the token's then. interval is how
	// many seconds the AS wants to be left alone.
	denied   Reason
	claims   *uma.Token
	interval int64
}

// evaluator compiles how the AS is asked what a token may.
func (b *builder) evaluator(path place, s *site, e *config.Evaluation) {
	if e == nil {
		return
	}
	if s.oauth {
		b.fault(path, "a site that requires oauth_scopes has no permissions to ask for")
	}
	const formType = "application/x-www-form-urlencoded"
	switch {
	case (e.Audience == "") == (e.ClaimTokenFormat == ""):
		b.fault(path.member("audience"), "the client_id of the resource server is needed, or a claim_token_format, and not both")
	case e.AskOwner && e.Audience == "":
		b.fault(path.member("ask_owner"), "with claim_token_format the policies of the AS say whether the owner is asked")
	case e.TokenIntrospection != nil && e.Audience != "":
		b.fault(path.member("token_introspection"), "with audience the token is not introspected first")
	}
	s.evaluator = &evaluator{
		endpoint: b.endpoint(path, &e.Endpoint, formType), audience: e.Audience, format: e.ClaimTokenFormat, clientID: e.ClientID,
		verify: &s.introspect, askOwner: e.AskOwner,
	}
	if e.TokenIntrospection != nil {
		verify := b.endpoint(path.member("token_introspection"), e.TokenIntrospection, formType)
		s.evaluator.verify = &verify
	}
	rate, burst := s.limits.EvaluationsPerSecond, s.limits.EvaluationBurst
	s.evaluator.rate = config.Limits{TicketsPerSecond: rate, TicketBurst: burst}
	s.evaluator.tokenRate = config.Limits{TicketsPerSecond: (rate + tokenShare - 1) / tokenShare, TicketBurst: (burst + tokenShare - 1) / tokenShare}
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
	// Introspection calls a token inactive that was issued for another audience, or that is
	// no RPT. What carries permissions was issued for this one.
	v := x.site.evaluator
	return reason == ReasonInactive && !evaluated && (v.direct() || v.verify != &x.site.introspect) && !uma.CarriesPermissions(x.request.token)
}

// direct reports whether the token is the credential, so that the AS need say nothing of
// it before.
func (v *evaluator) direct() bool { return v.format == "" }

// evaluatesFirst reports whether the AS is asked what a token may that nothing is known of,
// instead of what it has.
func (x *Exchange) evaluatesFirst() bool {
	return x.evaluates(ReasonNotPermitted, false) && x.site.evaluator.direct() && !uma.CarriesPermissions(x.request.token)
}

// evaluate asks the AS whether it permits what the request needs. about is what the AS has
// said of the token; nil for nothing that it is known by.
func (x *Exchange) evaluate(about *entry, now time.Time) *Step {
	w, m := x.evaluator.worker, x.state
	if about != nil && about.state == nil { // of an answer, and the request's turn may have come late
		if e, f := w.lookUp(m, x.site, x.request.token, now); f == fresh && e.evaluated && (e.complete || !e.status.needsMore()) {
			if x.checkRevoked(e.token, e.status, now) == ReasonPermitted {
				return x.decide(ReasonPermitted, now)
			}
			x.token, x.held = about.token, nil
		}
	}
	key := x.evaluationKey()
	if e, f := w.lookUp(m, x.site, key, now); f == fresh {
		if x.cache == CacheNone {
			x.cache = CacheHit
			m.stats.CacheHits++
		}
		x.note("evaluation", "the AS has been asked a moment ago")
		if e.later != 0 {
			x.interval = seconds(e.later, now)
		}
		return x.refused(e.reason, e.token, e.complete, now)
	}
	if x.trace != nil {
		resource, _ := unpushed(x.resourceID)
		x.note("evaluation", "the AS is asked for ", resource, " with ", quoteList(x.cond.need.Scopes()))
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
	if e := m.tokens[x.request.token]; about != nil || e != nil && e.token.Active {
		if v := x.site.evaluator; !m.tokenBudgets.take(x.request.token, now, v.tokenRate) || !m.evaluations.take(now, v.rate) {
			return x.finish(ReasonTooManyEvaluations) // the AS could be asked
		}
	}
	x.cache = CacheMiss
	x.request.token = strings.Clone(x.request.token) // the host's text is part of much more
	c := m.newEvaluation(x.request.token, key, x.asked())
	if x.live == nil { // or nobody asks the owner
		c.evaluation.condition = x.cond
	}
	if v := x.site.evaluator; about != nil && !v.direct() {
		c.site, c.state = x.site, m
		if reason := c.knows(about, now); reason != ReasonInternal {
			delete(m.introspections, key)
			w.rememberNo(c, reason, about.token, about.complete, now)
			x.interval = c.evaluation.interval
			return x.refused(reason, about.token, about.complete, now)
		}
	}
	to, form := c.begin(x.site, now)
	return x.send(&c.call, PurposeEvaluate, to, form, now)
}

// asked is what the AS is asked for: what the condition needs, or, with a ticket, what its
// tickets are for. A rule that a scope more would fail needs all of its scopes.
func (x *Exchange) asked() []uma.Permission {
	wanted := x.cond.wanted
	if x.site.evaluator.direct() || len(wanted) == 0 || x.cond.need.Negates() {
		wanted = []uma.Permission{{Scopes: x.cond.need.Scopes()}}
	}
	asked := slices.Clone(wanted)
	for i := range asked {
		if i == 0 {
			asked[i].ResourceID = x.resourceID
		}
		// The texts are the configuration's, and what a token has lives longer.
		texts := append([]string{asked[i].ResourceID}, asked[i].Scopes...)
		Own(texts)
		asked[i].ResourceID, asked[i].Scopes = texts[0], texts[1:]
	}
	return asked
}

// evaluationKey tells what the request asks of its token from everything else.
func (x *Exchange) evaluationKey() string {
	return strings.Join([]string{x.request.token, x.resourceID, x.cond.asks}, "\x00") // a token has no such byte
}

// newEvaluation makes the one evaluation that asks for these permissions of a token.
func (m *siteState) newEvaluation(token, key string, asked []uma.Permission) *introspection {
	c := &introspection{token: token, evaluation: &evaluation{key: key, asked: asked}}
	c.introspection = c
	m.introspections[key] = c
	return c
}

// grant makes the result of what the AS has granted and of what is known of the token.
func (c *introspection) grant(granted []uma.Permission, now time.Time) bool {
	e := c.evaluation
	var t *uma.Token
	old := c.known(now)
	if e.about == nil {
		if t = c.verified(); t == nil {
			return false
		}
		e.since, e.whole = at(now), c.site.payloadIsWhole()
	} else {
		own := *e.about.token
		own.Permissions, own.Asked = nil, nil
		t, e.since, e.whole = &own, e.about.fetched, e.about.complete
		if old == nil {
			old = e.about
		}
	}
	if old != nil {
		left, asked := old.token.Permissions, old.token.Asked
		for _, a := range e.asked {
			left, asked = uma.Without(left, a.ResourceID, a.Scopes), uma.Without(asked, a.ResourceID, a.Scopes)
		}
		if len(left)+len(granted) <= maxEvaluated && len(asked)+len(e.asked) <= maxEvaluated {
			known := *old.token
			if e.about != nil && e.about.complete {
				known.Claims, known.Own = nil, nil // the AS has said just now which there are
			} else if e.carries = carries(t, &known); e.carries {
				e.since = min(e.since, old.fetched)
			}
			t = t.With(&known)
			t.Permissions, t.Asked, e.whole = left, asked, e.whole || old.complete
			if len(left) > 0 {
				e.since, e.mixed = min(e.since, old.fetched), old.mixed || old.token.Asked == nil
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

// carries reports whether a token gets claims that the AS has told of it before: they are
// as old as they were.
func carries(t, known *uma.Token) bool {
	for i, claim := range known.Claims {
		if claim != nil && (i >= len(t.Claims) || t.Claims[i] == nil) {
			return true
		}
	}
	return false
}

// payloadIsWhole reports whether there is no more to be known of claims than the payload of
// a token says that the AS has verified.
func (s *site) payloadIsWhole() bool { return s.hint == "" && (s.fromToken || len(s.named) == 0) }

// verified is what the token says, which the AS has verified, nil where that cannot be
// read. An opaque one says nothing.
func (c *introspection) verified() *uma.Token {
	t := &uma.Token{Active: true}
	if err := uma.AddJWTClaims(t, c.token, c.site.named...); err != nil && err != uma.ErrNotJWT { //nolint:errorlint // returned bare
		return nil
	}
	if !c.site.fromToken {
		t.Own = nil // only answers say claims here
	}
	uma.Restrict(t, c.token)
	return t
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
	case old == nil || !old.token.Active || old.token.Asked == nil:
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
// active: for a short time, and bounded. claims are the token's, all there are if whole.
func (w *Worker) rememberNo(c *introspection, reason Reason, claims *uma.Token, whole bool, now time.Time) {
	e := c.evaluation
	if c.refreshes || c.state.tokens[e.key] != nil {
		return
	}
	said := &uma.Token{}
	if claims != nil {
		said = claims.Identity()
	}
	no := &entry{
		token: said, reason: reason, fetched: at(now), expires: at(now.Add(c.site.negativeTTL)), complete: whole, value: e.key, state: c.state,
	}
	if e.interval > 0 && reason == ReasonRequestSubmitted {
		no.later = at(now.Add(time.Duration(e.interval) * time.Second))
	}
	w.put(c.state, c.site, no, now)
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

// refused ends a request for which the AS has said no. claims are the token's, which the AS
// has verified, all there are if whole. One that does not fit comes first, as it does where
// the AS says yes: no ticket would mend it.
func (x *Exchange) refused(reason Reason, claims *uma.Token, whole bool, now time.Time) *Step {
	x.token, x.held = claims, nil
	switch {
	case reason == ReasonNotRegistered:
		return x.finish(reason)
	case x.misfits(claims, whole):
		return x.finish(ReasonInsufficientClaims)
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
