package decision

import (
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

// CacheUse says how a decision came to know the token.
type CacheUse uint8

// The uses of the cache.
const (
	CacheNone   CacheUse = iota // no token was looked at
	CacheHit                    // the cache had it
	CacheShared                 // another request was asking the AS already
	CacheMiss                   // the AS was asked
)

// String returns the use as the access log names it.
func (c CacheUse) String() string {
	return [...]string{"none", "hit", "shared", "miss"}[c&3]
}

// Effect is what a decision did.
type Effect uint8

// The effects.
const (
	EffectDeny    Effect = iota
	EffectAllow          // allowed
	EffectMonitor        // would have been denied, and passed because of mode monitor

	// Effects is how many there are.
	Effects
)

// String returns the effect as metrics and the access log name it.
func (e Effect) String() string {
	return [...]string{"deny", "allow", "monitor", "deny"}[e&3]
}

// Decision is what is reported of a request once it is decided.
type Decision struct {
	Site      string
	Resource  string
	Condition string // the path template
	Effect    Effect
	Reason    Reason
	Problem   route.Problem // of ReasonAmbiguousPath
	Status    int           // of a denial
	Subject   string
	ClientID  string
	Cache     CacheUse
}

// Exchange is one request. Its worker owns it.
type Exchange struct {
	// Owner is for the host: what the request is to it. The core does not look
	// at it.
	Owner any

	gate   *Gate
	site   *site
	memory *memory
	rule   *rule
	cond   *condition

	request screened
	// authority replaces the request's, when it is not empty.
	authority string
	path      route.Path
	// resourceID is the condition's, or the instance's.
	resourceID string
	token      *uma.Token
	held       []string // scopes the token has for the resource
	reason     Reason   // why a ticket is asked for
	pause      int64    // seconds that the AS wants to be left alone
	cache      CacheUse
	kept       bool  // see keep
	call       *call // what it waits for
	problem    route.Problem
	unfit      bool // it is refused whatever the mode
	asCame     bool // its path is forwarded in another form than the one judged

	before, behind *Exchange // in the call's queue
	headers        []Header  // all of them, while the request begins
	weight         int       // what they take; 0 is not known yet

	step     Step      // the last one
	identity [4]Header // room for Allow.Set
	decided  Decision
	trace    func(label, text string)
}

// Decision returns what was decided, once the last step was Allow or Deny.
func (x *Exchange) Decision() Decision { return x.decided }

// begin takes an exchange to its first step.
func (x *Exchange) begin(now time.Time) *Step {
	if step, done := x.locate(); done {
		return step
	}
	if x.request.credentials == uma.CredentialMalformed {
		return x.conclude(ReasonInvalidCredentials)
	}
	if x.cond.instance == nil {
		x.resourceID = x.cond.resourceID
	} else if step := x.find(now); step != nil {
		return step
	}
	return x.proceed(now)
}

// proceed goes on once the resource is known.
func (x *Exchange) proceed(now time.Time) *Step {
	switch x.request.credentials {
	case uma.CredentialMalformed:
		return x.conclude(ReasonInvalidCredentials)
	case uma.CredentialNone:
		x.note("token", "the request has no bearer token")
		return x.refuse(ReasonNoToken, now)
	case uma.CredentialBearer:
	}
	if x.site.unknownAS {
		x.note("token", "the authorization server is not known yet")
		return x.conclude(ReasonASUnreachable)
	}
	return x.verify(now)
}

// locate finds the site and the condition of the request. done tells that no
// token is needed to decide.
func (x *Exchange) locate() (step *Step, done bool) {
	index, forwarded, passes := x.gate.site(x.request.authority)
	x.authority = forwarded
	if index < 0 {
		x.note("host", x.request.authority, ": ", passes.String())
		if !passes.Allows() {
			return x.conclude(passes), true
		}
	} else {
		x.site, x.memory = x.gate.policy.sites[index], x.gate.memories[index]
		x.note("site", x.request.authority, " belongs to site ", x.site.name, ", mode ", string(x.site.mode), x.site.stricter())
		if x.site.mode == config.ModeOff {
			passes = ReasonOff
		}
	}
	// What protects the connection comes before any mode.
	if reason := x.request.misuse(); reason != ReasonPermitted {
		x.unfit = true
		return x.conclude(reason), true
	}
	if passes != ReasonPermitted {
		if problem := pathMisuse(x.request.path); problem != "" {
			return x.ambiguous(problem), true
		}
		return x.conclude(passes), true
	}
	return x.locatePath()
}

func (x *Exchange) locatePath() (step *Step, done bool) {
	path, err := route.ParsePath(x.request.path, x.request.authority, x.site.normalize)
	if err != nil {
		return x.ambiguous(pathProblem(err)), true
	}
	x.path = path
	if path.Rewritten {
		// As it came in, the path may be one that a condition guards. Only where none is
		// enforced does it go on like that: monitor changes nothing.
		x.asCame = x.site.strictest != config.ModeEnforce && pathMisuse(x.request.path) == ""
		x.note("path", "rewritten to ", path.Target)
	}
	if !x.site.keepOverrides && namesOtherMethod(path.Target, x.request.method) {
		x.note("method", "the query names another one than ", x.request.method)
		return x.conclude(ReasonMethodOverride), true
	}
	if x.site.allowPreflight && x.request.method == "OPTIONS" && x.request.origin && x.request.preflight {
		return x.conclude(ReasonPreflight), true
	}
	index, others := x.site.paths.Match(path, nil)
	switch {
	case index < 0 && (x.site.allowUnmatched || x.site.unmatched != nil) && path.Odd() && x.readsOtherwise(nil):
		return x.ambiguous(route.ProblemSecondReading), true
	case index < 0 && x.site.allowUnmatched:
		x.note("path", "no condition names it; unmatched: allow")
		return x.conclude(ReasonUnmatchedAllowed), true
	case index < 0 && x.site.unmatched != nil:
		x.note("path", "no condition names it; unmatched: authenticated")
		x.cond = x.site.unmatched
		return nil, false
	case index < 0:
		x.note("path", "no condition names it; unmatched: deny")
		return x.conclude(ReasonUnmatched), true
	}
	x.rule = &x.site.rules[index]
	found := x.rule.find(x.request.method)
	for _, other := range others {
		if r := &x.site.rules[other.Value]; r.find(x.request.method) != found {
			x.note("path", "matches ", x.rule.template, " and, in another reading, ", r.template)
			return x.ambiguous(other.Problem), true
		}
	}
	if path.Odd() && found != nil && x.readsOtherwise(found) {
		return x.ambiguous(route.ProblemSecondReading), true
	}
	x.note("path", "matches ", x.rule.template)
	if x.cond = found; x.cond == nil {
		x.note("method", x.request.method, " is covered by no condition of ", x.rule.template)
		return x.conclude(ReasonMethodNotCovered), true
	}
	x.note("condition", "resource ", x.cond.resource, ", mode ", string(x.cond.mode))
	switch {
	case x.cond.mode == config.ModeOff:
		return x.conclude(ReasonOff), true
	case x.cond.public:
		return x.conclude(ReasonPublic), true
	case x.cond.deny:
		return x.conclude(ReasonDenied), true
	}
	return nil, false
}

func (x *Exchange) ambiguous(p route.Problem) *Step {
	x.problem = p
	x.unfit = pathMisuse(x.request.path) != ""
	x.note("path", "ambiguous: ", string(p))
	return x.conclude(ReasonAmbiguousPath)
}

func pathProblem(err error) route.Problem {
	if p, ok := err.(*route.PathError); ok { //nolint:errorlint // ParsePath returns it bare
		return p.Problem
	}
	return route.ProblemForm
}

// verify looks for the token in the cache, and asks the AS for what is not there.
func (x *Exchange) verify(now time.Time) *Step {
	w, m := x.gate.worker, x.memory
	if e := w.lookUp(m, x.site, x.request.token, now); e != nil {
		if e.told.asks() && !e.whole {
			x.note("cache", "has the token, but not whose it is, and somebody's are revoked: the AS is asked for that")
			return x.introspect(e, now)
		}
		reason := x.weigh(e.token, e.told, now)
		// An RPT may have been given more rights since (UMA Grant section 3.3.5,
		// "upgraded"): a lack of them is believed only while it is fresh.
		if reason != ReasonNotPermitted || since(e.fetched, now) < refreshAfter || x.later(PurposeIntrospect, now) {
			x.cache = CacheHit
			m.stats.CacheHits++
			return x.settle(reason, now)
		}
		x.note("cache", "has the token, but not what is needed: the AS is asked again")
	}
	// What the cache has was a token once; only what it has not is looked at.
	if !uma.IsToken(x.request.token) {
		return x.conclude(ReasonInvalidCredentials)
	}
	if m.revoked.namesToken(x.request.token, now.Unix()) {
		return x.settle(ReasonRevoked, now) // whatever the AS would say
	}
	return x.introspect(nil, now)
}

// introspect asks the AS about the token, or, where it has been asked with a
// token_type_hint, for the rest of what it can say.
func (x *Exchange) introspect(about *entry, now time.Time) *Step {
	w, m := x.gate.worker, x.memory
	m.stats.CacheMisses++
	if c := m.flights[x.request.token]; c != nil && !c.overdue(now) {
		if !x.mayWait(c) {
			return x.conclude(ReasonTooManyWaiting)
		}
		x.wait(c)
		x.cache = CacheShared
		m.stats.CallsShared++
		x.step = Step{Kind: KindCall, Call: &Call{ID: c.id, Purpose: PurposeIntrospect, Shared: true}}
		return &x.step
	}
	switch {
	case x.later(PurposeIntrospect, now):
		return x.conclude(ReasonASBusy)
	case m.inFlight >= x.site.limits.CallsInFlight:
		return x.conclude(ReasonTooManyCalls)
	case !x.mayWait(nil):
		return x.conclude(ReasonTooManyWaiting)
	}
	x.cache = CacheMiss
	form := appendForm(nil, "token", x.request.token)
	if x.site.hint != "" && about == nil {
		form = appendForm(form, "token_type_hint", x.site.hint)
	}
	if x.site.clientID != "" {
		form = appendForm(form, "client_id", x.site.clientID)
	}
	step := w.send(x, PurposeIntrospect, &x.site.introspect, form, now)
	x.call.about = about
	m.flights[x.call.token] = x.call
	return step
}

// settle ends an exchange whose token has been judged.
func (x *Exchange) settle(reason Reason, now time.Time) *Step {
	switch {
	case reason != ReasonPermitted:
		return x.refuse(reason, now)
	case x.cond.anyToken:
		return x.conclude(ReasonAuthenticated)
	}
	return x.conclude(reason)
}

// refuse denies a request that has no token or one that does not do, with a
// ticket where tickets are used.
func (x *Exchange) refuse(reason Reason, now time.Time) *Step {
	switch {
	case x.site.oauth || x.cond.anyToken || x.cond.mode == config.ModeMonitor:
		return x.conclude(reason)
	case x.site.unknownAS:
		return x.conclude(ReasonNoTicket)
	case x.cond.ticket == nil || x.resourceID == "":
		x.note("ticket", "resource ", x.cond.resource, " is not registered at the AS")
		return x.conclude(ReasonNotRegistered)
	case x.later(PurposeTicket, now):
		return x.conclude(ReasonNoTicket)
	case x.memory.inFlight >= x.site.limits.CallsInFlight:
		return x.conclude(ReasonTooManyCalls)
	case !x.mayWait(nil):
		return x.conclude(ReasonTooManyWaiting)
	case !x.memory.tickets.take(now, x.site.limits):
		return x.conclude(ReasonTooManyTickets)
	}
	x.reason = reason
	return x.gate.worker.send(x, PurposeTicket, &x.site.permission, x.ticket(), now)
}

// note tells the trace, if there is one; only then are the parts joined.
func (x *Exchange) note(label string, parts ...string) {
	if x.trace != nil {
		x.trace(label, strings.Join(parts, ""))
	}
}
