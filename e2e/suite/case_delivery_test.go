package suite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// deliveryScenarios are about what the control plane gives to gateways while they
// serve, and about what gateways tell.
func deliveryScenarios() []scenario {
	roomy := func(_ *env, s *config.Site) {
		s.Limits = config.Limits{TicketsPerSecond: 100_000, TicketBurst: 100_000, CallsInFlight: 1000}
	}
	return []scenario{
		{name: "update-under-traffic", site: roomy, run: updateUnderTraffic},
		{name: "refused-configuration", once: true, run: refusedConfiguration},
		{name: "pat-rotation-under-traffic", once: true, site: roomy, run: patRotation},
		{name: "ten-thousand-resources", once: true, run: tenThousandResources},
		{name: "counters", once: true, run: counters},
		{name: "access-log", run: accessLogLine},
		{name: "killed-under-traffic", once: true, needs: canRestart, site: roomy, run: killedUnderTraffic},
	}
}

// load is continuous traffic: workers that send one request after the other and
// judge each answer.
type load struct {
	stop chan struct{}
	all  sync.WaitGroup
	sent atomic.Int64
	each []atomic.Int64 // of each worker
	mu   sync.Mutex
	bad  []string
}

// startLoad begins to send. expect is asked for each answer, with what now said
// before the request was sent and after its answer came.
func startLoad[S comparable](t *testing.T, e *env, workers int, now func() S, request func() *http.Request, expect func(before, after S, a *answer, err error) string) *load {
	t.Helper()
	l := &load{stop: make(chan struct{}), each: make([]atomic.Int64, workers)}
	transport := crowd(e.gw.address(), workers)
	for i := range workers {
		l.all.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				before := now()
				a, err := roundTrip(transport, request())
				l.sent.Add(1)
				l.each[i].Add(1)
				if err != nil {
					select { // whoever comes back is not to be kept from it
					case <-l.stop:
					case <-time.After(20 * time.Millisecond):
					}
				}
				if fault := expect(before, now(), a, err); fault != "" {
					l.mu.Lock()
					l.bad = append(l.bad, fault)
					l.mu.Unlock()
				}
			}
		})
	}
	t.Cleanup(func() { l.end(); transport.CloseIdleConnections() })
	return l
}

// end stops the traffic and returns what was wrong.
func (l *load) end() []string {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.all.Wait()
	return l.bad
}

// more waits until so many more requests have been answered, two of them of each
// worker: what was under way has come to its end then, and another one since.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	until := l.sent.Load() + n
	each := make([]int64, len(l.each))
	for i := range each {
		each[i] = l.each[i].Load() + 2
	}
	waitFor(t, "traffic", func() bool {
		for i := range each {
			if l.each[i].Load() < each[i] {
				return false
			}
		}
		return l.sent.Load() >= until
	})
}

// transit marks the time between the push and its acknowledgement.
const transit = -1

// updateUnderTraffic: no request is lost, and after the acknowledgement none is
// judged by the configuration before.
func updateUnderTraffic(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	e.step(t, &step{name: "known", path: "/echo/album/a", token: "=" + token, status: 200, introspections: 1})
	var generation atomic.Int64 // even: /echo/flip is public; odd: nothing names it
	generation.Store(transit)
	now := func() int64 { return generation.Load() }
	path := func(p, token string) func() *http.Request {
		plain := e.request(t, &step{path: p}, token)
		return func() *http.Request { return plain.Clone(context.WithoutCancel(t.Context())) }
	}
	flip := startLoad(t, e, 4, now, path("/echo/flip/a", ""), func(before, after int64, a *answer, err error) string {
		if err != nil {
			return "lost: " + err.Error()
		}
		if a.status != 200 && a.status != 403 {
			return fmt.Sprintf("%d %s", a.status, a.body)
		}
		if before != after || before == transit {
			return ""
		}
		if want := []int{200, 403}[before%2]; a.status != want {
			return fmt.Sprintf("generation %d answered %d", before, a.status)
		}
		return ""
	})
	introspected := e.front.count(introspection)
	steady := startLoad(t, e, 2, now, path("/echo/album/a", token), func(_, _ int64, a *answer, err error) string {
		if err != nil {
			return "lost: " + err.Error()
		}
		if a.status != 200 {
			return fmt.Sprintf("permitted, but %d %s", a.status, a.body)
		}
		return ""
	})
	set := func(g int64) {
		generation.Store(transit)
		require.NoError(t, e.update(t, func(c *config.Config) {
			c.Revision = "flip-" + strconv.FormatInt(g, 10)
			if g%2 == 0 {
				s := e.site(c)
				s.Resources = append(append([]config.Resource(nil), s.Resources...), config.Resource{
					Name: "flip", Conditions: []config.Condition{{Paths: []string{"/echo/flip/**"}, Public: true}},
				})
			}
		}))
		generation.Store(g)
	}
	var longest time.Duration
	for g := range int64(8) {
		began := time.Now()
		set(g)
		longest = max(longest, time.Since(began))
		flip.more(t, 40)
	}
	require.Empty(t, flip.end())
	require.Empty(t, steady.end())
	require.LessOrEqual(t, e.front.count(introspection)-introspected, e.gw.workers(), "pushes keep what is known of tokens")
	t.Logf("%d requests during 8 pushes; the longest push took %s", flip.sent.Load()+steady.sent.Load(), longest.Round(time.Millisecond))
	e.restore(t)
}

