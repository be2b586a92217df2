package decision

import (
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

const (
	// refreshAfter is how old a cached answer must be before it is asked for
	// again instead of denying. It bounds what one token can make the AS do.
	refreshAfter = time.Second
	// overdueAfter is how long past its time-out a call is waited for. The host
	// answers every call, so this is for a host that does not.
	overdueAfter = 5 * time.Second
)

// Worker is what one Envoy worker remembers. It survives configuration pushes,
// and one goroutine owns it.
type Worker struct {
	active   lru
	inactive lru
	memories map[string]*memory // by site.key
	calls    map[uint64]*call
	lastID   uint64
	unknown  SiteStats // of requests that belong to no site
	reports  []*report // to be sent again
	policy   *Policy   // the newest

	ready  []*call // answered, and not all who waited have been taken on
	bound  bool    // budget counts, see Bound
	budget int

	// OnFailure, when set, is told of every call that did not end well. status is
	// 0 when there was no answer.
	OnFailure func(site string, p Purpose, o CallOutcome, status int)
	// OnLost, when set, is told of an instance whose creation or removal the control
	// plane has not heard of, or refused, for good.
	OnLost func(site string, p Purpose, instance string)
	// OnFull, when set, is told of every request that finds no room to wait.
	OnFull func(site string)
}

// NewWorker makes a worker that remembers nothing.
func NewWorker() *Worker {
	w := &Worker{memories: make(map[string]*memory), calls: make(map[uint64]*call)}
	w.active.init()
	w.inactive.init()
	return w
}

// memory is what is remembered for one site, as long as its AS is the same.
type memory struct {
	_        incomparable
	site     string
	tokens   map[string]*entry
	flights  map[string]*call // introspections under way, by token
	inFlight int
	waiting  waitingRoom
	tickets  bucket
	quiet    [PurposeTicket + 1]int64 // until when the AS wants to be left alone, by purpose
	stats    SiteStats
	revoked  *revoked // nil for nothing

	instances  instances
	removals   string           // that were told
	lookups    map[string]*call // under way, by instance
	lookupRate bucket
}

// call is one call under way and the requests that wait for it.
type call struct {
	_       incomparable
	id      uint64
	purpose Purpose
	token   string // of an introspection
	key     string // of an instance
	report  *report
	newest  bool   // nothing newer has been asked or told of its instance
	found   string // what a lookup has brought, and whether a request goes on with it
	verdict Reason
	about   *entry // what is known of the token already, of an introspection without hint
	more    *call  // that introspection, of one with hint, for all who waited for it
	memory  *memory
	site    *site
	waiting queue
	began   instant
	timeout time.Duration

	answer        answer
	comparedUnder *Policy // when the token was compared with what is revoked
	told          told    // and the result
}

// whole reports whether the answer of an introspection is all that the AS has to say. A
// token_type_hint has some servers leave out whose the token is.
func (c *call) whole() bool { return c.about != nil || c.site.hint == "" }

func (c *call) overdue(now time.Time) bool {
	return since(c.began, now) > c.timeout+overdueAfter
}

// Gate decides requests under one policy. The filter has one for each
// configuration it was given.
type Gate struct {
	worker   *Worker
	policy   *Policy
	memories []*memory // by index of the policy's sites

	lastAuthority string
	lastForwarded string
	lastSite      int
}

// Gate begins to decide under a policy. What is remembered of sites that the
// policy has not, or that have another AS now, is dropped; requests that began
// under an older Gate end under it.
func (w *Worker) Gate(p *Policy) *Gate {
	w.policy = p
	w.active.bound(p.cache.Entries, p.cache.Bytes)
	w.inactive.bound(p.cache.NegativeEntries, p.cache.NegativeBytes)
	g := &Gate{worker: w, policy: p, memories: make([]*memory, len(p.sites))}
	kept := make(map[string]*memory, len(p.sites))
	for i, s := range p.sites {
		m := w.memories[s.key]
		if m == nil {
			m = &memory{site: s.name, tokens: make(map[string]*entry), flights: make(map[string]*call)}
		}
		g.memories[i], kept[s.key] = m, m
	}
	for key, m := range w.memories {
		if kept[key] == nil {
			for _, e := range m.tokens {
				e.owner.remove(e)
			}
			clear(m.tokens)
			w.revoke(p, m) // requests may still wait in it
		}
	}
	for _, m := range kept {
		w.revoke(p, m)
		m.remove(p.removals[m.site])
	}
	w.memories = kept
	return g
}

// site returns the index of the site that an authority belongs to, or a negative
// number and what becomes of the request; and how the authority is forwarded, empty
// when as it came. Most requests are for the host of the one before.
func (g *Gate) site(authority string) (index int, forwarded string, reason Reason) {
	if authority == g.lastAuthority && authority != "" {
		return g.lastSite, g.lastForwarded, ReasonPermitted
	}
	forwarded, host, ok := route.CanonicalAuthority(authority)
	if !ok {
		return -1, "", ReasonInvalidHost
	}
	if forwarded == authority {
		forwarded = ""
	}
	if index, ok = g.policy.hosts.Find(host); !ok {
		if g.policy.allowUnknownHosts {
			return -1, forwarded, ReasonUnknownHostAllowed
		}
		return -1, "", ReasonUnknownHost
	}
	g.lastAuthority, g.lastForwarded, g.lastSite = strings.Clone(authority), forwarded, index
	return index, forwarded, ReasonPermitted
}

// Policy returns the gate's policy.
func (g *Gate) Policy() *Policy { return g.policy }

// Start begins a request. The exchange must be given to [Worker.Abandon] when
// the request ends while it waits for a call.
func (g *Gate) Start(r *Request, now time.Time) (*Exchange, Step) {
	x := &Exchange{gate: g, headers: r.Headers}
	x.request.screen(r)
	step := x.begin(now)
	x.headers = nil
	return x, *step
}

// send prepares a call for an exchange, which then waits for it.
func (w *Worker) send(x *Exchange, purpose Purpose, e *endpoint, body []byte, now time.Time) *Step {
	c := w.newCall(x.memory, x.site, purpose, e.timeout, now)
	if purpose == PurposeIntrospect {
		// The host's text is part of all the headers of the request; a cached token
		// must not keep them.
		c.token = strings.Clone(x.request.token)
	}
	x.wait(c)
	x.step = Step{Kind: KindCall, Call: &Call{
		ID: c.id, Purpose: purpose, Cluster: e.cluster, Headers: e.headers, Body: body, Timeout: e.timeout,
	}}
	return &x.step
}

func (w *Worker) newCall(m *memory, s *site, purpose Purpose, timeout time.Duration, now time.Time) *call {
	w.lastID++
	c := &call{id: w.lastID, purpose: purpose, memory: m, site: s, began: at(now), timeout: timeout}
	w.calls[c.id] = c
	if purpose.toAS() {
		m.inFlight++
	}
	return c
}

// Abandon forgets a request whose stream has gone. Its call goes on: others may
// wait for it, and its answer is worth keeping.
func (w *Worker) Abandon(x *Exchange) {
	if x.call != nil {
		x.leave()
	}
}

// Refused reports that the host could not send a call, and ends the requests
// that wait for it, as far as [Worker.Bound] allows.
func (w *Worker) Refused(id uint64, now time.Time) []Outcome {
	return w.end(id, now, func(c *call) (*uma.Token, Reason, string) {
		switch {
		case c.purpose.toAS():
			w.ended(c, CallRefused, 0)
		case c.report != nil:
			w.readReport(c, Response{}, now)
		default:
			w.readLookup(c, Response{}, now)
		}
		return nil, ReasonASUnreachable, ""
	})
}

// Reply reports how a call ended, and takes the requests that wait for it to
// their next steps, as far as [Worker.Bound] allows. A call that is not known, or
// was answered before, changes nothing.
func (w *Worker) Reply(id uint64, r Response, now time.Time) []Outcome {
	return w.end(id, now, func(c *call) (*uma.Token, Reason, string) {
		c.memory.stats.observe(c.purpose, since(c.began, now))
		c.heed(&r, now.Unix())
		switch c.purpose {
		case PurposeTicket:
			return w.readTicket(c, r)
		case PurposeLookup:
			w.readLookup(c, r, now)
		case PurposeRegister, PurposeRemove:
			w.readReport(c, r, now)
		case PurposeIntrospect, Purposes:
			return w.readIntrospection(c, r, now)
		}
		return nil, ReasonInternal, ""
	})
}

// Sweep ends the requests whose call is long overdue. The host calls it from
// time to time.
func (w *Worker) Sweep(now time.Time) []Outcome {
	var ended []Outcome
	for id, c := range w.calls {
		if c.overdue(now) {
			ended = append(ended, w.Reply(id, Response{}, now)...)
		}
	}
	return ended
}

// end takes a call out, reads its answer and moves the waiting requests on.
func (w *Worker) end(id uint64, now time.Time, read func(*call) (*uma.Token, Reason, string)) []Outcome {
	c := w.calls[id]
	if c == nil {
		return nil
	}
	delete(w.calls, id)
	if c.purpose.toAS() {
		c.memory.inFlight--
	}
	if c.key != "" && c.memory.lookups[c.key] == c {
		delete(c.memory.lookups, c.key)
		c.newest = true
	}
	if c.memory.flights[c.token] == c {
		delete(c.memory.flights, c.token)
	}
	c.answer.token, c.answer.failure, c.answer.ticket = read(c)
	if c.waiting.n > 0 {
		w.ready = append(w.ready, c)
	}
	return w.Next(now)
}

// resume takes an exchange on with what a call brought.
func (x *Exchange) resume(c *call, told told, now time.Time) *Step {
	switch a := &c.answer; {
	case !c.purpose.toAS():
		return x.answered(c, now)
	case c.purpose == PurposeTicket && a.ticket != "":
		return x.concludeWith(x.reason, x.reason, a.ticket)
	case c.purpose == PurposeTicket:
		x.later(c.purpose, now)
		return x.conclude(ReasonNoTicket)
	case a.token == nil:
		x.later(c.purpose, now)
		return x.conclude(a.failure)
	case told.asks() && !c.whole():
		step := x.introspect(&entry{token: a.token, fetched: at(now)}, now)
		if x.call != nil {
			c.more = x.call
		}
		return step
	default:
		return x.settle(x.weigh(a.token, told, now), now)
	}
}

// ended counts how a call ended.
func (w *Worker) ended(c *call, o CallOutcome, status int) {
	c.memory.stats.Calls[c.purpose][o]++
	if o != CallOK && w.OnFailure != nil {
		w.OnFailure(c.memory.site, c.purpose, o, status)
	}
}

func (w *Worker) readTicket(c *call, r Response) (*uma.Token, Reason, string) {
	outcome := classify(r, 201)
	var ticket string
	if outcome == CallOK {
		var err error
		if ticket, err = uma.ParseTicket(r.Body); err != nil {
			outcome = CallBadAnswer
		}
	}
	w.ended(c, outcome, r.Status)
	return nil, ReasonNoTicket, ticket
}

func (w *Worker) readIntrospection(c *call, r Response, now time.Time) (*uma.Token, Reason, string) {
	outcome := classify(r, 200)
	var token *uma.Token
	if outcome == CallOK {
		var err error
		if token, err = uma.ParseIntrospection(r.Body); err == nil && token.Active && c.site.fromToken {
			if err = uma.AddJWTClaims(token, c.token); err == uma.ErrNotJWT { //nolint:errorlint // returned bare
				err = nil // an opaque token: the answer is all there is
			}
		}
		if err == nil && token.Active {
			uma.Restrict(token, c.token)
		}
		switch {
		case err != nil:
			token, outcome = nil, CallBadAnswer
		case token.Active && c.about != nil:
			token = c.about.token.With(token)
		}
	}
	w.ended(c, outcome, r.Status)
	if token != nil {
		w.remember(c, token, now)
	}
	return token, outcome.failure(), ""
}

// classify reads the status of an answer.
func classify(r Response, success int) CallOutcome {
	switch {
	case r.Status == 429, r.Status == 503 && r.RetryAfter != "":
		return CallBusy
	case r.Status == 0, r.Status >= 502 && r.Status <= 504:
		// Envoy answers 503 or 504 itself for a connection that failed or a
		// time-out; a gateway in front of the AS says 502.
		return CallUnreachable
	case r.Status == success || r.Status == 200:
		if r.TooLarge {
			return CallBadAnswer
		}
		return CallOK
	case r.Status == 401 || r.Status == 403:
		return CallUnauthorized
	}
	return CallError
}
