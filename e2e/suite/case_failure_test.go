package suite_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// badAnswer is one way an AS's answer can be wrong, and what becomes of the
// request that waits for it.
type badAnswer struct {
	name   string
	fault  fault
	status int
	code   string
	// error is that of the challenge; with one there is a ticket.
	error string
	// slow marks what ends by the timeout, plain what needs a site without rules for
	// tokens.
	slow, plain bool
	// again: the call is made once more.
	again bool
}

// reset closes the connection without an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// says answers with a status and a body.
func says(status int, contentType, body string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func() asAnswer) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// sayJSON answers 200 with JSON.
func sayJSON(body string) fault { return says(200, "application/json", body) }

// changed lets the AS answer and changes the text of it.
func changed(change func(body []byte) []byte) fault {
	return func(w http.ResponseWriter, _ *http.Request, ask func() asAnswer) {
		a := ask()
		a.body = change(a.body)
		a.write(w)
	}
}

// lies lets the AS answer and changes members of the object, those of its
// permissions under "permissions.".
func lies(members map[string]any) fault {
	return changed(func(body []byte) []byte {
		var object map[string]any
		if json.Unmarshal(body, &object) != nil {
			return body
		}
		set(object, "", members)
		if list, ok := object["permissions"].([]any); ok {
			for _, p := range list {
				if m, ok := p.(map[string]any); ok {
					set(m, "permissions.", members)
				}
			}
		}
		out, err := json.Marshal(object)
		if err != nil {
			return body
		}
		return out
	})
}

func set(object map[string]any, prefix string, members map[string]any) {
	for name, value := range members {
		name, ours := strings.CutPrefix(name, prefix)
		if !ours || prefix == "" && strings.Contains(name, ".") {
			continue
		}
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = value
	}
}

func hang(_ http.ResponseWriter, r *http.Request, _ func() asAnswer) { <-r.Context().Done() }

func truncated(w http.ResponseWriter, _ *http.Request, ask func() asAnswer) {
	a := ask()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "100000")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func padded(size int) fault {
	return changed(func(body []byte) []byte {
		return append(bytes.Repeat([]byte(" "), size), body...)
	})
}

// brokenAnswers fit both endpoints: they are no answer at all.
func brokenAnswers() []badAnswer {
	return []badAnswer{
		{name: "reset", fault: func(w http.ResponseWriter, _ *http.Request, _ func() asAnswer) { reset(w) }, code: "as_unreachable", again: true},
		{name: "hang", fault: hang, code: "as_unreachable", slow: true},
		{name: "headers-then-hang", fault: func(w http.ResponseWriter, r *http.Request, _ func() asAnswer) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, code: "as_unreachable", slow: true},
		{name: "truncated", fault: truncated, code: "as_unreachable"},
		{name: "500", fault: says(500, "application/json", `{"error":"server_error"}`), code: "as_error"},
		{name: "502-html", fault: says(502, "text/html", "<h1>Bad gateway</h1>"), code: "as_unreachable"},
		{name: "204", fault: says(204, "application/json", ""), code: "as_error"},
		{name: "302", fault: func(w http.ResponseWriter, _ *http.Request, _ func() asAnswer) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
		}, code: "as_error"},
		{name: "404", fault: says(404, "application/json", `{}`), code: "as_error"},
		{name: "429", fault: says(429, "application/json", `{}`), code: "as_busy"},
		{name: "401-credential", fault: says(401, "application/json", `{"error":"invalid_token"}`), code: "as_refused"},
		{name: "403-credential", fault: says(403, "application/json", `{"error":"invalid_bearer_token"}`), code: "as_refused"},
		{name: "html", fault: says(200, "text/html", "<!doctype html><h1>We will be back</h1>"), code: "as_bad_answer"},
		{name: "empty", fault: sayJSON(""), code: "as_bad_answer"},
		{name: "empty-object", fault: sayJSON("{}"), code: "as_bad_answer"},
		{name: "array", fault: sayJSON(`[{"active":true,"ticket":"x"}]`), code: "as_bad_answer"},
		{name: "null", fault: sayJSON("null"), code: "as_bad_answer"},
		{name: "string", fault: sayJSON(`"active"`), code: "as_bad_answer"},
		{name: "cut-json", fault: changed(func(b []byte) []byte { return b[:len(b)/2] }), code: "as_bad_answer"},
		{name: "two-documents", fault: changed(func(b []byte) []byte { return append(b, b...) }), code: "as_bad_answer"},
		{name: "oversized", fault: padded(2 << 20), code: "as_bad_answer"},
		{name: "deep", fault: sayJSON(strings.Repeat(`{"active":`, 100_000) + "true" + strings.Repeat("}", 100_000)), code: "as_bad_answer"},
	}
}

