package suite_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// staleScenarios are about an AS that cannot be asked, at sites that let known tokens
// go on. A token is believed for no time at all, so that each request would ask.
func staleScenarios() []scenario {
	site := func(_ *env, s *config.Site) { s.Token.MaxTTLMS, s.Token.StaleMS = -1, 600_000 }
	hasty := func(e *env) []config.Site {
		s := e.standardSite()
		site(e, &s)
		s.Name, s.Hosts = s.Name+"-hasty", []string{"hasty." + e.host}
		s.AuthorizationServer.Introspection.TimeoutMS = 250
		return []config.Site{s}
	}
	return []scenario{
		{name: "stale-answers", site: site, more: hasty, run: staleAnswers},
		{name: "stale-nobody-waits", site: site, more: hasty, run: staleNobodyWaits},
		{name: "stale-revoked", site: site, run: staleRevoked},
		{name: "stale-is-never-more", site: site, more: hasty, run: staleIsNeverMore},
		{name: "stale-expires", site: site, run: staleExpires},
		{name: "stale-recovery", site: site, run: staleRecovery},
		{name: "refresh-ahead", once: true, site: func(_ *env, s *config.Site) { s.Token.MaxTTLMS = 5_000 }, run: refreshAhead},
	}
}

const stalePath = "/echo/album/"

// known mints a token and has the gateway ask for it at a host.
func (e *env) known(t *testing.T, host string) string {
	t.Helper()
	token := e.fresh(t, "view")
	e.step(t, &step{name: "known", host: host, path: stalePath + "known", token: "=" + token, status: 200, introspections: -1})
	return token
}

// cacheUse waits for the decision on a path in the access log, and returns how it came
// to know the token.
func (e *env) cacheUse(t *testing.T, marker string) string {
	t.Helper()
	var d map[string]any
	waitFor(t, "the decision on "+marker, func() (ok bool) {
		d, ok = e.gw.logged(marker)
		return ok
	})
	use, _ := d["cache"].(string)
	return use
}

// saysNothing are the names of the broken answers that leave unknown what the AS would
// say.
var saysNothing = []string{"reset", "hang", "headers-then-hang", "truncated", "500", "502-html", "429"}

// staleAnswers: which failure leaves in force what was known, and which does not.
func staleAnswers(e *env) {
	t := e.t
	all := append(brokenAnswers(),
		badAnswer{name: "away", code: "as_unreachable"},
		badAnswer{name: "inactive", fault: sayJSON(`{"active":false}`), status: 401, code: "inactive_token", error: "invalid_token"},
	)
	for _, bad := range all {
		t.Run(bad.name, func(t *testing.T) {
			host := e.host
			if bad.slow {
				host = "hasty." + e.host
			}
			token := e.known(t, host)
			if bad.fault == nil {
				e.front.away(t)
			} else {
				e.front.spoil(t, introspection, bad.fault)
			}
			path := stalePath + "answer-" + bad.name
			s := &step{name: bad.name, host: host, path: path, token: "=" + token, status: 200, introspections: -1, tickets: -1, api: map[string]string{
				"X-Uma-Subject": e.as.subjects["alice"], "X-Uma-Scopes": "view", "X-Uma-Resource-Id": "{album}",
			}}
			if stale := bad.fault == nil || slices.Contains(saysNothing, bad.name); stale {
				e.step(t, s)
				require.Equal(t, "stale", e.cacheUse(t, path))
				return
			}
			s.status, s.code, s.api = 503, bad.code, nil
			if bad.error != "" {
				s.status, s.challenge, s.fault = bad.status, "UMA", bad.error
			}
			e.step(t, s)
		})
	}
}

// staleNobodyWaits: one request finds out that the AS hangs. Then it is asked now and
// then, and by no request.
func staleNobodyWaits(e *env) {
	t := e.t
	host := "hasty." + e.host
	var tokens []string
	for range 3 {
		tokens = append(tokens, e.known(t, host))
	}
	e.front.spoil(t, introspection, hang)
	e.step(t, &step{name: "finds out", host: host, path: stalePath + "x", token: "=" + tokens[0], status: 200, introspections: -1})
	const each = 50
	before := e.front.count(introspection)
	for i := range each {
		for _, token := range tokens {
			path := fmt.Sprint(stalePath, "nobody-", i, "-")
			e.step(t, &step{name: "at once", host: host, path: path, token: "=" + token, status: 200, introspections: -1})
		}
	}
	require.Less(t, e.front.count(introspection)-before, each/2, "the calls are few, and their number is not that of the requests")
	require.Equal(t, "stale", e.cacheUse(t, fmt.Sprint(stalePath, "nobody-", each-1, "-")))
}

