package decision_test

import (
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// walk is a way through a transition: the last one that its request makes.
type walk struct {
	transition
	change    []func(*config.Config)
	before    func(h *harness)
	request   *decision.Request
	answers   []decision.Response // of the AS; to a message, its body
	meanwhile func(h *harness)    // before the answers
}

// messageWalks are those through a message to an MCP server.
func messageWalks() []walk {
	walkOf := func(event, next, body string, headers ...string) walk {
		w := walk{transition: transition{"reading", event, next}, change: []func(*config.Config){guardTools}, request: ask("POST", "/mcp", "token", headers...)}
		if w.state = "begin"; body != "" {
			w.state, w.answers = "reading", []decision.Response{{Body: []byte(body)}}
		}
		return w
	}
	const kind, isJSON = "content-type", "application/json"
	listed := func(state, event, next string, evaluates bool, answers ...decision.Response) walk {
		w := walk{transition: transition{state, event, next}, change: []func(*config.Config){guardTools, permittedLists}, request: post("token")}
		if evaluates {
			w.change = append(w.change, evaluating)
		}
		w.answers = append([]decision.Response{answer(200, listOf("tools"))}, answers...)
		if state == "reading" || state == "listing" {
			w.before = func(h *harness) { h.decide(ask("GET", "/albums/1", "token"), viewR1) }
		}
		return w
	}
	grant := answer(200, `[{"rsid":"r1","scopes":["view"]}]`)
	return []walk{
		listed("reading", "a list that shows what the caller may use, to a caller that may ask for it", "listing", false),
		listed("reading", "the same, where the AS evaluates tokens", "evaluating", true),
		listed("introspecting", "enough, of a list that shows what the caller may use", "listing", false, answer(200, viewR1)),
		listed("evaluating", "enough, of a list that shows what the caller may use", "listing", true, grant, answer(403, notAuthorized)),
		listed("evaluating", "the same, and not all that it could show is known", "evaluating", true, grant),
		listed("listing", "what may be shown of the list, or another answer", "Deny 200", false, lists(toolsNamed("search"))),
		listed("listing", "mcp_list_unreadable", "Deny 502", false, lists("[]")),
		listed("listing", "mcp_server_unreachable", "Deny 503", false, decision.Response{}),
		walkOf("mcp_unreadable", "Deny 400", "", kind, "text/plain"),
		walkOf("a message to an MCP server whose tools are guarded", "reading", "", kind, isJSON),
		walkOf("a message that a condition has", "as from begin", callOf("search"), kind, isJSON),
		walkOf("a message that a condition has", "as from begin", callOf("wipe"), kind, isJSON),
		walkOf("mcp_unreadable", "Deny 400", "[]", kind, isJSON),
		walkOf("mcp_not_covered", "Deny 403", callOf("other"), kind, isJSON),
		walkOf("mcp_too_large", "Deny 413", callOf(strings.Repeat("x", 2048)), kind, isJSON),
	}
}

// walks has one for each row of the state table, and for each code in it.
func walks() []walk {
	get := func(path string) *decision.Request { return ask("GET", path, "") }
	album, bearer, box := get("/albums/1"), ask("GET", "/albums/1", "token"), ask("GET", "/boxes/7", "token")
	change := func(f ...func(*config.Config)) []func(*config.Config) { return f }
	site := func(f func(*config.Site)) []func(*config.Config) { return change(siteOf(f)) }
	replies := func(r ...decision.Response) []decision.Response { return r }
	inactive, lacking := answer(200, unknown), answer(200, `{"active":true}`)
	boxes, eve := change(owned()), revoke(config.Revocations{Subjects: digests("eve", hour, 0)})
	revoked := revoke(config.Revocations{Tokens: digests("token", hour, 0)})
	authenticated := site(authenticatedPaths)
	decided := func(r *decision.Request, answer string) func(*harness) {
		return func(h *harness) { h.decide(r, answer) }
	}
	// started begins other requests, answered one that is answered, too.
	started := func(r ...*decision.Request) func(*harness) {
		return func(h *harness) {
			for _, r := range r {
				h.start(r)
			}
		}
	}
	answered := func(r *decision.Request, status int, body string) func(*harness) {
		return func(h *harness) {
			_, step := h.start(r)
			h.reply(step, status, body)
		}
	}
	left := func(r *decision.Request) func(*harness) { // alone, by the AS
		return func(h *harness) {
			_, step := h.start(r)
			h.worker.Reply(step.Call.ID, busy(429, "60"), h.now)
		}
	}
	// ended makes the token known, and lets that become old; outage has the AS fail then.
	ended := func(h *harness) { h.known(viewR1) }
	outage := func(h *harness) {
		ended(h)
		h.outage()
	}
	// roomier lets more requests in than those before were promised.
	roomier := func(r ...*decision.Request) func(*harness) {
		return func(h *harness) {
			h.configure(owned())
			started(r...)(h)
		}
	}

	list := []walk{
		{transition{"begin", "unknown_host_allowed", "Allow"}, change(func(c *config.Config) { c.UnknownHosts = config.VerdictAllow }), nil, to("other.example.com"), nil, nil},
		{transition{"begin", "off", "Allow"}, nil, nil, get("/loose/1"), nil, nil},
		{transition{"begin", "public", "Allow"}, nil, nil, get("/healthz"), nil, nil},
		{transition{"begin", "cors_preflight", "Allow"}, site(func(s *config.Site) { s.CORSPreflight = config.VerdictAllow }), nil, ask("OPTIONS", "/albums/1", "", "origin", "https://a", "access-control-request-method", "GET"), nil, nil},
		{transition{"begin", "cors_preflight_answered", "Deny 204"}, site(shared), nil, ask("OPTIONS", "/albums/1", "", "origin", "https://app.example.com", "access-control-request-method", "GET"), nil, nil},
		{transition{"begin", "metadata_answered", "Deny 200"}, site(described), nil, get("/.well-known/oauth-protected-resource/albums"), nil, nil},
		{transition{"begin", "foreign_page", "Deny 403"}, site(func(s *config.Site) { s.Token.From.Cookie = "token" }), nil, ask("PUT", "/albums/1", "", "cookie", "token=t", "origin", "https://a"), nil, nil},
		{transition{"begin", "cors_origin_not_allowed", "Deny 403"}, site(shared), nil, ask("OPTIONS", "/albums/1", "", "origin", "https://a", "access-control-request-method", "GET"), nil, nil},
		{transition{"begin", "unmatched_allowed", "Allow"}, site(func(s *config.Site) { s.Unmatched = config.UnmatchedAllow }), nil, get("/nothing"), nil, nil},
		{transition{"begin", "permitted", "Allow"}, nil, decided(bearer, viewR1), bearer, nil, nil},
		{transition{"begin", "permitted", "Allow"}, change(staleFor(time.Hour)), outage, bearer, nil, nil},
		{transition{"begin", "unmatched_authenticated", "Allow"}, append(change(staleFor(time.Hour)), authenticated...), outage, ask("GET", "/nothing", "token"), nil, nil},
		{transition{"begin", "unmatched_authenticated", "Allow"}, authenticated, decided(bearer, viewR1), ask("GET", "/nothing", "token"), nil, nil},

		{transition{"begin", "invalid_host", "Deny 400"}, nil, nil, to(""), nil, nil},
		{transition{"begin", "ambiguous_path", "Deny 400"}, nil, nil, get("/a/../b"), nil, nil},
		{transition{"begin", "invalid_request", "Deny 400"}, nil, nil, ask("GET", "/albums/1", "a", "authorization", "Bearer b"), nil, nil},
		{transition{"begin", "method_override", "Deny 400"}, nil, nil, get("/albums/1?_method=PUT"), nil, nil},
		{transition{"begin", "method_not_forwarded", "Deny 405"}, nil, nil, ask("CONNECT", "/albums/1", ""), nil, nil},
		{transition{"begin", "expectation_failed", "Deny 417"}, nil, nil, ask("GET", "/albums/1", "", "expect", "miracle"), nil, nil},
		{transition{"begin", "unknown_host", "Deny 403"}, nil, nil, to("other.example.com"), nil, nil},
		{transition{"begin", "unmatched_path", "Deny 403"}, nil, nil, get("/nothing"), nil, nil},
		{transition{"begin", "method_not_covered", "Deny 403"}, nil, nil, ask("POST", "/albums/1", ""), nil, nil},
		{transition{"begin", "denied", "Deny 403"}, site(func(s *config.Site) {
			s.Resources = append(s.Resources, config.Resource{Name: "closed", Conditions: []config.Condition{{Paths: []string{"/closed"}, Deny: true}}})
		}), nil, get("/closed"), nil, nil},
		{transition{"begin", "resource_unknown", "Deny 403"}, boxes, nil, get("/boxes/" + strings.Repeat("x", 200)), nil, nil},
		{transition{"begin", "resource_unknown", "Deny 403"}, boxes, answered(box, 404, ""), box, nil, nil},
		{transition{"begin", "resource_not_registered", "Deny 403"}, nil, nil, get("/drafts"), nil, nil},
		{transition{"begin", "no_ticket", "Deny 403"}, change(unknownAS), nil, album, nil, nil},
		{transition{"begin", "no_ticket", "Deny 403"}, nil, left(album), album, nil, nil},
		{transition{"begin", "as_unreachable", "Deny 503"}, change(unknownAS), nil, bearer, nil, nil},
		{transition{"begin", "as_busy", "Deny 503"}, nil, left(bearer), bearer, nil, nil},
		{transition{"begin", "too_many_lookups", "Deny 429"}, change(owned(narrow)), started(get("/boxes/8")), box, nil, nil},
		{transition{"begin", "too_many_calls", "Deny 429"}, change(owned(narrow)), started(ask("GET", "/albums/1", "a"), ask("GET", "/albums/1", "b")), bearer, nil, nil},
		{transition{"begin", "too_many_tickets", "Deny 429"}, change(owned(narrow)), started(album), album, nil, nil},
		{transition{"begin", "too_many_streams", "Deny 429"}, change(streaming(1)), decided(bearer, viewR1), bearer, nil, nil},
		{transition{"introspecting", "too_many_streams", "Deny 429"}, change(streaming(1)), decided(ask("GET", "/albums/1", "other"), viewR1), bearer, replies(answer(200, viewR1)), nil},
		{transition{"begin", "too_many_waiting", "Deny 429"}, change(owned(narrow)), started(bearer, bearer, bearer), bearer, nil, nil},

		{transition{"begin", "an instance that is not known", "looking up"}, boxes, nil, box, nil, nil},
		{transition{"begin", "an instance that is not known", "looking up"}, boxes, started(box), box, nil, nil},
		{transition{"begin", "a token that is not cached", "introspecting"}, nil, nil, bearer, nil, nil},
		{transition{"begin", "a token that is not cached", "introspecting"}, nil, started(bearer), bearer, nil, nil},
		{transition{"begin", "a cached token that lacks a permission, older than 1 s", "introspecting"}, nil, func(h *harness) {
			h.decide(bearer, `{"active":true}`)
			h.after(time.Second)
		}, bearer, nil, nil},
		{transition{"begin", "a cached token, not known whose, and somebody's are revoked", "introspecting"}, change(hinted), func(h *harness) {
			h.decide(bearer, anonymous)
			h.configure(hinted, eve)
		}, bearer, nil, nil},
		{transition{"begin", "no_token", "ticketing"}, nil, nil, album, nil, nil},
		{transition{"begin", "revoked_token", "ticketing"}, change(revoked), nil, bearer, nil, nil},
		{transition{"begin", "what introspecting finds, of a cached token", "ticketing"}, nil, decided(bearer, `{"active":true}`), bearer, nil, nil},
		{transition{"begin", "what leads to ticketing, where there are no tickets", "Deny 401"}, change(scopesOnly), nil, album, nil, nil},
		{transition{"begin", "insufficient_permission", "Deny 403"}, change(scopesOnly), decided(bearer, `{"active":true}`), bearer, nil, nil},

		{transition{"looking up", "found, or found before and now no answer", "as from begin"}, boxes, nil, box, replies(answer(200, `{"resource_id":"id-7"}`)), nil},
		{transition{"looking up", "found, or found before and now no answer", "as from begin"}, boxes, func(h *harness) {
			answered(box, 200, `{"resource_id":"id-7"}`)(h)
			h.after(time.Hour)
		}, box, replies(decision.Response{}), nil},
		{transition{"looking up", "resource_unknown", "Deny 403"}, boxes, nil, box, replies(answer(404, "")), nil},
		{transition{"looking up", "resource_not_registered", "Deny 403"}, boxes, func(h *harness) {
			h.ended(h.passed("POST", "/boxes"), 201, "/boxes/7")
		}, box, replies(answer(409, "")), nil},
		{transition{"looking up", "too_many_lookups", "Deny 429"}, boxes, nil, box, replies(answer(429, "")), nil},
		{transition{"looking up", "control_plane_unreachable", "Deny 503"}, boxes, nil, box, replies(decision.Response{}), nil},
		{transition{"looking up", "lookup_failed", "Deny 503"}, boxes, nil, box, replies(answer(500, "")), nil},

		{transition{"introspecting", "permitted", "Allow"}, nil, nil, bearer, replies(answer(200, viewR1)), nil},
		{transition{"introspecting", "unmatched_authenticated", "Allow"}, authenticated, nil, ask("GET", "/nothing", "token"), replies(answer(200, viewR1)), nil},
		{transition{"introspecting", "no answer, and what was known of the token is enough", "Allow"}, change(staleFor(time.Hour)), ended, bearer, replies(answer(500, "")), nil},
		{transition{"introspecting", "no answer, and what was known of the token is enough", "Allow"}, change(staleFor(time.Hour)), ended, bearer, replies(decision.Response{}), nil},
		{transition{"introspecting", "revoked_token", "ticketing"}, change(staleFor(time.Hour)), ended, bearer, replies(decision.Response{}), func(h *harness) {
			h.configure(staleFor(time.Hour), revoked)
		}},
		{transition{"introspecting", "as_unreachable", "Deny 503"}, change(staleFor(time.Hour)), ended, ask("PUT", "/albums/1", "token"), replies(decision.Response{}), nil},
		{transition{"introspecting", "active, not said whose, and somebody's are revoked", "introspecting"}, change(hinted, eve), nil, bearer, replies(answer(200, anonymous)), nil},
		{transition{"introspecting", "revoked_token", "ticketing"}, change(revoke(config.Revocations{Subjects: digests("bob", hour, 0)})), nil, bearer, replies(answer(200, viewR1)), nil},
		{transition{"introspecting", "revocation_unknown", "ticketing"}, change(eve), nil, bearer, replies(answer(200, anonymous)), nil},
		{transition{"introspecting", "what leads to ticketing, where there are no tickets", "Deny 401"}, change(scopesOnly), nil, bearer, replies(inactive), nil},
		{transition{"introspecting", "insufficient_permission", "Deny 403"}, change(scopesOnly), nil, bearer, replies(lacking), nil},
		{transition{"introspecting", "resource_not_registered", "Deny 403"}, nil, nil, ask("GET", "/drafts", "token"), replies(lacking), nil},
		{transition{"introspecting", "no_ticket", "Deny 403"}, nil, left(album), bearer, replies(lacking), nil},
		{transition{"introspecting", "too_many_tickets", "Deny 429"}, change(owned(narrow)), decided(album, ""), bearer, replies(lacking), nil},
		{transition{"introspecting", "too_many_calls", "Deny 429"}, change(owned(narrow)), nil, bearer, replies(lacking), roomier(ask("GET", "/albums/1", "a"), ask("GET", "/albums/1", "b"))},
		{transition{"introspecting", "too_many_waiting", "Deny 429"}, change(owned(narrow)), nil, bearer, replies(lacking), roomier(ask("GET", "/albums/1", "a"), ask("GET", "/albums/1", "a"), ask("GET", "/albums/1", "a"))},
		{transition{"introspecting", "answered, and its turn has not come", "introspecting"}, nil, started(bearer), bearer, replies(answer(200, viewR1)), nil},
		{transition{"ticketing", "a ticket", "Deny 401"}, nil, nil, album, replies(answer(201, `{"ticket":"t"}`)), nil},
		{transition{"ticketing", "no_ticket", "Deny 403"}, nil, nil, album, replies(answer(500, "")), nil},
	}
	list = append(list, evaluationWalks()...)
	list = append(list, messageWalks()...)
	list = append(list, signingWalks()...)
	for code, body := range map[string]string{
		"inactive_token": unknown, "insufficient_permission": `{"active":true}`, "expired_token": `{"active":true,"exp":1}`,
		"token_not_yet_valid": `{"active":true,"nbf":4000000000}`, "not_an_access_token": `{"active":true,"typ":"Refresh"}`,
		"sender_constrained_token": `{"active":true,"cnf":{"jkt":"x"}}`,
	} {
		list = append(list, walk{transition{"introspecting", code, "ticketing"}, nil, nil, bearer, replies(answer(200, body)), nil})
	}
	for code, rule := range map[string]func(*config.Site){
		"wrong_issuer":   func(s *config.Site) { s.Token.Issuers = []string{"https://other"} },
		"wrong_audience": func(s *config.Site) { s.Token.Audiences = []string{"other"} },
		"wrong_client":   func(s *config.Site) { s.Token.ClientIDs = []string{"other"} },
	} {
		list = append(list, walk{transition{"introspecting", code, "ticketing"}, site(rule), nil, bearer, replies(answer(200, viewR1)), nil})
	}
	for code, r := range map[string]decision.Response{
		"as_unreachable": {}, "as_refused": answer(401, ""), "as_error": answer(500, ""), "as_bad_answer": answer(200, "{"), "as_busy": busy(429, "5"),
	} {
		list = append(list, walk{transition{"introspecting", code, "Deny 503"}, nil, nil, bearer, replies(r), nil})
	}
	return list
}

// to is a request to another host.
func to(host string) *decision.Request {
	r := ask("GET", "/albums/1", "")
	r.Headers[0].Value = host
	return r
}
