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
	CacheStale                  // the AS could not be asked, and the cache had it
)

// String returns the use as the access log names it.
func (c CacheUse) String() string {
	return [...]string{"none", "hit", "shared", "miss", "stale", "", "", ""}[c&7]
}

// Effect is what a decision did.
type Effect uint8

// The effects.
const (
	EffectDeny    Effect = iota
	EffectAllow          // allowed
	EffectMonitor        // would have been denied, and passed because of mode monitor
	EffectEnd            // allowed, and ended since

	// Effects is how many there are.
	Effects
)

// String returns the effect as metrics and the access log name it.
func (e Effect) String() string {
	return [...]string{"deny", "allow", "monitor", "end"}[e&3]
}

// Decision is what is reported of a request once it is decided.
type Decision struct {
	Site      string
	Resource  string
	Condition string // the path template
	Effect    Effect
	Reason    Reason
	Cache     CacheUse
	Problem   route.Problem // of ReasonAmbiguousPath and ReasonMCPUnreadable
	MCP       *MCPMessage   // to an MCP server whose tools are guarded; nil for none
	Status    int           // of a denial, or of another answer of the filter's own
	Subject   string
	ClientID  string
	// Scopes are those that the token has for the resource, with spaces between.
	Scopes string
	// Failed is the call to the AS that the request waited for and that failed, if its
	// outcome is not CallOK.
	Failed Ended
}

// Exchange is one request. Its worker owns it.
type Exchange struct {
	// Owner is for the host: what the request is to it. The core does not look
	// at it.
	Owner any

	evaluator *Evaluator
	site      *site
	state     *siteState
	shared    *sharing // where several sites have the host
	rule      *rule
	cond      *condition

	request screened
	// authority replaces the request's, when it is not empty.
	authority string
	path      route.Path
	// resourceID is the condition's, or the instance's, see identify.
	resourceID string
	origin     string // that may read the answer, see cors
	taken      *Taken
	token      *uma.Token
	held       []string // scopes the token has for the resource
	pause      int64    // seconds that the AS wants to be left alone
	interval   int64    // the same, for what the owner is asked
	call       *call    // what it waits for
	problem    route.Problem
	reason     Reason // why a ticket is asked for
	cache      CacheUse
	kept       bool // see keep
	unfit      bool // it is refused whatever the mode
	asCame     bool // its path is forwarded in another form than the one judged
	foreign    bool // its token is of no AS that judges here, and no AS is shown it

	before, behind *Exchange // in the call's queue
	live           *live     // nil unless the stream ends with its token
	headers        []Header  // all of them, while the request begins
	weight         int       // what they take; 0 is not known yet

	step     Step      // the last one
	identity [4]Header // room for Allow.Set
	decided  Decision
	failed   Ended // see Decision
	trace    func(label, text string)
}

// Decision returns what was decided, once the last step was Allow or Deny.
func (x *Exchange) Decision() Decision { return x.decided }

// Site returns the name of the site that the request is one of; empty where none is found.
func (x *Exchange) Site() string {
	if x.site == nil {
		return ""
	}
	return x.site.name
}

// begin takes an exchange to its first step.
func (x *Exchange) begin(now time.Time) *Step {
	if step, done := x.locate(); done {
		return step
	}
	return x.judge(now)
}

// judge goes on once the condition is known.
func (x *Exchange) judge(now time.Time) *Step {
	if x.request.credentials == uma.CredentialMalformed {
		return x.finish(ReasonInvalidCredentials)
	}
	if x.request.foreign {
		x.note("token", "a cookie has it, and the request is not of a page of this site or of a listed origin")
		return x.finish(ReasonForeignPage)
	}
	if x.cond.pushed != nil {
		claims, ok := x.push()
		if !ok {
			return x.finish(ReasonNotPushed)
		}
		x.resourceID = "\x00" + claims
	}
	if x.cond.instance == nil {
		x.identify(x.cond.resourceID)
	} else if step := x.resolve(now); step != nil {
		return step
	}
	return x.proceed(now)
}

// proceed goes on once the resource is known.
func (x *Exchange) proceed(now time.Time) *Step {
	switch x.request.credentials {
	case uma.CredentialMalformed:
		return x.finish(ReasonInvalidCredentials)
	case uma.CredentialNone:
		x.note("token", "the request has no bearer token")
		return x.refuse(ReasonNoToken, now)
	case uma.CredentialBearer:
	}
	if x.foreign {
		return x.refuse(ReasonWrongIssuer, now)
	}
	if x.site.unknownAS {
		x.note("token", "the authorization server is not known yet")
		return x.finish(ReasonASUnreachable)
	}
	return x.verify(now)
}

