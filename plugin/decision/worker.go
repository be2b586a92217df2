package decision

import (
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/route"
)

// refreshAfter is how old a cached answer must be before it is asked for
// again instead of denying. It bounds what one token can make the AS do.
const refreshAfter = time.Second

// Worker is what one Envoy worker remembers. It survives configuration pushes,
// and one goroutine owns it.
type Worker struct {
	active    tokenCache
	inactive  tokenCache
	states    map[string]*siteState // by site.key
	calls     map[uint64]*call
	lastID    uint64
	unknown   SiteStats       // of requests that belong to no site
	outbox    []*notification // to be sent, or sent again
	refreshes []refresh       // to be sent
	followUps []*Call         // of evaluations that no request waits for, to be sent
	policy    *Policy         // the newest
	rounds    rounds

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
	// OnStale, when set, is told once for each site and outage of its AS: when the
	// first request goes on with what was known of its token, with 0, and when the AS
	// answers again, with how many have.
	OnStale func(site string, served uint64)
}

// NewWorker makes a worker that remembers nothing.
func NewWorker() *Worker {
	return &Worker{states: make(map[string]*siteState), calls: make(map[uint64]*call)}
}

// siteState is what a worker remembers for one site, as long as its AS is the same.
type siteState struct {
	_              incomparable
	site           string
	tokens         map[string]*entry
	introspections map[string]*introspection // under way, by introspection.key
	inFlight       int
	outage         outage
	waiting        waitingRoom
	streams        waitingRoom // see live
	tickets        bucket
	refreshes      bucket
	evaluations    bucket
	tokenBudgets   tokenBudgets // of that, for each token
	owners         ownerRequests
	retryAt        [PurposeEvaluate + 1]int64 // when the AS may be asked again, by purpose
	stats          SiteStats
	revoked        *revoked // nil for nothing
	signing        signingKey

	instances  instances
	removals   string                   // that were applied
	lookups    map[string]*instanceCall // under way, by instance
	lookupRate bucket
}

// Evaluator decides requests under one policy. The filter has one for each
// configuration it was given.
type Evaluator struct {
	// Client returns the address and port of the client whose request begins, or whose body
	// is read. It is asked only where the AS is told of it.
	Client func() string

	worker *Worker
	policy *Policy
	states []*siteState // by index of the policy's sites

	lastAuthority string
	lastForwarded string
	lastSite      int
}

// Evaluator begins to decide under a policy, see [Evaluator.Begin].
func (w *Worker) Evaluator(p *Policy) *Evaluator {
	v := &Evaluator{worker: w, policy: p, states: make([]*siteState, len(p.sites))}
	v.Begin()
	return v
}

// Begin makes v's policy the one that is in force at its worker, for the first time or
// again. What is remembered of sites that the policy has not, or that have another AS now,
// is dropped; requests that began under another Evaluator end under it.
func (v *Evaluator) Begin() {
	w, p := v.worker, v.policy
	w.policy = p
	w.active.bound(p.cache.Entries, p.cache.Bytes)
	w.inactive.bound(p.cache.NegativeEntries, p.cache.NegativeBytes)
	kept := make(map[string]*siteState, len(p.sites))
	for i, s := range p.sites {
		m := w.states[s.key]
		if m == nil {
			m = &siteState{site: s.name, tokens: make(map[string]*entry), introspections: make(map[string]*introspection)}
		}
		v.states[i], kept[s.key] = m, m
	}
	for key, m := range w.states {
		if kept[key] == nil {
			for _, e := range m.tokens {
				e.unlink()
			}
			clear(m.tokens)
			w.revoke(p, m) // requests may still wait in it
		}
	}
	for _, m := range kept {
		w.revoke(p, m)
		m.forgetRemoved(p.removals[m.site])
	}
	w.states = kept
	w.rounds.n++
}

// site returns the index of the site that an authority belongs to, or a negative
// number and what becomes of the request; and how the authority is forwarded, empty
// when as it came. Most requests are for the host of the one before.
func (v *Evaluator) site(authority string) (index int, forwarded string, reason Reason) {
	if authority == v.lastAuthority && authority != "" {
		return v.lastSite, v.lastForwarded, ReasonPermitted
	}
	forwarded, host, ok := route.CanonicalAuthority(authority)
	if !ok {
		return -1, "", ReasonInvalidHost
	}
	if forwarded == authority {
		forwarded = ""
	}
	if index, ok = v.policy.hosts.Find(host); !ok {
		if v.policy.allowUnknownHosts {
			return -1, forwarded, ReasonUnknownHostAllowed
		}
		return -1, "", ReasonUnknownHost
	}
	v.lastAuthority, v.lastForwarded, v.lastSite = strings.Clone(authority), forwarded, index
	return index, forwarded, ReasonPermitted
}

// Policy returns the policy.
func (v *Evaluator) Policy() *Policy { return v.policy }

// Start begins a request. The exchange must be given to [Worker.Abandon] when
// the request ends while it waits for a call, or is [Exchange.Live].
func (v *Evaluator) Start(r *Request, now time.Time) (*Exchange, Step) {
	x := &Exchange{evaluator: v, headers: r.Headers}
	x.request.screen(r)
	step := x.begin(now)
	x.headers = nil
	return x, *step
}

// Read goes on with a request whose body was wanted ([KindRead]). tooLarge says that it is
// longer than [Exchange.MaxBody], and body need not be there then.
func (w *Worker) Read(x *Exchange, body []byte, tooLarge bool, now time.Time) Step {
	if m := x.decided.MCP; m == nil || m.read {
		return Step{}
	}
	return *x.fetch(x.readMessage(body, tooLarge, now), now)
}

// Abandon forgets a request whose stream has gone. Its call goes on: others may
// wait for it, and its answer is worth keeping.
func (w *Worker) Abandon(x *Exchange) {
	if x.live != nil {
		x.unwatch()
	}
	if x.call != nil {
		x.leave()
	}
}
