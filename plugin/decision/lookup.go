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

// instanceCall is a lookup of an instance, or a notification about one, whose answer
// says the same. Requests for the instance wait for either.
type instanceCall struct {
	call
	key          string
	notification *notification // nil for a lookup

	newest bool   // nothing newer has been asked or notified about the instance
	id     string // the result, when reason is ReasonPermitted
	reason Reason
}

// resolve finds the registration of the instance that a request is about, and returns
// nil when the request can go on with it, or without any.
func (x *Exchange) resolve(now time.Time) *Step {
	m, f := x.state, x.site.resolver
	if x.site.unknownAS || x.request.credentials == uma.CredentialNone && x.cond.mode == config.ModeMonitor {
		return nil // whichever it is, it changes nothing
	}
	var buffer [maxInstanceKey]byte
	key, ok := x.cond.instance.appendKey(buffer[:0], x.path)
	if !ok {
		x.note("instance", "a value is empty or longer than an instance can have")
		return x.finish(ReasonResourceUnknown)
	}
	e := m.instances.known[string(key)]
	if e != nil && e.fresh(now) {
		e.touch()
		m.stats.InstanceHits++
		return x.use(e.id)
	}
	m.stats.InstanceMisses++
	c, waiting := m.lookups[string(key)], 0
	if c != nil && c.overdue(now) {
		c = nil
	}
	if c != nil {
		waiting = c.waiting.n
	}
	full, usable := !x.mayWait(waiting), e.usable(now, f)
	switch {
	case c != nil && !full:
		x.request.token = strings.Clone(x.request.token)
		return x.join(&c.call)
	case !full && len(m.lookups) < f.inFlight && (usable || m.lookupRate.take(now, f.rate)):
	case usable:
		m.stats.InstanceStale++
		return x.use(e.id)
	case full:
		return x.finish(ReasonTooManyWaiting)
	default:
		return x.finish(ReasonTooManyLookups)
	}
	x.request.token = strings.Clone(x.request.token)
	body := x.cond.instance.request(x.site, x.cond.instance.values(x.path), nil)
	c = newInstanceCall(string(key), nil)
	step := x.send(&c.call, PurposeLookup, &f.lookup, body, now)
	m.join(c)
	return step
}

func newInstanceCall(key string, n *notification) *instanceCall {
	c := &instanceCall{key: key, notification: n}
	c.instance = c
	return c
}

// join makes a call the one that requests for its instance wait for.
func (m *siteState) join(c *instanceCall) {
	if m.lookups == nil {
		m.lookups = make(map[string]*instanceCall)
	}
	m.lookups[c.key] = c
}

// use goes on with an instance, whose id is empty when it is not registered.
func (x *Exchange) use(id string) *Step {
	if id == "" {
		return x.finish(ReasonResourceUnknown)
	}
	x.identify(id)
	return nil
}

func (c *instanceCall) resume(x *Exchange, now time.Time) *Step {
	if c.reason != ReasonPermitted {
		return x.finish(c.reason)
	}
	x.identify(c.id)
	return x.proceed(now)
}

func (c *instanceCall) read(w *Worker, r Response, now time.Time) {
	if c.state.lookups[c.key] == c {
		delete(c.state.lookups, c.key)
		c.newest = true
	}
	if c.notification != nil {
		c.readNotified(w, r, now)
	} else {
		c.readLookup(w, r, now)
	}
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

func (c *instanceCall) readLookup(w *Worker, r Response, now time.Time) {
	outcome := classify(r, 200)
	known, f := &c.state.instances, c.site.resolver
	switch {
	case outcome == CallOK:
		if c.id = resourceID(r.Body); c.id == "" {
			outcome = CallBadAnswer
			break
		}
		c.reason = ReasonPermitted
		if c.newest {
			known.keep(c.key, c.id, now, now.Add(f.ttl), f)
		}
	case r.Status == 404:
		outcome, c.reason = CallOK, ReasonResourceUnknown
		if c.newest {
			known.keep(c.key, "", now, now.Add(f.negativeTTL), f)
		}
	}
	w.count(&c.call, outcome, r.Status)
	if outcome != CallOK {
		c.failed(outcome, r.Status, now)
	}
}

// failed makes what was known before the result, if the site allows.
func (c *instanceCall) failed(o CallOutcome, status int, now time.Time) {
	c.reason = ReasonLookupFailed
	switch {
	case status == 429:
		c.reason = ReasonTooManyLookups
	case o == CallUnreachable || o == CallRefused || o == CallBusy:
		c.reason = ReasonControlPlaneUnreachable
	}
	if e := c.state.instances.known[c.key]; e.usable(now, c.site.resolver) {
		e.until = at(now.Add(retryLookup))
		c.id, c.reason = e.id, ReasonPermitted
		c.state.stats.InstanceStale++
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
