package decision

import (
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/mcp"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

// listing is a request for a list of which the caller is shown what it may use: what the
// conditions decide of a call of each item, by what is known of the token.
//
// Once the request itself is permitted, the AS is asked for what is not known, where it
// evaluates tokens, in one call for all (survey). Then the request is not let pass: it is sent
// in a call of the filter's own (fetch), whose answer is read as a whole.
type listing struct {
	of     mcp.List
	asked  bool   // see survey
	usable []bool // of the conditions of the path
}

// fetch is the call of one request for a list.
type fetch struct {
	call
	response Response
	shown    []byte      // of its body
	problem  mcp.Problem // without that
}

const (
	// maxSurveyed bounds the permissions that the AS is asked for because of one list. What
	// is beyond is not shown, unless it is known.
	maxSurveyed = 64
	// fetchTimeout is that of a route of Envoy's that says none.
	fetchTimeout = 15 * time.Second
)

// hidesOfLists reports whether lists show only a part: not where nothing is enforced.
func (s *site) hidesOfLists() bool {
	return s.permittedLists && s.strictest == config.ModeEnforce
}

// listing notes that the message, of so many bytes, asks for a list of which only a part is
// shown.
func (x *Exchange) listing(bytes int) {
	if of, ok := mcp.ListOf(x.decided.MCP.Method); ok && x.site.hidesOfLists() {
		x.decided.MCP.list = &listing{of: of}
		x.weight += bytes // which the host keeps
	}
}

// lists reports whether the request is for such a list.
func (x *Exchange) lists() bool { return x.decided.MCP != nil && x.decided.MCP.list != nil }

// forgetReplay keeps a stream of events from being resumed where lists show only a part: the
// server would send what the filter has taken out.
func (x *Exchange) forgetReplay() {
	if !x.site.hidesOfLists() {
		return
	}
	for i := range x.headers {
		name := x.headers[i].Name
		var buf [64]byte
		if len(name) == len("last-event-id") && string(foldName(buf[:0], name)) == "last-event-id" {
			x.request.identity = append(x.request.identity, name) // it goes as what only the filter may say
		}
	}
}

// survey has the AS asked, in one call, what the token may of what the list could name, and
// returns nil where nothing is to be asked, or was a moment ago. No owner is asked for it, and
// so no AS by a ticket, which might.
func (x *Exchange) survey(now time.Time) *Step {
	l, w, m, v := x.decided.MCP.list, x.evaluator.worker, x.state, x.site.evaluator
	if l.asked || v == nil || !v.direct() {
		return nil
	}
	l.asked = true
	asked := x.unknown(now)
	if len(asked) == 0 {
		return nil
	}
	key := strings.Join([]string{x.request.token, "mcp_lists", x.rule.template, l.of.Member}, "\x00") // no resource id has such a byte
	if e, f := w.lookUp(m, x.site, key, now); f == fresh && (e.reason != ReasonPermitted || x.hasBeenAsked(asked)) {
		x.note("mcp", "the AS has been asked a moment ago what the list may show")
		return nil
	}
	if step := x.share(key, now); step != nil {
		return step
	}
	if reason := x.mayCall(PurposeEvaluate, now); reason != ReasonPermitted {
		return x.finish(reason)
	}
	if !m.tokenBudgets.take(x.request.token, now, v.tokenRate) || !m.evaluations.take(now, v.rate) {
		return x.finish(ReasonTooManyEvaluations)
	}
	x.note("mcp", "the AS is asked what the list may show")
	x.cache = CacheMiss
	x.request.token = strings.Clone(x.request.token)
	c := m.newEvaluation(x.request.token, key, asked)
	c.evaluation.survey = true
	to, form := c.begin(x.site, now)
	return x.send(&c.call, PurposeEvaluate, to, form, now)
}

// hasBeenAsked reports whether what is known of the token is the AS's answer to all of this.
func (x *Exchange) hasBeenAsked(asked []uma.Permission) bool {
	for i := range x.token.Asked {
		asked = uma.Without(asked, x.token.Asked[i].ResourceID, x.token.Asked[i].Scopes)
	}
	return len(asked) == 0
}

// unknown is what the AS would have to grant for what the token is not known to have.
func (x *Exchange) unknown(now time.Time) []uma.Permission {
	var asked []uma.Permission
	n := 0
	for _, c := range x.listed() {
		if !c.asksFor() || x.mayUse(c, now) != ReasonNotPermitted {
			continue
		}
		id, scopes := strings.Clone(x.resourceOf(c, now)), c.need.Scopes()
		if id == "" || n+max(1, len(scopes)) > maxSurveyed {
			continue
		}
		n += max(1, len(scopes))
		i := slices.IndexFunc(asked, func(p uma.Permission) bool { return p.ResourceID == id })
		if i < 0 {
			i = len(asked)
			asked = append(asked, uma.Permission{ResourceID: id})
		}
		for _, s := range scopes {
			if !slices.Contains(asked[i].Scopes, s) {
				asked[i].Scopes = append(asked[i].Scopes, strings.Clone(s)) // what a token has lives longer than the configuration
			}
		}
	}
	return asked
}

// listed are the conditions that items of the list may have.
func (x *Exchange) listed() []*condition {
	rules := x.rule.mcp
	named := make([]bool, len(rules.conditions))
	rules.texts[x.decided.MCP.list.of.Target].Visit(func(_ string, i int) { named[i] = true })
	var out []*condition
	for i, c := range rules.conditions {
		if named[i] {
			out = append(out, c)
		}
	}
	return out
}

// asksFor reports whether a token's permissions decide.
func (c *condition) asksFor() bool {
	return c.mode == config.ModeEnforce && !c.public && !c.deny && !c.anyToken
}

// mayUse decides, by what is known, what would become of a call that a condition has.
func (x *Exchange) mayUse(c *condition, now time.Time) Reason {
	switch {
	case c.mode == config.ModeOff:
		return ReasonOff
	case c.public:
		return ReasonPublic
	case c.mode == config.ModeMonitor:
		return ReasonPermitted // whatever it reports
	case c.deny:
		return ReasonDenied
	case x.token == nil:
		return ReasonNoToken
	}
	was, id, held := x.cond, x.resourceID, x.held
	x.cond, x.resourceID = c, x.resourceOf(c, now)
	reason := x.checkToken(x.token, now)
	x.cond, x.resourceID, x.held = was, id, held
	return reason
}

// resourceOf is the id of a condition's resource, empty where it is not known.
func (x *Exchange) resourceOf(c *condition, now time.Time) string {
	if c.instance == nil {
		return c.resourceID
	}
	var buffer [maxInstanceKey]byte
	if key, ok := c.instance.appendKey(buffer[:0], x.path); ok {
		if e := x.state.instances.known[string(key)]; e != nil && e.fresh(now) {
			return e.id
		}
	}
	return ""
}

// fetch makes a step that lets a request for a list pass one that fetches it.
func (x *Exchange) fetch(step *Step, now time.Time) *Step {
	if step.Kind != KindAllow || !x.lists() {
		return step
	}
	l := x.decided.MCP.list
	if !x.decided.Reason.Allows() {
		x.token = nil // what was found of it is only reported
	}
	l.usable = make([]bool, len(x.rule.mcp.conditions))
	for i, c := range x.rule.mcp.conditions {
		l.usable[i] = x.mayUse(c, now).Allows()
	}
	c, allow := &fetch{}, step.Allow
	c.fetch = c
	x.send(&c.call, PurposeList, &endpoint{timeout: fetchTimeout}, nil, now)
	x.step.Kind, x.step.Allow = KindFetch, allow
	return &x.step
}

// Shows is what the configuration names of what a list may show, once its step is
// [KindFetch]; for whoever explains a decision.
func (x *Exchange) Shows() []string {
	shows := []string{}
	l := x.decided.MCP.list
	x.rule.mcp.texts[l.of.Target].Visit(func(text string, value int) {
		if l.usable[value] {
			shows = append(shows, text)
		}
	})
	slices.Sort(shows)
	return shows
}

func (c *fetch) read(w *Worker, r Response) {
	c.response = r
	outcome := CallOK
	switch {
	case r.notSent:
		outcome = CallRefused
	case r.Status == 0:
		outcome = CallUnreachable
	case r.Status >= 500:
		outcome = CallError
	}
	switch x := c.waiting.first; {
	case x == nil: // whoever asked has hung up
	case r.TooLarge:
		c.problem = mcp.ProblemTooLong
	default:
		c.shown, c.problem = x.shown(&r)
	}
	if c.problem != "" && outcome == CallOK {
		outcome = CallBadAnswer
	}
	c.response.Body = nil
	w.count(&c.call, outcome, r.Status)
}

// shown is what of an answer may be shown.
func (x *Exchange) shown(r *Response) ([]byte, mcp.Problem) {
	l := x.decided.MCP.list
	media, problem := mediaOf(r.Headers)
	switch {
	case problem != "":
		return nil, problem
	case r.Status != 200:
		if !mcp.IsFailure(media, r.Body) {
			return nil, ""
		}
		return r.Body, ""
	}
	texts := &x.rule.mcp.texts[l.of.Target]
	return l.of.Filter(media, r.Body, x.decided.MCP.id, func(name string) bool {
		index, _, clash := texts.Match(name)
		return index >= 0 && clash < 0 && l.usable[index]
	})
}

// mediaOf is the media type of an answer that is not compressed.
func mediaOf(headers []Header) (media string, problem mcp.Problem) {
	for i := range headers {
		switch h := &headers[i]; h.Name {
		case "content-type":
			if media != "" {
				return "", mcp.ProblemMedia
			}
			media = h.Value
		case "content-encoding":
			if h.Value != "identity" {
				return "", mcp.ProblemEncoding
			}
		}
	}
	return media, ""
}

func (c *fetch) resume(x *Exchange) *Step {
	r := &c.response
	if r.Status == 0 {
		x.failed = c.ended
		return x.fail(ReasonMCPServerUnreachable)
	}
	if c.problem != "" {
		x.problem = route.Problem(c.problem)
		x.note("mcp", "the list cannot be shown: ", string(c.problem))
		return x.fail(ReasonMCPListUnreadable)
	}
	body := c.shown
	x.decided.Status = r.Status
	d := Deny{Status: r.Status, Body: string(body), GRPCStatus: -1, Headers: []Header{{"cache-control", "no-store"}}}
	for _, h := range r.Headers {
		if h.Name != "" && h.Name[0] != ':' && !isOneOf(notAnswered, []byte(h.Name)) && (h.Name != "content-type" || len(body) > 0) {
			d.Headers = append(d.Headers, h)
		}
	}
	x.step = Step{Kind: KindDeny, Deny: x.amended(d)}
	return &x.step
}

// notAnswered are the headers of a server's answer that do not go on: how it was framed, how
// long it may be kept, and what tells it from others by what it was.
const notAnswered = " content-length transfer-encoding connection keep-alive proxy-connection trailer upgrade content-encoding" +
	" cache-control expires age etag last-modified accept-ranges content-range content-md5 digest content-digest repr-digest "

// amended makes the answer readable for pages, as one that the API sends itself.
func (x *Exchange) amended(d Deny) Deny {
	if a := x.Answering(); a != nil {
		remove, add := a.Amend(d.Headers)
		d.Headers = slices.DeleteFunc(d.Headers, func(h Header) bool { return slices.Contains(remove, h.Name) })
		d.Headers = append(d.Headers, add...)
	}
	return d
}

// fail answers that there is no list.
func (x *Exchange) fail(reason Reason) *Step {
	d := &x.decided
	d.Effect, d.Reason, d.Status, d.Problem, d.Failed = EffectDeny, reason, reason.Status(), x.problem, x.failed
	x.note("decision", "deny ", reason.String(), ": ", reason.Detail())
	x.step = Step{Kind: KindDeny, Deny: x.deny(reason, reason, "")}
	return &x.step
}