// introspectionAnswers are those of an AS that lies about a token.
func introspectionAnswers() []badAnswer {
	const insufficient, inactive = "insufficient_scope", "invalid_token"
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	own := []badAnswer{
		{name: "500-with-a-good-body", fault: func(w http.ResponseWriter, _ *http.Request, ask func() asAnswer) {
			a := ask()
			a.status = 500
			a.write(w)
		}, code: "as_error"},
		{name: "active-text", fault: lies(map[string]any{"active": "true"}), code: "as_bad_answer"},
		{name: "active-number", fault: lies(map[string]any{"active": 1}), code: "as_bad_answer"},
		{name: "active-missing", fault: lies(map[string]any{"active": nil}), code: "as_bad_answer"},
		{name: "active-null", fault: changed(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"active":true`), []byte(`"active":null`), 1)
		}), code: "as_bad_answer"},
		{name: "active-twice", fault: changed(func(b []byte) []byte {
			return append([]byte(`{"active":false,`), b[1:]...)
		}), code: "as_bad_answer"},
		{name: "active-other-case", fault: changed(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"active"`), []byte(`"Active"`), 1)
		}), code: "as_bad_answer"},
		{name: "inactive", fault: sayJSON(`{"active":false}`), status: 401, code: "inactive_token", error: inactive},
		{name: "inactive-with-permissions", fault: lies(map[string]any{"active": false}), status: 401, code: "inactive_token", error: inactive},
		{name: "permissions-no-list", fault: lies(map[string]any{"permissions": map[string]any{"a": 1}}), code: "as_bad_answer"},
		{name: "permissions-of-numbers", fault: lies(map[string]any{"permissions": []any{1, 2}}), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "exp-text", fault: lies(map[string]any{"exp": "tomorrow"}), code: "as_bad_answer"},
		{name: "always-active", plain: true, fault: sayJSON(`{"active":true}`), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "no-permissions", fault: lies(map[string]any{"permissions": nil}), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "no-scopes", fault: lies(map[string]any{"permissions.resource_scopes": []any{}, "permissions.scopes": []any{}}), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "scopes-missing", fault: lies(map[string]any{"permissions.resource_scopes": nil, "permissions.scopes": nil}), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "another-resource", fault: lies(map[string]any{"permissions.resource_id": "another", "permissions.rsid": "another"}), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "permission-over", fault: lies(map[string]any{"permissions.exp": past}), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "permission-not-yet", fault: lies(map[string]any{"permissions.nbf": future}), status: 401, code: "insufficient_permission", error: insufficient},
		{name: "expired", fault: lies(map[string]any{"exp": past}), status: 401, code: "expired_token", error: inactive},
		{name: "not-yet", fault: lies(map[string]any{"nbf": future}), status: 401, code: "token_not_yet_valid", error: inactive},
		{name: "another-issuer", fault: lies(map[string]any{"iss": "https://another.example"}), status: 401, code: "wrong_issuer", error: inactive},
		{name: "another-audience", fault: lies(map[string]any{"aud": []any{"another"}}), status: 401, code: "wrong_audience", error: inactive},
		{name: "another-client", fault: lies(map[string]any{"client_id": "another"}), status: 401, code: "wrong_client", error: inactive},
		{name: "bound-to-a-key", fault: lies(map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), status: 401, code: "sender_constrained_token", error: inactive},
	}
	return append(brokenAnswers(), own...)
}

// ticketAnswers are those of an AS that gives no ticket that can be used.
func ticketAnswers() []badAnswer {
	return append(
		brokenAnswers(),
		badAnswer{name: "ticket-number", fault: says(201, "application/json", `{"ticket":1}`)},
		badAnswer{name: "ticket-empty", fault: says(201, "application/json", `{"ticket":""}`)},
		badAnswer{name: "ticket-breaks-the-header", fault: says(201, "application/json", `{"ticket":"a\r\nSet-Cookie: b=c"}`)},
		badAnswer{name: "ticket-not-ascii", fault: says(201, "application/json", `{"ticket":"a\u0000\u00ff"}`)},
		badAnswer{name: "400", fault: says(400, "application/json", `{"error":"invalid_resource_id"}`)},
	)
}