func refusedConfiguration(e *env) {
	t := e.t
	for name, spoil := range map[string]func(c *config.Config){
		"two sites of one name": func(c *config.Config) { c.Sites = append(c.Sites, *e.site(c)) },
		"a bad template": func(c *config.Config) {
			e.site(c).Resources = one(e, config.Condition{Paths: []string{"no-slash"}, Public: true})
		},
		"an unknown operator": func(c *config.Config) {
			e.site(c).Resources = one(e, config.Condition{Paths: []string{"/**"}, ScopeExpression: &config.ScopeExpression{
				Rule: json.RawMessage(`{"map":[1]}`), Data: []string{"a"},
			}})
		},
		"another version": func(c *config.Config) { c.Version = 2 },
	} {
		err := e.update(t, spoil)
		require.ErrorIs(t, err, errRefused, name)
		e.step(t, &step{name: "the old one serves: " + name, path: "/healthz", status: 200})
		e.step(t, &step{name: "the old one protects: " + name, path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
	}
	e.restore(t)
	require.NoError(t, e.update(t, func(c *config.Config) { c.Revision = "after a refusal" }))
	e.step(t, &step{name: "a good one is taken afterwards", path: "/healthz", status: 200})
	e.restore(t)
}

// patRotation delivers new PATs while requests need tickets. The AS takes the old
// one until the new one is acknowledged.
func patRotation(e *env) {
	t := e.t
	pats := []string{"pat-0"}
	var mu sync.Mutex
	known := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), pats...)
	}
	e.front.spoil(t, permission, func(w http.ResponseWriter, r *http.Request, _ func() asAnswer) {
		for _, pat := range known() {
			if r.Header.Get("Authorization") == "Bearer "+pat {
				says(201, "application/json", `{"ticket":"a-ticket"}`)(w, r, nil)
				return
			}
		}
		says(401, "application/json", `{"error":"invalid_token"}`)(w, r, nil)
	})
	deliver := func(pat string) {
		next := e.d
		next.clusters = maps.Clone(e.d.clusters)
		next.clusters[permissionCluster] = cluster{e.front.address, envoyconf.Bearer(secret.New(pat))}
		require.NoError(t, e.gw.update(t.Context(), next))
	}
	deliver("pat-0")
	defer e.restore(t)
	waitFor(t, "the first PAT", func() bool {
		return e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, "")).status == 401
	})
	plain := e.request(t, &step{path: "/echo/album/a"}, "")
	l := startLoad(t, e, 4, func() int { return 0 },
		func() *http.Request { return plain.Clone(context.WithoutCancel(t.Context())) },
		func(_, _ int, a *answer, err error) string {
			if err != nil {
				return "lost: " + err.Error()
			}
			if a.status != 401 {
				return fmt.Sprintf("%d %s", a.status, a.body)
			}
			return ""
		})
	for i := range 5 {
		pat := fmt.Sprintf("pat-%d", i+1)
		mu.Lock()
		pats = append(pats, pat)
		mu.Unlock()
		deliver(pat)
		// Calls that were on their way with the old one come to their end.
		waitFor(t, "the new PAT in use", func() bool { return e.front.lastCall(permission).header.Get("Authorization") == "Bearer "+pat })
		l.more(t, 40)
		mu.Lock()
		pats = []string{pat}
		mu.Unlock()
		l.more(t, 40)
	}
	require.Empty(t, l.end())
}

