package decision

import (
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/uma"
)

// evaluationStep is the next call of an evaluation. One evaluation is one step, or
// several that no request sees: whoever waits for it waits for its end.
//
//	direct                          Keycloak's way: the token is the credential
//	ticket, present                 the same with claims of the request, which the ticket has
//	direct, ticket, submit          and its owner is asked for what is not permitted
//	[verify,] ticket, claim, read   the specification's way: the token is a claim_token
type evaluationStep uint8

const (
	stepEnd     evaluationStep = iota
	stepDirect                 // what may the token, of this?
	stepVerify                 // is the token active, and whose?
	stepTicket                 // a permission ticket for this
	stepClaim                  // an RPT for the ticket and the token
	stepRead                   // what has the RPT?
	stepSubmit                 // ask the owner for what the ticket is for
	stepPresent                // what may the token, of what the ticket is for?
)

const umaGrant = "urn:ietf:params:oauth:grant-type:uma-ticket"

// begin makes an evaluation ready for its first step, and returns what is to be sent.
func (c *introspection) begin(s *site, now time.Time) (*endpoint, []byte) {
	e := c.evaluation
	c.site, e.began = s, at(now)
	switch {
	case s.evaluator.direct() && isPushed(e.asked[0].ResourceID):
		e.step = stepTicket
	case s.evaluator.direct():
		e.step = stepDirect
	case e.about == nil:
		e.step = stepVerify
	}
	return c.request()
}

// knows takes what the AS has said of a token that is to be a claim_token. The reason is
// that of a no: the owner is being asked, and the AS is not to be asked before its time.
func (c *introspection) knows(about *entry, now time.Time) Reason {
	e := c.evaluation
	e.about, e.party, e.step = about, e.partyOf(c, about.token), stepTicket
	asked, waits := c.state.owners.pending(e.party, now)
	switch {
	case waits:
		e.step, e.interval = stepEnd, seconds(asked.again, now)
		return asked.reason
	case asked.ticket != "":
		e.ticket, e.polls, e.step = asked.ticket, true, stepClaim
	}
	return ReasonInternal
}

// continues reports whether the call has another step, which is to be sent.
func (c *introspection) continues() bool { return c.evaluation != nil && c.evaluation.step != stepEnd }

// request is the call of the step: where it goes, and what is sent.
func (c *introspection) request() (*endpoint, []byte) {
	e, s := c.evaluation, c.site
	switch e.step {
	case stepVerify:
		return s.evaluator.verify, s.introspectionForm(c.token, s.evaluator.verify == &s.introspect)
	case stepTicket:
		return &s.permission, e.permissionRequest(c.result)
	case stepRead:
		return &s.introspect, s.introspectionForm(e.rpt, true)
	case stepDirect, stepClaim, stepSubmit, stepPresent, stepEnd:
	}
	to := s.evaluator.endpoint
	form := appendForm(nil, "grant_type", umaGrant)
	switch e.step { // the others have returned
	case stepClaim:
		form = appendForm(form, "ticket", e.ticket)
		form = appendForm(form, "claim_token", c.token)
		form = appendForm(form, "claim_token_format", s.evaluator.format)
		if s.evaluator.clientID != "" {
			form = appendForm(form, "client_id", s.evaluator.clientID)
		}
		return &to, form
	case stepSubmit:
		form = appendForm(form, "ticket", e.ticket)
		form = appendForm(form, "submit_request", "true")
	case stepPresent:
		form = appendForm(form, "ticket", e.ticket)
		form = appendForm(form, "submit_request", "false")
	default:
		form = appendForm(form, "audience", s.evaluator.audience)
		for i := range e.asked {
			permission := e.asked[i].ResourceID
			if len(e.asked[i].Scopes) > 0 {
				permission += "#" + strings.Join(e.asked[i].Scopes, ",")
			}
			form = appendForm(form, "permission", permission)
		}
	}
	form = appendForm(form, "response_mode", "permissions")
	to.headers = append(slices.Clip(to.headers), Header{"authorization", "Bearer " + c.token})
	return &to, form
}

