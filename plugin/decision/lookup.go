package decision

import (
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/internal/strictjson"
	"github.com/umagate/umagate/plugin/uma"
)

// retryLookup is how long an instance that was found once is used without asking
// again, after the control plane did not answer.
const retryLookup = 5 * time.Second

// find finds the registration of the instance that a request is about, and returns
// nil when the request can go on with it, or without any.
func (x *Exchange) find(now time.Time) *Step {
	m, f := x.memory, x.site.finder
	if x.site.unknownAS || x.request.credentials == uma.CredentialNone && x.cond.mode == config.ModeMonitor {
		return nil // whichever it is, it changes nothing
	}
	var buffer [maxInstanceKey]byte
	key, ok := x.cond.instance.appendKey(buffer[:0], x.path)
	if !ok {
		x.note("instance", "a value is empty or longer than an instance can have")
		return x.conclude(ReasonResourceUnknown)
	}
	e := m.instances.known[string(key)]
	if e != nil && e.fresh(now) {
		e.touch()
		m.stats.InstanceHits++
		return x.found(e.id)
	}
	m.stats.InstanceMisses++
	c := m.lookups[string(key)]
	if c != nil && c.overdue(now) {
		c = nil
	}
	full, usable := !x.mayWait(c), e.usable(now, f)
	switch {
	case c != nil && !full:
		x.wait(c)
		x.step = Step{Kind: KindCall, Call: &Call{ID: c.id, Purpose: c.purpose, Shared: true}}
		return &x.step
	case !full && len(m.lookups) < f.inFlight && (usable || m.lookupRate.take(now, f.rate)):
	case usable:
		m.stats.InstanceStale++
		return x.found(e.id)
	case full:
		return x.conclude(ReasonTooManyWaiting)
	default:
		return x.conclude(ReasonTooManyLookups)
	}
	step := x.gate.worker.send(x, PurposeLookup, &f.lookup, x.cond.instance.request(x.site, x.cond.instance.values(x.path), nil), now)
	x.call.key = string(key)
	m.look(x.call)
	return step
}

// look makes a call the one that others who ask for its instance wait for.
func (m *memory) look(c *call) {
	if m.lookups == nil {
		m.lookups = make(map[string]*call)
	}
	m.lookups[c.key] = c
}

// found goes on with an instance, whose id is empty when it is not registered.
func (x *Exchange) found(id string) *Step {
	if id == "" {
		return x.conclude(ReasonResourceUnknown)
	}
	x.resourceID = id
	return nil
}

// answered goes on with what a lookup has brought.
func (x *Exchange) answered(c *call, now time.Time) *Step {
	if c.verdict != ReasonPermitted {
		return x.conclude(c.verdict)
	}
	x.resourceID = c.found
	return x.proceed(now)
}

// request is the body of a call to the control plane.
func (p *instancePath) request(s *site, values []string, owner *string) []byte {
	b := make([]byte, 0, 128)
	b = append(b, `{"site":`...)
	b = gjson.AppendJSONString(b, s.name)
	b = append(b, `,"resource":`...)
	b = gjson.AppendJSONString(b, p.template.name)
	b = append(b, `,"values":[`...)
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(b, v)
	}
	b = append(b, ']')
	if owner != nil {
		b = append(b, `,"owner":`...)
		b = gjson.AppendJSONString(b, *owner)
	}
	return append(b, '}')
}

// readLookup reads the answer to a lookup, for every request that waits for it.
func (w *Worker) readLookup(c *call, r Response, now time.Time) {
	outcome := classify(r, 200)
	m, f := c.memory, c.site.finder
	switch {
	case outcome == CallOK:
		id := resourceID(r.Body)
		if id == "" {
			outcome = CallBadAnswer
			break
		}
		if c.newest {
			m.instances.keep(c.key, id, now, now.Add(f.ttl), f)
		}
		c.found, c.verdict = id, ReasonPermitted
	case r.Status == 404:
		outcome = CallOK
		if c.newest {
			m.instances.keep(c.key, "", now, now.Add(f.negativeTTL), f)
		}
		c.verdict = ReasonResourceUnknown
	}
	w.ended(c, outcome, r.Status)
	if outcome != CallOK {
		m.lookupFailed(c, outcome, r.Status, now)
	}
}

// lookupFailed takes what was known before, if the site allows.
func (m *memory) lookupFailed(c *call, o CallOutcome, status int, now time.Time) {
	c.verdict = ReasonLookupFailed
	switch {
	case status == 429:
		c.verdict = ReasonTooManyLookups
	case o == CallUnreachable || o == CallRefused || o == CallBusy:
		c.verdict = ReasonControlPlaneUnreachable
	}
	if e := m.instances.known[c.key]; e.usable(now, c.site.finder) {
		e.until = at(now.Add(retryLookup))
		c.found, c.verdict = e.id, ReasonPermitted
		m.stats.InstanceStale++
	}
}

// resourceID reads {"resource_id": "…"}; empty is no answer that can be used.
func resourceID(body []byte) string {
	if !strictjson.Valid(body) {
		return ""
	}
	id := gjson.GetBytes(body, "resource_id")
	if id.Type != gjson.String || len(id.Str) > maxResourceID {
		return ""
	}
	return strings.Clone(id.Str)
}
