package decision

import (
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/route"
)

// Watched tells that the host must report how the request ended to
// [Worker.Ended]: it may have created or removed an instance.
func (x *Exchange) Watched() bool {
	if x.site == nil || x.site.resolver == nil || x.rule == nil || x.decided.Effect == EffectDeny || x.asCame {
		return false
	}
	switch x.request.method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return false
	case "DELETE":
		return x.site.resolver.onDeletes
	}
	return x.site.resolver.registersOnCreate
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
		return w.notifyAbout(x, x.rule, x.path, PurposeRemove, now)
	case status != 201 || !x.site.resolver.registersOnCreate:
		return nil
	}
	if x.token == nil || x.token.Subject == "" || x.decided.Reason != ReasonPermitted {
		x.state.stats.NoOwner++
		return nil
	}
	path, ok := x.locationPath(location)
	if !ok {
		x.state.stats.NoInstance++
		return nil
	}
	index, others := x.site.paths.Match(path, nil)
	if index < 0 || slices.ContainsFunc(others, func(o route.Other) bool { return o.Problem == route.ProblemTwoTemplates }) {
		x.state.stats.NoInstance++
		return nil
	}
	calls := w.notifyAbout(x, &x.site.rules[index], path, PurposeRegister, now)
	if calls == nil {
		x.state.stats.NoInstance++
	}
	return calls
}

// locationPath reads a Location that is a path of the site, or a whole URL of the
// authority that was asked (RFC 9110 section 10.2.2). Whoever can shape a Location,
// as by a header that the API takes for its own prefix, must not name an instance
// with it: nothing follows from one that has a query or a fragment, in which the
// rest of the path may stand, from one of another authority or of another site of the
// host, and from one that has two readings.
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
	return path, err == nil && x.owns(path)
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

// notifyAbout makes the calls for every instance whose own path this is.
func (w *Worker) notifyAbout(x *Exchange, r *rule, path route.Path, purpose Purpose, now time.Time) []*Call {
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
		var owner *string
		if purpose == PurposeRegister {
			owner = &x.token.Subject
		}
		body := c.instance.request(x.site, c.instance.values(path), owner)
		if call := w.notify(&notification{purpose: purpose, key: string(key), body: body, site: x.site, state: x.state}, now); call != nil {
			calls = append(calls, call)
		}
	}
	for i := range r.methods {
		each(r.methods[i].condition)
	}
	each(r.any)
	if r.mcp != nil {
		for _, c := range r.mcp.conditions {
			each(c)
		}
	}
	return calls
}