// tenThousandResources: the size of a large site.
func tenThousandResources(e *env) {
	t := e.t
	const n = 10_000
	began := time.Now()
	require.NoError(t, e.update(t, func(c *config.Config) {
		s := e.site(c)
		s.Resources = make([]config.Resource, n)
		for i := range n {
			s.Resources[i] = config.Resource{Name: fmt.Sprintf("r%d", i), ID: fmt.Sprintf("id-%d", i), Conditions: []config.Condition{
				{Paths: []string{fmt.Sprintf("/echo/r%d/**", i)}, Methods: []string{"GET"}, Scopes: []string{"view"}},
				{Paths: []string{fmt.Sprintf("/echo/r%d/**", i)}, Methods: []string{"PUT"}, Scopes: []string{"edit"}},
			}}
		}
	}))
	t.Logf("10,000 resources (20,000 conditions) are in force %s after the push", time.Since(began).Round(time.Millisecond))
	e.front.spoil(t, permission, says(201, "application/json", `{"ticket":"a-ticket"}`))
	for _, i := range []int{0, 4711, n - 1} {
		p := fmt.Sprintf("/echo/r%d/x", i)
		e.step(t, &step{name: "no token", path: p, status: 401, code: "no_token", challenge: "UMA", tickets: 1})
		require.JSONEq(t, fmt.Sprintf(`[{"resource_id":"id-%d","resource_scopes":["view"]}]`, i), e.front.lastCall(permission).body)
		e.front.spoil(t, introspection, sayJSON(fmt.Sprintf(
			`{"active":true,"sub":"alice","permissions":[{"resource_id":"id-%d","resource_scopes":["view"]}]}`, i)))
		token := fmt.Sprintf("=opaque-%d", i)
		e.step(t, &step{name: "the right one", path: p, token: token, status: 200, introspections: 1})
		e.step(t, &step{name: "the wrong scope", method: "PUT", path: p, token: token, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: -1, tickets: 1})
		e.step(t, &step{name: "a neighbour", path: fmt.Sprintf("/echo/r%d/x", (i+1)%n), token: token, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: -1, tickets: 1})
	}
	e.step(t, &step{name: "no resource", path: fmt.Sprintf("/echo/r%d/x", n), status: 403, code: "unmatched_path"})
	e.restore(t)
}

