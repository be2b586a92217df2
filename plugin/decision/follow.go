package decision

import (
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/route"
)

const (
	// maxReports bounds the reports of a worker that wait to be sent again.
	maxReports = 1000
	// reportAttempts is how often a report is sent at most, reportWait the first
	// wait in between, and reportWaitMax the longest: an hour in all.
	reportAttempts = 70
	reportWait     = time.Second
	reportWaitMax  = time.Minute
)

// report tells the control plane of an instance that the API has created or
// removed, until it has heard.
type report struct {
	purpose  Purpose
	key      string
	body     []byte
	site     *site
	memory   *memory
	attempts int
	due      instant
	before   *report // a removal that must be heard first
}

// Watched tells that the host must report how the request ended to
// [Worker.Ended]: it may have created or removed an instance.
func (x *Exchange) Watched() bool {
	if x.site == nil || x.site.finder == nil || x.rule == nil || x.decided.Effect == EffectDeny || x.asCame {
		return false
	}
	switch x.request.method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return false
	case "DELETE":
		return x.site.finder.onDeletes
	}
	return x.site.finder.registersOnCreate
}

// Ended tells of the API's answer to a watched request; location is its Location
// header, empty unless there is exactly one. What it returns is to be sent, as the
// calls of steps are; nobody waits for it.
func (w *Worker) Ended(x *Exchange, status int, location string, now time.Time) []*Call {
	switch {
	case x.request.method == "DELETE":
		// 202 is not done yet, and 207 tells of several things (RFC 4918).
		if status/100 != 2 || status == 202 || status == 207 {
			return nil
		}
		return w.report(x, x.rule, x.path, PurposeRemove, now)
	case status != 201 || !x.site.finder.registersOnCreate:
		return nil
	}
	if x.token == nil || x.token.Subject == "" || x.decided.Reason != ReasonPermitted {
		x.memory.stats.NoOwner++
		return nil
	}
	path, ok := x.locationPath(location)
	if !ok {
		x.memory.stats.NoInstance++
		return nil
	}
	index, others := x.site.paths.Match(path, nil)
	if index < 0 || slices.ContainsFunc(others, func(o route.Other) bool { return o.Problem == route.ProblemTwoTemplates }) {
		x.memory.stats.NoInstance++
		return nil
	}
	calls := w.report(x, &x.site.rules[index], path, PurposeRegister, now)
	if calls == nil {
		x.memory.stats.NoInstance++
	}
	return calls
}

// locationPath reads a Location that is a path of the site, or a whole URL of the
// authority that was asked (RFC 9110 section 10.2.2). Whoever can shape a Location,
// as by a header that the API takes for its own prefix, must not name an instance
// with it: nothing follows from one that has a query or a fragment, in which the
// rest of the path may stand, from one of another authority, and from one that has
// two readings.
func (x *Exchange) locationPath(location string) (route.Path, bool) {
	if strings.ContainsAny(location, "?#") {
		return route.Path{}, false
	}
	if scheme, rest, ok := strings.Cut(location, "://"); ok && !strings.HasPrefix(location, "/") {
		authority, path, _ := strings.Cut(rest, "/")
		scheme = strings.ToLower(scheme)
		if authority = authorityOf(scheme, authority); authority == "" || authority != authorityOf(scheme, x.request.authority) {
			return route.Path{}, false
		}
		location = "/" + path
	}
	if strings.HasPrefix(location, "//") {
		return route.Path{}, false // of another host
	}
	path, err := route.ParsePath(location, x.request.authority, false)
	return path, err == nil
}

// authorityOf is an authority as URLs of a scheme compare it: without a port that
// is the scheme's own, and empty when it is none.
func authorityOf(scheme, authority string) string {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	} else if scheme != "http" {
		return ""
	}
	host, ok := route.CanonicalHost(authority)
	if !ok {
		return ""
	}
	return host + strings.TrimSuffix(authority[len(host):], port) // a canonical host is as long as it was
}

// report makes the calls for every instance whose own path this is.
func (w *Worker) report(x *Exchange, r *rule, path route.Path, purpose Purpose, now time.Time) []*Call {
	var calls []*Call
	seen := make([]*template, 0, 4)
	each := func(c *condition) {
		if c == nil || c.instance == nil || !c.instance.owns(path, purpose) {
			return
		}
		t := c.instance.template
		if slices.Contains(seen, t) {
			return
		}
		seen = append(seen, t)
		if purpose == PurposeRemove && !t.removeOnDelete || purpose == PurposeRegister && !t.registerOnCreate {
			return
		}
		key, ok := c.instance.appendKey(nil, path)
		if !ok {
			return
		}
		rep := &report{purpose: purpose, key: string(key), site: x.site, memory: x.memory}
		if purpose == PurposeRegister {
			rep.body = c.instance.request(x.site, c.instance.values(path), &x.token.Subject)
		} else {
			rep.body = c.instance.request(x.site, c.instance.values(path), nil)
		}
		if call := w.begin(rep, now); call != nil {
			calls = append(calls, call)
		}
	}
	for i := range r.methods {
		each(r.methods[i].condition)
	}
	each(r.any)
	return calls
}