// staleRevoked: what is revoked is refused although the AS cannot be asked.
func staleRevoked(e *env) {
	t := e.t
	for _, r := range revocationsOf(e, e.fresh(t, "view")) {
		t.Run(r.name, func(t *testing.T) {
			token := e.known(t, e.host)
			for _, own := range revocationsOf(e, token) { // of this very token
				if own.name == r.name {
					r = own
				}
			}
			e.front.spoil(t, introspection, says(503, "application/json", `{}`))
			e.step(t, &step{name: "goes on", path: revokedPath, token: "=" + token, status: 200, introspections: -1})
			e.revoke(t, r.list)
			e.step(t, &step{
				name: "refused", path: revokedPath, token: "=" + token, status: 401, code: "revoked_token",
				challenge: "UMA", fault: "invalid_token", introspections: -1, tickets: 1,
			})
			e.restore(t)
			e.step(t, &step{name: "taken back", path: revokedPath, token: "=" + token, status: 200, introspections: -1})
		})
	}
}

// staleIsNeverMore: another permission, another site and another token need the AS.
func staleIsNeverMore(e *env) {
	t := e.t
	token, other := e.known(t, e.host), e.fresh(t, "view")
	e.front.spoil(t, introspection, says(500, "application/json", `{}`))
	e.step(t, &step{name: "what it may", path: stalePath + "a", token: "=" + token, status: 200, introspections: -1})
	for _, s := range []step{
		{name: "another scope", method: "PUT", path: stalePath + "a", token: "=" + token},
		{name: "another resource", path: "/echo/other/a", token: "=" + token},
		{name: "another site", host: "hasty." + e.host, path: stalePath + "a", token: "=" + token},
		{name: "another token", path: stalePath + "a", token: "=" + other},
	} {
		s.status, s.code, s.introspections = 503, "as_error", -1
		e.step(t, &s)
	}
}

// staleExpires: a token's own end is its end.
func staleExpires(e *env) {
	t := e.t
	token, exp := e.fresh(t, "view"), time.Now().Unix()+3
	e.front.spoil(t, introspection, lies(map[string]any{"exp": exp}))
	e.step(t, &step{name: "known", path: stalePath + "a", token: "=" + token, status: 200, introspections: -1})
	e.front.spoil(t, introspection, says(500, "application/json", `{}`))
	var last *answer
	waitFor(t, "the token's end", func() bool {
		last = e.client.do(t, e.request(t, &step{path: stalePath + "a"}, token))
		return last.status != 200
	})
	require.GreaterOrEqual(t, time.Now().Unix(), exp)
	require.Equal(t, 503, last.status, "%s", last.body)
	require.Equal(t, "as_error", last.code)
}

// staleRecovery: when the AS is back, what it says counts, whichever request is next.
func staleRecovery(e *env) {
	t := e.t
	good, gone := e.known(t, e.host), e.known(t, e.host)
	e.front.away(t)
	for _, token := range []string{good, gone} {
		e.step(t, &step{name: "goes on", path: stalePath + "a", token: "=" + token, status: 200, introspections: -1})
	}
	e.front.back(t)
	n := 0
	waitFor(t, "the AS is asked again", func() bool {
		n++
		path := fmt.Sprint(stalePath, "recovered-", n, "-")
		require.Equal(t, 200, e.client.do(t, e.request(t, &step{path: path}, good)).status)
		return e.cacheUse(t, path) != "stale"
	})
	e.front.spoil(t, introspection, sayJSON(`{"active":false}`))
	e.step(t, &step{
		name: "it is not active any more", path: stalePath + "a", token: "=" + gone, status: 401, code: "inactive_token",
		challenge: "UMA", fault: "invalid_token", introspections: -1, tickets: 1,
	})
	e.front.spoil(t, introspection, says(500, "application/json", `{}`))
	e.step(t, &step{
		name: "nor later", path: stalePath + "a", token: "=" + gone, status: 401, code: "inactive_token",
		challenge: "UMA", fault: "invalid_token", introspections: -1, tickets: 1,
	})
}

// refreshAhead: of a token in use, the AS is asked again, and no request waits for it. The
// filter looks each second for what is to be asked, which may be too late for a token
// that is believed for 5 s: then it is another round.
func refreshAhead(e *env) {
	t := e.t
	token := e.known(t, e.host)
	n := 0
	use := func() string {
		n++
		path := fmt.Sprint(stalePath, "ahead-", n, "-")
		require.Equal(t, 200, e.client.do(t, e.request(t, &step{path: path}, token)).status)
		return e.cacheUse(t, path)
	}
	waitFor(t, "a round in which no request waits", func() bool {
		asked := e.front.askedAbout(token)
		for e.front.askedAbout(token) == asked {
			if use() != "hit" {
				return false
			}
		}
		return use() == "hit"
	})
}