// locate finds the site and the condition of the request. done tells that no
// token is needed to decide.
func (x *Exchange) locate() (step *Step, done bool) {
	index, forwarded, passes := x.evaluator.site(x.request.authority)
	x.authority = forwarded
	sites := len(x.evaluator.policy.sites)
	switch {
	case index < 0:
		x.note("host", x.request.authority, ": ", passes.String())
		if !passes.Allows() {
			return x.finish(passes), true
		}
	case index < sites:
		x.enter(index)
	default:
		x.shared = x.evaluator.policy.shared[index-sites]
		if x.shared.strictest == config.ModeOff { // whoever's it is
			index = x.shared.sites[0]
			x.shared = nil
			x.enter(index)
		}
	}
	if x.site != nil && x.site.mode == config.ModeOff {
		passes = ReasonOff
	}
	if passes == ReasonPermitted { // a log is not to have the token of what is refused, either
		x.gather(x.placed())
	}
	// What protects the connection comes before any mode.
	if reason := x.request.misuse(); reason != ReasonPermitted {
		x.unfit = true
		return x.finish(reason), true
	}
	if passes != ReasonPermitted {
		if problem := pathMisuse(x.request.path); problem != "" {
			return x.ambiguous(problem), true
		}
		return x.finish(passes), true
	}
	if x.shared != nil {
		if step, done := x.locateShared(); done {
			return step, true
		}
	} else {
		x.findOrigin()
		if step := x.parsePath(x.site.normalize); step != nil {
			return step, true
		}
	}
	return x.locatePath()
}

// parsePath judges the path by itself, and returns nil where it is good.
func (x *Exchange) parsePath(normalize bool) *Step {
	path, err := route.ParsePath(x.request.path, x.request.authority, normalize)
	if err != nil {
		return x.ambiguous(pathProblem(err))
	}
	x.path = path
	if path.Rewritten {
		// As it came in, the path may be one that a condition guards. Only where none is
		// enforced does it go on like that: monitor changes nothing.
		x.asCame = x.strictest() != config.ModeEnforce && pathMisuse(x.request.path) == ""
		x.note("path", "rewritten to ", path.Target)
	}
	return nil
}

func (x *Exchange) locatePath() (step *Step, done bool) {
	path := x.path
	if !x.site.keepOverrides && namesOtherMethod(path.Target, x.request.method) {
		x.note("method", "the query names another one than ", x.request.method)
		return x.finish(ReasonMethodOverride), true
	}
	if x.site.documents != nil && x.findDocument() {
		return x.answerDocument(), true
	}
	if x.request.method == "OPTIONS" && x.request.origins > 0 && x.request.preflight {
		switch {
		case x.site.allowPreflight:
			return x.finish(ReasonPreflight), true
		case x.site.cors != nil:
			return x.preflight(), true
		}
	}
	index, others := x.site.paths.Match(path, nil)
	switch {
	case index < 0 && (x.site.allowUnmatched || x.site.unmatched != nil) && path.Odd() && x.readsOtherwise(nil):
		return x.ambiguous(route.ProblemSecondReading), true
	case index < 0 && x.site.allowUnmatched:
		x.note("path", "no condition names it; unmatched: allow")
		return x.finish(ReasonUnmatchedAllowed), true
	case index < 0 && x.site.unmatched != nil:
		x.note("path", "no condition names it; unmatched: authenticated")
		x.cond = x.site.unmatched
		return nil, false
	case index < 0:
		x.note("path", "no condition names it; unmatched: deny")
		return x.finish(ReasonUnmatched), true
	}
	x.rule = &x.site.rules[index]
	found := x.rule.find(x.request.method)
	for _, other := range others {
		if r := &x.site.rules[other.Value]; r.find(x.request.method) != found || r.mcp != x.rule.mcp {
			x.note("path", "matches ", x.rule.template, " and, in another reading, ", r.template)
			return x.ambiguous(other.Problem), true
		}
	}
	if path.Odd() && found != nil && x.readsOtherwise(found) {
		return x.ambiguous(route.ProblemSecondReading), true
	}
	x.note("path", "matches ", x.rule.template)
	if x.rule.mcp != nil {
		return x.locateMessage(found)
	}
	return x.settle(found)
}