func counters(e *env) {
	t := e.t
	read := func() map[counted]uint64 {
		counts, err := e.gw.decisions(t.Context())
		require.NoError(t, err)
		return counts
	}
	before := read()
	for range 3 {
		e.step(t, &step{name: "public", path: "/healthz", status: 200})
	}
	e.step(t, &step{name: "no token", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
	e.step(t, &step{name: "unmatched", path: "/echo/nowhere", status: 403, code: "unmatched_path"})
	want := map[counted]uint64{
		{e.name, "allow", "public"}: 3, {e.name, "deny", "no_token"}: 1, {e.name, "deny", "unmatched_path"}: 1,
	}
	waitFor(t, "the counters", func() bool {
		after := read()
		for k, n := range want {
			if after[k]-before[k] != n {
				return false
			}
		}
		return true
	})
}

// reportOf waits for the decision on a path in the access log.
func (e *env) reportOf(t *testing.T, marker string) map[string]any {
	t.Helper()
	var d map[string]any
	waitFor(t, "the access log line of "+marker, func() (ok bool) {
		d, ok = e.gw.logged(marker)
		return ok
	})
	return d
}

// accessLogLine: each gateway prints the decision as an object with the same fields.
func accessLogLine(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	// The gateway keeps the lines of the AS before.
	own := strings.ReplaceAll(t.Name(), "/", "-")
	album := map[string]any{
		"decision": "allow", "reason": "permitted", "site": "access-log", "resource": "album", "condition": "/echo/album/**",
		"subject": e.as.subjects["alice"], "client_id": "app", "scopes": "view",
	}
	with := func(more map[string]any) map[string]any {
		out := maps.Clone(album)
		maps.Copy(out, more)
		return out
	}
	for _, c := range []struct {
		path, token string
		want        map[string]any
		status      int
	}{
		{"/echo/public/a-" + own, "", map[string]any{"decision": "allow", "reason": "public", "site": "access-log", "resource": "open", "condition": "/echo/public/**"}, 200},
		{"/echo/album/b-" + own, token, with(map[string]any{"cache": "miss"}), 200},
		{"/echo/album/c-" + own, token, with(map[string]any{"cache": "hit"}), 200},
		{"/echo/nowhere/d-" + own, "", map[string]any{"decision": "deny", "reason": "unmatched_path", "site": "access-log", "status": 403.0}, 403},
		{"/echo/public/e-" + own + ";", "", map[string]any{"decision": "deny", "reason": "ambiguous_path", "site": "access-log", "problem": "matrix_parameter", "status": 400.0}, 400},
	} {
		a := e.client.do(t, e.request(t, &step{path: c.path}, c.token))
		require.Equal(t, c.status, a.status)
		require.Equal(t, c.want, e.reportOf(t, c.path), c.path)
	}
	// What the AS says of a token is a text, whatever is in it, and has an end.
	for i, c := range []struct{ name, subject, want string }{
		{"quotes", `b","decision":"deny"},"status":"\`, `b","decision":"deny"},"status":"\`},
		{"control bytes", "a\r\n{\"decision\":\"deny\"}\n\x00\x1b[31m\x7f\u2028", "a\r\n{\"decision\":\"deny\"}\n\x00\x1b[31m\x7f\u2028"},
		{"long", strings.Repeat("é", 300), strings.Repeat("é", 126) + "…"},
	} {
		said, err := json.Marshal(map[string]any{
			"active": true, "sub": c.subject, "client_id": c.subject, "permissions": []any{map[string]any{"resource_id": e.as.resources["album"], "resource_scopes": []string{"view", c.subject}}},
		})
		require.NoError(t, err)
		e.front.spoil(t, introspection, sayJSON(string(said)))
		path := fmt.Sprintf("/echo/album/hostile-%d-%s", i, own)
		e.step(t, &step{name: c.name, path: path, token: fmt.Sprintf("=opaque-%d-%s", i, own), status: 200, introspections: 1})
		got := e.reportOf(t, path)
		scopes, _ := got["scopes"].(string)
		require.Truef(t, strings.HasPrefix(scopes, "view"), "%s: %q", c.name, scopes)
		delete(got, "scopes")
		want := with(map[string]any{"cache": "miss", "subject": c.want, "client_id": c.want})
		delete(want, "scopes")
		require.Equal(t, want, got, c.name)
	}
	e.front.mend(introspection)
}

// killedUnderTraffic: a gateway that is killed lets nothing pass that it should
// not, and serves again as before, but for what was revoked meanwhile.
func killedUnderTraffic(e *env) {
	t := e.t
	taken := e.fresh(t, "view")
	e.step(t, &step{name: "known", path: revokedPath, token: "=" + taken, status: 200, introspections: 1})
	e.revoke(t, revocationsOf(e, taken)[0].list)
	plain := e.request(t, &step{path: "/echo/album/a"}, "")
	l := startLoad(t, e, 4, func() int { return 0 },
		func() *http.Request { return plain.Clone(context.WithoutCancel(t.Context())) },
		func(_, _ int, a *answer, err error) string {
			if err == nil && a.status < 400 {
				return fmt.Sprintf("%d %s", a.status, a.body)
			}
			return ""
		})
	l.more(t, 20)
	r, ok := e.gw.(restarter)
	require.True(t, ok)
	r.restart(t)
	l.more(t, 20)
	require.Empty(t, l.end())
	e.step(t, &step{
		name: "revoked before", path: revokedPath, token: "=" + taken, status: 401, code: "revoked_token",
		challenge: "UMA", fault: "invalid_token", introspections: 0, tickets: 1,
	})
	e.step(t, &step{name: "protected", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
	e.step(t, &step{name: "served", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1})
	e.restore(t)
}