// failureScenarios have a row for every way in which a call to the AS can end.
func failureScenarios() []scenario {
	hasty := func(e *env) config.Site {
		s := e.standardSite()
		s.Name, s.Hosts = s.Name+"-hasty", []string{"hasty." + e.host}
		s.AuthorizationServer.Introspection.TimeoutMS = 250
		s.AuthorizationServer.Permission.TimeoutMS = 250
		return s
	}
	strict := func(e *env, s *config.Site) {
		s.Token.Issuers = []string{e.as.issuer}
		s.Token.ClientIDs = []string{e.as.app.id}
	}
	return []scenario{
		{
			name: "introspection-failures", site: strict,
			more: func(e *env) []config.Site {
				audience := e.standardSite()
				audience.Name, audience.Hosts = e.name+"-audience", []string{"audience." + e.host}
				audience.Token.Audiences = []string{e.as.rs.id}
				return []config.Site{hasty(e), audience}
			},
			run: func(e *env) {
				t := e.t
				for _, bad := range introspectionAnswers() {
					t.Run(bad.name, func(t *testing.T) { e.badIntrospection(t, &bad) })
				}
			},
		},
		{
			name: "permission-failures",
			more: func(e *env) []config.Site { return []config.Site{hasty(e)} },
			run: func(e *env) {
				t := e.t
				for _, bad := range ticketAnswers() {
					t.Run(bad.name, func(t *testing.T) {
						e.front.spoil(t, permission, bad.fault)
						s := &step{name: bad.name, path: "/echo/album/a", status: 403, code: "no_ticket", tickets: 1, answer: map[string]string{
							"Warning": `199 - "UMA Authorization Server Unreachable"`, "Set-Cookie": "",
						}}
						if bad.slow {
							s.host = "hasty." + e.host
						}
						if bad.again {
							s.tickets = 2
						}
						e.step(t, s)
					})
				}
			},
		},
		{
			name: "permission-200",
			run: func(e *env) {
				t := e.t
				e.front.spoil(t, permission, func(w http.ResponseWriter, _ *http.Request, ask func() asAnswer) {
					a := ask()
					a.status = 200
					a.write(w)
				})
				e.step(t, &step{name: "a ticket is a ticket", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
			},
		},
		{
			name: "slow-as",
			run: func(e *env) {
				t := e.t
				e.front.spoil(t, introspection, func(w http.ResponseWriter, _ *http.Request, ask func() asAnswer) {
					a := ask()
					select {
					case <-time.After(300 * time.Millisecond):
					case <-t.Context().Done():
					}
					a.write(w)
				})
				e.step(t, &step{name: "slow, but in time", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1})
			},
		},
		{
			name: "no-as-for-what-needs-none",
			run: func(e *env) {
				t := e.t
				e.front.away(t)
				e.step(t, &step{name: "public", path: "/healthz", status: 200})
				e.step(t, &step{name: "unmatched", path: "/echo/nowhere", status: 403, code: "unmatched_path"})
			},
		},
		{
			name: "unknown-cluster",
			site: func(_ *env, s *config.Site) {
				s.AuthorizationServer.Introspection.Cluster = "nowhere"
				s.AuthorizationServer.Permission.Cluster = "nowhere"
			},
			steps: []step{
				{name: "no token", path: "/echo/album/a", status: 403, code: "no_ticket"},
				{name: "a token", path: "/echo/album/a", token: "=some", status: 503, code: "as_unreachable"},
			},
		},
		{
			name: "pat-expired", needs: canExpire,
			run: func(e *env) {
				t := e.t
				e.as.expirePATs()
				e.step(t, &step{name: "no ticket by an expired PAT", path: "/echo/album/a", status: 403, code: "no_ticket", tickets: 1})
				e.as.dropPAT()
				e.restore(t)
				e.step(t, &step{name: "a ticket by the new one", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
			},
		},
	}
}

// badIntrospection asks for a token that was never seen, has the answer spoiled,
// and sees that the next answer, a good one, is not in the way.
func (e *env) badIntrospection(t *testing.T, bad *badAnswer) {
	t.Helper()
	rpt := e.fresh(t, "view")
	e.front.spoil(t, introspection, bad.fault)
	s := &step{name: bad.name, path: "/echo/album/a", token: "=" + rpt, status: bad.status, code: bad.code, introspections: 1}
	if s.status == 0 {
		s.status = 503
	}
	if bad.again {
		s.introspections = 2
	}
	if bad.error != "" {
		s.challenge, s.fault, s.tickets = "UMA", bad.error, 1
	}
	if bad.slow || bad.plain {
		s.host = "hasty." + e.host
	}
	if bad.code == "wrong_audience" {
		s.host = "audience." + e.host
	}
	e.step(t, s)
	if s.status != 503 {
		return
	}
	e.front.mend(introspection)
	e.step(t, &step{name: bad.name + ", then a good answer", host: s.host, path: "/echo/album/a", token: "=" + rpt, status: 200, introspections: 1})
	require.NotEmpty(t, e.front.lastCall(introspection).header.Get("Authorization"), "the credential is added")
}