// settle takes the condition that was found, nil for none. done tells that no token is
// needed to decide.
func (x *Exchange) settle(found *condition) (step *Step, done bool) {
	if x.cond = found; x.cond == nil {
		x.note("method", x.request.method, " is covered by no condition of ", x.rule.template)
		return x.finish(ReasonMethodNotCovered), true
	}
	x.note("condition", "resource ", x.cond.resource, ", mode ", string(x.cond.mode))
	switch {
	case x.cond.mode == config.ModeOff:
		return x.finish(ReasonOff), true
	case x.cond.public:
		return x.finish(ReasonPublic), true
	case x.cond.deny:
		return x.finish(ReasonDenied), true
	}
	return nil, false
}

func (x *Exchange) ambiguous(p route.Problem) *Step {
	x.problem = p
	x.unfit = pathMisuse(x.request.path) != ""
	x.note("path", "ambiguous: ", string(p))
	return x.finish(ReasonAmbiguousPath)
}

func pathProblem(err error) route.Problem {
	if p, ok := err.(*route.PathError); ok { //nolint:errorlint // ParsePath returns it bare
		return p.Problem
	}
	return route.ProblemForm
}

// verify looks for the token in the cache, and asks the AS for what is not there.
func (x *Exchange) verify(now time.Time) *Step {
	w, m := x.evaluator.worker, x.state
	switch e, f := w.lookUp(m, x.site, x.request.token, now); f {
	case tooOld:
	case stale:
		if m.outage.lasts(w, now) {
			if step := x.useStale(e, now); step != nil {
				return step
			}
		}
	case fresh:
		if e.reason != ReasonInternal { // a no, whose key is no token
			return x.finish(ReasonInvalidCredentials)
		}
		if e.status.needsMore() && !e.complete {
			x.note("cache", "has the token, but not whose it is, and somebody's are revoked: the AS is asked for that")
			return x.introspect(e, now)
		}
		if !e.complete && x.unsaid(e.token) {
			x.note("cache", "has the token, but not all claims that count: the AS is asked for those")
			return x.introspect(e, now)
		}
		reason := x.checkRevoked(e.token, e.status, now)
		if reason != ReasonPermitted && x.evaluates(reason, e.evaluated) {
			return x.evaluate(e.active(), now)
		}
		// An RPT may have been given more rights since (UMA Grant section 3.3.5,
		// "upgraded"): a lack of them is believed only while it is fresh.
		if reason != ReasonNotPermitted || since(e.fetched, now) < refreshAfter || x.retryLater(PurposeIntrospect, now) {
			x.cache = CacheHit
			m.stats.CacheHits++
			if reason == ReasonPermitted {
				w.refreshAhead(e, x.site, now)
			}
			return x.decide(reason, now)
		}
		x.note("cache", "has the token, but not what is needed: the AS is asked again")
	}
	// What the cache has was a token once; only what it has not is looked at.
	if !uma.IsToken(x.request.token) {
		return x.finish(ReasonInvalidCredentials)
	}
	if m.revoked.namesToken(x.request.token, now.Unix()) {
		return x.decide(ReasonRevoked, now) // whatever the AS would say
	}
	if x.evaluatesFirst() {
		return x.evaluate(nil, now)
	}
	return x.introspect(nil, now)
}

// decide ends an exchange whose token has been judged.
func (x *Exchange) decide(reason Reason, now time.Time) *Step {
	token := x.request.token
	switch {
	case reason == ReasonInsufficientAuthentication, reason == ReasonInsufficientClaims: // which no ticket mends
		return x.finish(reason)
	case reason != ReasonPermitted:
		return x.refuse(reason, now)
	case x.lists():
		if step := x.survey(now); step != nil {
			return step
		}
	}
	switch {
	case x.live != nil: // it goes on
	case x.site.signer != nil:
		if step := x.sign(now); step != nil {
			return step
		}
	}
	if x.site.endsStreams && x.live == nil && x.enforced() && !x.lists() && !x.watch(token, now) {
		return x.finish(ReasonTooManyStreams)
	}
	if x.cond.anyToken {
		return x.finish(ReasonAuthenticated)
	}
	return x.finish(reason)
}

// note tells the trace, if there is one; only then are the parts joined.
func (x *Exchange) note(label string, parts ...string) {
	if x.trace != nil {
		x.trace(label, strings.Join(parts, ""))
	}
}