// begin sends a new report. One about the same instance that is still to be sent
// says nothing any more; one that is under way is waited for.
func (w *Worker) begin(rep *report, now time.Time) *Call {
	m := rep.memory
	if i := w.waiting(rep); i >= 0 {
		if old := w.reports[i]; rep.purpose == PurposeRegister {
			if rep.before = old.before; old.purpose == PurposeRemove {
				rep.before = old
			}
		}
		w.reports = append(w.reports[:i], w.reports[i+1:]...)
	}
	if rep.purpose == PurposeRemove {
		// It is gone, whether the control plane knows already or not.
		m.instances.keep(rep.key, "", now, now.Add(overdueAfter+rep.site.finder.negativeTTL), rep.site.finder)
	} else {
		m.instances.forget(rep.key)
	}
	if c := m.lookups[rep.key]; c != nil && c.report != nil {
		w.queue(rep, now)
		return nil
	}
	return w.sendReport(rep, now)
}

// waiting is the index of the report about the same instance that waits to be
// sent, or -1.
func (w *Worker) waiting(rep *report) int {
	for i, other := range w.reports {
		if other.key == rep.key && other.memory == rep.memory {
			return i
		}
	}
	return -1
}

func (w *Worker) sendReport(rep *report, now time.Time) *Call {
	if first := rep.before; first != nil {
		rep.before = nil
		w.queue(rep, now)
		rep = first
	}
	e := &rep.site.finder.register
	if rep.purpose == PurposeRemove {
		e = &rep.site.finder.remove
	}
	rep.attempts++
	c := w.newCall(rep.memory, rep.site, rep.purpose, e.timeout, now)
	c.report, c.key = rep, rep.key
	rep.memory.look(c)
	return &Call{ID: c.id, Purpose: rep.purpose, Cluster: e.cluster, Headers: e.headers, Body: rep.body, Timeout: e.timeout}
}

// queue keeps a report for later. There is an end to what a worker can keep.
func (w *Worker) queue(rep *report, due time.Time) {
	if rep.attempts >= reportAttempts || len(w.reports) >= maxReports {
		w.lose(rep)
		return
	}
	rep.due = at(due)
	w.reports = append(w.reports, rep)
}

func (w *Worker) lose(rep *report) {
	rep.memory.stats.ReportsLost++
	if w.OnLost != nil {
		w.OnLost(rep.memory.site, rep.purpose, rep.key)
	}
}

// Due returns the reports that are to be sent again now. The host calls it from
// time to time.
func (w *Worker) Due(now time.Time) []*Call {
	var calls []*Call
	waiting := w.reports
	w.reports = nil
	for _, rep := range waiting {
		if c := rep.memory.lookups[rep.key]; before(now, rep.due) || c != nil && c.report != nil || !w.spend() {
			w.reports = append(w.reports, rep)
			continue
		}
		calls = append(calls, w.sendReport(rep, now))
	}
	return calls
}

// readReport reads the answer to a report. Requests may have come to wait for it.
func (w *Worker) readReport(c *call, r Response, now time.Time) {
	rep, m, f := c.report, c.memory, c.site.finder
	outcome := classify(r, 201)
	id := ""
	if outcome == CallOK && rep.purpose == PurposeRegister {
		if id = resourceID(r.Body); id == "" {
			outcome = CallBadAnswer
		}
	}
	c.verdict = ReasonNotRegistered
	heard := true
	switch {
	case outcome == CallOK && id != "":
		m.instances.keep(c.key, id, now, now.Add(f.ttl), f)
		c.found, c.verdict = id, ReasonPermitted
	case r.Status == 202, r.Status == 204, r.Status == 200:
		outcome = CallOK // the control plane has it in its books, and does what it takes
		if rep.purpose == PurposeRemove {
			m.instances.keep(c.key, "", now, now.Add(f.negativeTTL), f)
			c.verdict = ReasonResourceUnknown
		}
	case r.Status >= 400 && r.Status < 500 && r.Status != 401 && r.Status != 403 && r.Status != 408 && r.Status != 429:
		// It was heard, and refused for good, as for an instance that has another owner.
		w.lose(rep)
	default:
		heard = false
		if rep.purpose == PurposeRemove {
			m.instances.keep(c.key, "", now, now.Add(reportWaitMax+overdueAfter), f)
		}
		m.lookupFailed(c, outcome, r.Status, now)
	}
	w.ended(c, outcome, r.Status)
	if heard {
		return
	}
	due := now.Add(min(reportWaitMax, reportWait<<min(rep.attempts-1, 10)))
	if i := w.waiting(rep); i < 0 {
		w.queue(rep, due)
	} else if newer := w.reports[i]; rep.purpose == PurposeRemove && newer.purpose == PurposeRegister {
		newer.before, newer.due = rep, at(due) // what was removed must not live on as what is new
	}
}
