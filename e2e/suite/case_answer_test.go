package suite_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// answerScenarios are about answers of an AS that mean something although they are
// not as the specifications would have them.
func answerScenarios() []scenario {
	return []scenario{
		{name: "as-no-end", run: tokensWithoutEnd},
		{name: "as-bad-permission", run: badPermission},
		{name: "as-closes-connections", run: closedConnections},
		{name: "as-busy", run: busyAS, more: func(e *env) []config.Site {
			tickets := e.standardSite()
			tickets.Name, tickets.Hosts = e.name+"-tickets", []string{"tickets." + e.host}
			return []config.Site{tickets}
		}},
	}
}

// tokensWithoutEnd: an exp that is no time in seconds refuses nothing.
func tokensWithoutEnd(e *env) {
	t := e.t
	for _, tt := range []struct{ name, exp string }{
		{"never", "-1"},
		{"the largest number", "9223372036854775807"},
		{"as milliseconds", "9223372036854775"},
		{"in an hour, as milliseconds", strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := e.fresh(t, "view")
			exp := json.Number(tt.exp)
			e.front.spoil(t, introspection, lies(map[string]any{"exp": exp, "permissions.exp": exp}))
			e.step(t, &step{name: "passes", path: "/echo/album/a", token: "=" + token, status: 200, introspections: 1})
			e.step(t, &step{name: "is cached", path: "/echo/album/a", token: "=" + token, status: 200})
		})
	}
}

// badPermission: it alone counts for nothing.
func badPermission(e *env) {
	t := e.t
	e.front.spoil(t, introspection, changed(func(body []byte) []byte {
		var object map[string]any
		if json.Unmarshal(body, &object) != nil {
			return body
		}
		edit := map[string]any{"resource_id": e.as.resources["album"], "resource_scopes": []any{"edit", 1}}
		good, _ := object["permissions"].([]any)
		object["permissions"] = append([]any{nil, edit}, good...)
		out, err := json.Marshal(object)
		if err != nil {
			return body
		}
		return out
	}))
	token := e.fresh(t, "view")
	e.step(t, &step{name: "the good one counts", path: "/echo/album/a", token: "=" + token, status: 200, introspections: 1})
	e.step(t, &step{name: "the bad one does not", method: "POST", path: "/echo/album/a", token: "=" + token, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1, introspections: -1})
}

// onceClosed closes the connection of the first call without an answer, as an AS
// does with one that has been idle for too long.
func onceClosed() fault {
	var closed atomic.Bool
	return func(w http.ResponseWriter, _ *http.Request, ask func() asAnswer) {
		if closed.Swap(true) {
			ask().write(w)
			return
		}
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

// closedConnections: a call on a connection that the AS is closing is made once
// more.
func closedConnections(e *env) {
	t := e.t
	e.step(t, &step{name: "a connection", path: "/echo/album/a", token: "=" + e.fresh(t, "view"), status: 200, introspections: 1})
	for range 20 {
		e.front.spoil(t, introspection, onceClosed())
		e.step(t, &step{name: "introspected", path: "/echo/album/a", token: "=" + e.fresh(t, "view"), status: 200, introspections: 2})
		require.Empty(t, e.front.lastCall(introspection).header.Get("X-Envoy-Retry-On"), "what is said to Envoy is not said to the AS")
		require.Empty(t, e.front.lastCall(introspection).header.Get("X-Envoy-Max-Retries"))
		require.NotEmpty(t, e.front.lastCall(introspection).header.Get("Authorization"), "the credential is added")
		e.front.spoil(t, permission, onceClosed())
		e.step(t, &step{name: "a ticket", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 2})
	}
}

// busyAS: what the AS asks for in Retry-After is done, and told to the client.
func busyAS(e *env) {
	t := e.t
	busy := func(w http.ResponseWriter, _ *http.Request, _ func() asAnswer) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	for _, tt := range []struct {
		name, endpoint, host, code string
		token                      string
		status                     int
	}{
		{"introspection", introspection, e.host, "as_busy", "=" + e.fresh(t, "view"), 503},
		{"permission", permission, "tickets." + e.host, "no_ticket", "", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.front.spoil(t, tt.endpoint, busy)
			before := e.front.count(tt.endpoint)
			e.step(t, &step{
				name: "told", host: tt.host, path: "/echo/album/a", token: tt.token, status: tt.status, code: tt.code,
				introspections: -1, tickets: -1, answer: map[string]string{"Retry-After": "120"},
			})
			require.Equal(t, 1, e.front.count(tt.endpoint)-before)
			e.front.mend(tt.endpoint)
			r := e.client.do(t, e.request(t, &step{host: tt.host, path: "/echo/album/a"}, e.token(t, tt.token)))
			require.Equal(t, tt.status, r.status, "%s", r.body)
			require.Equal(t, tt.code, r.code)
			require.Equal(t, 1, e.front.count(tt.endpoint)-before, "the AS is left alone")
			wait, err := strconv.Atoi(r.header.Get("Retry-After"))
			require.NoError(t, err)
			require.True(t, wait > 0 && wait <= 120, "%d", wait)
		})
	}
	e.step(t, &step{name: "public", path: "/healthz", status: 200})
}
