package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/scope"
	"github.com/umagate/umagate/plugin/uma"
)

const (
	// askAgainAfter is how long the owner is not asked once more for what the AS has asked
	// the owner for, or has refused to.
	askAgainAfter = 10 * time.Minute
	// refusedFor is how long that is where the owner has said no, and the AS cannot be asked
	// for its policies alone.
	refusedFor = time.Minute
	// maxOwnerRequests bounds what a worker remembers of that, for each site. The oldest
	// is forgotten first.
	maxOwnerRequests = 1000
)

// ownerRequest is that the owner of a resource is asked for something, for one party.
type ownerRequest struct {
	again  instant // when the AS may be asked for it again
	reason Reason  // of the no until then
	ticket string  // that the AS is to be asked again with; empty for a new one
}

// ownerRequests are those of a site, by party and what is asked for.
type ownerRequests struct {
	requests map[string]ownerRequest
	order    []string // of those, the oldest first; some may be forgotten
}

func (o *ownerRequests) note(party string, r ownerRequest) {
	if o.requests == nil {
		o.requests = make(map[string]ownerRequest)
	}
	if _, known := o.requests[party]; !known {
		if len(o.order) >= maxOwnerRequests {
			delete(o.requests, o.order[0])
			o.order = append(o.order[:0], o.order[1:]...)
		}
		o.order = append(o.order, party)
	}
	o.requests[party] = r
}

// answered keeps the time before which the owner is not asked again, and no request waits.
func (o *ownerRequests) answered(party string) {
	if r, known := o.requests[party]; known {
		r.reason = ReasonNotPermitted
		o.requests[party] = r
	}
}

func (o *ownerRequests) forget(party string) {
	if r, known := o.requests[party]; known { // its place stays, so that none is there twice
		r.again, r.ticket, r.reason = 0, "", ReasonInternal
		o.requests[party] = r
	}
}

// pending returns what is remembered, if the AS is not to be asked before its time.
func (o *ownerRequests) pending(party string, now time.Time) (r ownerRequest, waits bool) {
	r = o.requests[party]
	return r, r.again != 0 && before(now, r.again) && since(r.again, now) >= -2*askAgainAfter
}

// seconds is how long it is until an instant, rounded up, and not negative.
func seconds(until instant, now time.Time) int64 {
	return max(0, int64((time.Duration(until-at(now))+time.Second-1)/time.Second))
}

// partyOf names who asks and for what: the same person and client with another token is the
// same party.
func (e *evaluation) partyOf(c *introspection, whose *uma.Token) string {
	who := c.token
	if whose.Subject != "" {
		who = whose.Subject + "\x00" + whose.ClientID
	}
	return who + e.key[len(c.token):]
}

// askOwner goes on with asking the owner for what the AS does not permit, where the site
// says so and the owner has not been asked a while ago.
func (e *evaluation) askOwner(c *introspection, now time.Time) {
	if !c.site.evaluator.askOwner || e.condition == nil || e.condition.mode == config.ModeMonitor || e.condition.need.Negates() {
		return
	}
	whose := c.verified()
	if whose == nil || c.site.checkClaims(whose, now.Unix()) != ReasonPermitted || c.state.revoked.names(c.token, whose, now.Unix()) != notRevoked || !c.serves(whose, c.site.payloadIsWhole()) {
		return // what the filter refuses anyway bothers nobody
	}
	e.party = e.partyOf(c, whose)
	switch asked, waits := c.state.owners.pending(e.party, now); {
	case waits:
		e.denied = asked.reason
	case c.state.tickets.take(now, c.site.limits):
		e.denied, e.step = ReasonNotPermitted, stepTicket
	}
}

// permitted notes that the AS permits what is asked for. If it does not any more before the
// owner may be asked again, nobody is asked.
func (e *evaluation) permitted(c *introspection) {
	if !c.site.evaluator.askOwner || e.condition == nil {
		return
	}
	if whose := c.verified(); whose != nil {
		c.state.owners.answered(e.partyOf(c, whose))
	}
}

// suffices reports whether a token has what the request needs that is evaluated.
func (e *evaluation) suffices(t *uma.Token) bool {
	if e.condition == nil {
		return true
	}
	var set scope.Set
	for i := range t.Permissions {
		if p := &t.Permissions[i]; p.ResourceID == e.asked[0].ResourceID {
			if e.condition.anyPermission {
				return true
			}
			for _, s := range p.Scopes {
				set = e.condition.need.Add(set, s)
			}
		}
	}
	return set != 0 && e.condition.need.Satisfied(set)
}