// permissionRequest asks for a ticket for what was asked for, but for what is granted.
func (e *evaluation) permissionRequest(granted *uma.Token) []byte {
	body := []byte{'['}
	for _, p := range e.asked {
		if granted != nil {
			for _, has := range uma.Within(granted.Permissions, p.ResourceID, p.Scopes) {
				lacks := uma.Without([]uma.Permission{p}, p.ResourceID, has.Scopes)
				if p.Scopes = nil; len(lacks) > 0 {
					p.Scopes = lacks[0].Scopes
				}
			}
			if len(p.Scopes) == 0 {
				continue
			}
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		id, claims := unpushed(p.ResourceID)
		body = uma.AppendPermissionRequest(body, id, p.Scopes, claims)
	}
	return append(body, ']')
}

// introspectionForm asks about a token, with the site's token_type_hint or without.
func (s *site) introspectionForm(token string, hinted bool) []byte {
	form := appendForm(nil, "token", token)
	if s.hint != "" && hinted {
		form = appendForm(form, "token_type_hint", s.hint)
	}
	if s.clientID != "" {
		form = appendForm(form, "client_id", s.clientID)
	}
	return form
}

// dueFollowUps returns what follows in evaluations that no request carries.
func (w *Worker) dueFollowUps() []*Call {
	var calls []*Call
	for len(w.followUps) > 0 && w.spend() {
		if c := w.followUps[0]; w.calls[c.ID] != nil { // or it was overdue
			calls = append(calls, c)
		}
		w.followUps = w.followUps[1:]
	}
	return calls
}

// follow sends the next call of an evaluation. The first of the requests that wait
// carries it; where none waits, it is sent by itself.
func (w *Worker) follow(c *introspection, now time.Time) []Outcome {
	to, body := c.request()
	call := w.open(&c.call, PurposeEvaluate, c.state, c.site, to, body, now)
	if c.refreshes {
		c.state.outage.probe = c.id
	}
	if x := c.waiting.first; x != nil && w.spend() {
		x.step = Step{Kind: KindCall, Call: call}
		return append(w.Next(now), Outcome{x, x.step})
	}
	w.followUps = append(w.followUps, call)
	return w.Next(now)
}

// readEvaluation reads the answer of a step. The next step is in the evaluation.
func (c *introspection) readEvaluation(r Response, now time.Time) CallOutcome {
	e := c.evaluation
	step := e.step
	e.step = stepEnd
	switch step {
	case stepVerify:
		return c.readVerified(r, now)
	case stepTicket:
		return c.readTicket(r)
	case stepRead:
		return c.readRPT(r, now)
	case stepDirect, stepClaim, stepSubmit, stepPresent, stepEnd:
	}
	outcome := classify(r, 200)
	if outcome == CallOK {
		if step == stepClaim {
			return c.readClaimed(r)
		}
		granted, err := uma.ParsePermissions(r.Body)
		if step == stepPresent {
			e.push(granted)
		}
		if err != nil || step != stepSubmit && !c.grant(granted, now) {
			return CallBadAnswer
		}
		switch {
		case step == stepDirect && !e.suffices(c.result):
			e.askOwner(c, now)
		case step == stepDirect:
			e.permitted(c)
		case step == stepSubmit: // it has been permitted meanwhile: the next request finds that
			e.denied = ReasonNotPermitted
		}
		return CallOK
	}
	if r.Status != 400 && r.Status != 401 && r.Status != 403 || r.TooLarge {
		return outcome
	}
	no := uma.ParseRefusal(r.Body)
	if step == stepPresent && no.Error == uma.GrantInvalid && r.Status == 403 {
		return outcome // its ticket is bad, and the token need not be
	}
	return c.readRefusal(step, no, outcome, now)
}

// readRefusal reads a no of the token endpoint.
func (c *introspection) readRefusal(step evaluationStep, no uma.Refusal, outcome CallOutcome, now time.Time) CallOutcome {
	e := c.evaluation
	switch no.Error {
	case uma.GrantInvalid:
		switch {
		case step == stepDirect, step == stepPresent:
			c.result = &uma.Token{}
			return CallOK
		case e.polls:
			// The ticket that the AS gave when it began to ask the owner has ended.
			e.polls, e.ticket, e.step = false, "", stepTicket
			c.state.owners.forget(e.party)
			return CallOK
		}
		return outcome
	case uma.GrantDenied:
		e.denied = ReasonNotPermitted
		switch {
		case step == stepDirect:
			e.askOwner(c, now)
		case step == stepSubmit: // there is nobody to ask
			c.state.owners.note(e.party, ownerRequest{again: at(now.Add(askAgainAfter)), reason: ReasonNotPermitted})
		case e.polls: // the owner says no; another ticket would ask again
			c.state.owners.note(e.party, ownerRequest{again: at(now.Add(refusedFor)), reason: ReasonNotPermitted})
		}
	case uma.GrantSubmitted:
		e.denied, e.interval = ReasonRequestSubmitted, min(no.Interval, maxRetryAfter)
		asked := ownerRequest{again: at(now.Add(askAgainAfter)), reason: ReasonRequestSubmitted}
		if step == stepClaim {
			wait := max(time.Duration(e.interval)*time.Second, c.site.negativeTTL)
			asked.again, asked.ticket = at(now.Add(wait)), strings.Clone(no.Ticket)
		}
		c.state.owners.note(e.party, asked)
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

// readVerified reads what the AS says of the token itself.
func (c *introspection) readVerified(r Response, now time.Time) CallOutcome {
	outcome := classify(r, 200)
	if outcome != CallOK {
		return outcome
	}
	t := c.parse(r.Body)
	if t == nil {
		return CallBadAnswer
	}
	e, complete := c.evaluation, c.site.hint == "" || c.site.evaluator.verify != &c.site.introspect
	if c.site.checkClaims(t, now.Unix()) != ReasonPermitted || c.state.revoked.names(c.token, t, now.Unix()) == isRevoked || !c.serves(t, complete) {
		c.result, e.since, e.whole = t, c.began, complete // it is shown to nobody
		return CallOK
	}
	e.denied = c.knows(&entry{token: t, fetched: c.began, complete: complete}, now)
	return CallOK
}

// readTicket reads the answer of the permission endpoint.
func (c *introspection) readTicket(r Response) CallOutcome {
	e := c.evaluation
	outcome := classify(r, 201)
	if outcome == CallOK {
		var err error
		if e.ticket, err = uma.ParseTicket(r.Body); err != nil {
			return CallBadAnswer
		}
		switch {
		case !c.site.evaluator.direct():
			e.step = stepClaim
		case isPushed(e.asked[0].ResourceID):
			e.step = stepPresent
		default:
			e.step = stepSubmit
		}
		return CallOK
	}
	if r.Status == 400 && !r.TooLarge && uma.ParseRefusal(r.Body).Error == uma.GrantUnknownResource {
		e.denied = ReasonNotRegistered
	}
	return outcome
}

// readClaimed reads the answer to a ticket and a token: an RPT, which is this filter's
// own and goes nowhere but to the introspection endpoint.
func (c *introspection) readClaimed(r Response) CallOutcome {
	e := c.evaluation
	rpt, err := uma.ParseRPT(r.Body)
	if err != nil {
		return CallBadAnswer
	}
	e.rpt, e.step = rpt, stepRead
	c.state.owners.forget(e.party)
	return CallOK
}

// readRPT reads what the RPT permits. It is the token's as long as the RPT lives, and if
// both are of the same person.
func (c *introspection) readRPT(r Response, now time.Time) CallOutcome {
	e := c.evaluation
	rpt := e.rpt
	e.rpt = ""
	outcome := classify(r, 200)
	if outcome != CallOK {
		return outcome
	}
	t, err := uma.ParseIntrospection(r.Body)
	if err != nil || !t.Active || t.NotAccess || t.Bound {
		return CallBadAnswer // the AS has just issued it
	}
	uma.Restrict(t, rpt)
	if t.Subject == "" && c.site.fromToken {
		if own, err := uma.ParseJWT(rpt); err == nil {
			t.Subject = own.Subject
		}
	}
	whose := e.about.token.Subject
	if whose != "" && t.Subject != "" && whose != t.Subject {
		return CallBadAnswer // the AS has not looked at the claim_token
	}
	for i := range t.Permissions {
		p := &t.Permissions[i]
		if t.Expires != 0 && (p.Expires == 0 || t.Expires < p.Expires) {
			p.Expires = t.Expires
		}
		p.NotBefore = max(p.NotBefore, t.NotBefore)
	}
	if !c.grant(t.Permissions, now) {
		return CallBadAnswer
	}
	return CallOK
}
