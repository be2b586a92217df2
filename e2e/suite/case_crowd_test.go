package suite_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// crowdScenarios are about many requests at once.
func crowdScenarios() []scenario {
	roomy := func(_ *env, s *config.Site) { s.Limits = config.Limits{TicketsPerSecond: 10_000, CallsInFlight: 1000} }
	return []scenario{
		{name: "500-requests-one-token", site: roomy, run: oneToken},
		{name: "leader-hangs-up", needs: canHTTP2, run: leaderHangsUp},
		{name: "leader-closes-connection", run: leaderCloses},
		{
			name: "ticket-limit", once: true,
			site: func(_ *env, s *config.Site) { s.Limits = config.Limits{TicketsPerSecond: 1, TicketBurst: 3} },
			run:  ticketLimit,
		},
		{
			name: "call-limit", once: true, needs: canHTTP2,
			site: func(_ *env, s *config.Site) { s.Limits = config.Limits{CallsInFlight: 2} },
			run:  callLimit,
		},
		{name: "flood-of-bad-tokens", once: true, site: roomy, run: badTokens},
		{
			name: "waiting-limit", once: true, needs: canHTTP2,
			site: func(_ *env, s *config.Site) { s.Limits = config.Limits{WaitingRequestsPerCall: 3} },
			run:  waitingLimit,
		},
		{name: "push-while-many-wait", once: true, needs: canHTTP2, site: roomy, run: pushWhileManyWait},
		{name: "all-hang-up", once: true, needs: canHTTP2, site: roomy, run: allHangUp},
	}
}

// oneStream is a transport whose requests share one HTTP/2 connection, and so one
// worker.
func oneStream(t *testing.T, address string) *http.Transport {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address) //nolint:wrapcheck // a test's own
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// together sends n requests at once and returns the statuses; an error is 0.
func together(n int, transport http.RoundTripper, request func(i int) *http.Request) []int {
	statuses := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		r := request(i)
		all.Go(func() {
			if a, err := roundTrip(transport, r); err == nil {
				statuses[i] = a.status
			}
		})
	}
	all.Wait()
	return statuses
}

func count(statuses []int, status int) int {
	n := 0
	for _, s := range statuses {
		if s == status {
			n++
		}
	}
	return n
}

func oneToken(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	before := e.front.count(introspection)
	transport := crowd(e.gw.address(), 100)
	transport.MaxConnsPerHost = 100
	defer transport.CloseIdleConnections()
	statuses := together(500, transport, func(int) *http.Request { return e.request(t, &step{path: "/echo/album/a"}, token) })
	require.Equal(t, 500, count(statuses, 200), "%v", statuses)
	asked := e.front.count(introspection) - before
	require.True(t, asked >= 1 && asked <= e.gw.workers(), "one call for each worker: %d", asked)
}

// held makes introspection wait until release is closed.
func (e *env) held(t *testing.T) (release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	e.front.spoil(t, introspection, func(w http.ResponseWriter, r *http.Request, ask func() asAnswer) {
		a := ask()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		a.write(w)
	})
	return release
}

// waiting waits until the gateway has n requests that have not been answered.
func (e *env) waiting(t *testing.T, n uint64) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d requests wait", n), func() bool {
		active, known := e.gw.active(t.Context())
		return known && active == n
	})
}

// leaderHangsUp: the request that made the call goes away; those that wait for the
// same call get its answer.
func leaderHangsUp(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	release := e.held(t)
	transport := oneStream(t, e.gw.address())
	before := e.front.count(introspection)
	leading, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	gone := make(chan error, 1)
	leader := e.request(t, &step{path: "/echo/album/leader"}, token).WithContext(leading)
	leader.URL.Opaque, leader.URL.Path = "", "/echo/album/leader" // HTTP/2 has no opaque form
	go func() {
		_, err := roundTrip(transport, leader)
		gone <- err
	}()
	waitFor(t, "the leader's call", func() bool { return e.front.count(introspection) == before+1 })
	followers := make([]*http.Request, 20)
	for i := range followers {
		followers[i] = e.request(t, &step{path: "/"}, token)
		followers[i].URL.Opaque, followers[i].URL.Path = "", fmt.Sprintf("/echo/album/%d", i)
	}
	statuses := make(chan []int, 1)
	go func() {
		statuses <- together(len(followers), transport, func(i int) *http.Request { return followers[i] })
	}()
	e.waiting(t, 1+20)
	hangUp()
	require.Error(t, <-gone)
	e.waiting(t, 20)
	close(release)
	got := <-statuses
	require.Equal(t, 20, count(got, 200), "%v", got)
	require.Equal(t, 1, e.front.count(introspection)-before, "the AS is asked once")
	for _, target := range e.api.look() {
		require.NotEqual(t, "/echo/album/leader", target, "the request of a client that has gone")
	}
	e.step(t, &step{name: "afterwards", path: "/echo/album/a", token: "=" + token, status: 200, introspections: -1})
}

// leaderCloses is the same over HTTP/1.1, where each request has a connection, on
// whatever worker.
func leaderCloses(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	release := e.held(t)
	before := e.front.count(introspection)
	conn := dialRaw(t, e.gw.address())
	_, err := fmt.Fprintf(conn, "GET /echo/album/leader HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", e.host, token)
	require.NoError(t, err)
	waitFor(t, "the leader's call", func() bool { return e.front.count(introspection) == before+1 })
	transport := crowd(e.gw.address(), 20)
	defer transport.CloseIdleConnections()
	follower := e.request(t, &step{path: "/echo/album/a"}, token)
	statuses := make(chan []int, 1)
	go func() {
		statuses <- together(20, transport, func(int) *http.Request { return follower.Clone(context.WithoutCancel(t.Context())) })
	}()
	e.waiting(t, 1+20)
	require.NoError(t, conn.Close())
	e.waiting(t, 20)
	close(release)
	got := <-statuses
	require.Equal(t, 20, count(got, 200), "%v", got)
	require.LessOrEqual(t, e.front.count(introspection)-before, e.gw.workers())
}

func ticketLimit(e *env) {
	t := e.t
	began, before := time.Now(), e.front.count(permission)
	granted, limited := 0, 0
	for range 10 {
		a := e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, ""))
		switch a.status {
		case 401:
			granted++
		case 429:
			limited++
			require.Equal(t, "too_many_tickets", a.code)
			require.Equal(t, "1", a.header.Get("Retry-After"))
			require.Empty(t, a.header.Values("Www-Authenticate"))
		default:
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	allowed := (3 + int(time.Since(began)/time.Second) + 1) * int(e.client.dials.Load())
	require.GreaterOrEqual(t, granted, 3)
	require.LessOrEqual(t, granted, allowed)
	require.Positive(t, limited)
	require.Equal(t, granted, e.front.count(permission)-before)
}

func callLimit(e *env) {
	t := e.t
	release := e.held(t)
	transport := oneStream(t, e.gw.address())
	before := e.front.count(introspection)
	request := func(token string) *http.Request {
		r := e.request(t, &step{path: "/"}, token)
		r.URL.Opaque, r.URL.Path = "", "/echo/album/a"
		return r
	}
	first := []*http.Request{request(e.fresh(t, "view")), request(e.fresh(t, "view"))}
	third := request(e.fresh(t, "view"))
	statuses := make(chan []int, 1)
	go func() {
		statuses <- together(len(first), transport, func(i int) *http.Request { return first[i] })
	}()
	waitFor(t, "two calls", func() bool { return e.front.count(introspection) == before+2 })
	a, err := roundTrip(transport, third)
	require.NoError(t, err)
	require.Equal(t, 429, a.status, "%s", a.body)
	require.Equal(t, "too_many_calls", a.code)
	require.Equal(t, "1", a.header.Get("Retry-After"))
	close(release)
	require.Equal(t, []int{200, 200}, <-statuses)
}

// badTokens are more than the negative cache holds; a good token stays cached.
func badTokens(e *env) {
	t := e.t
	e.step(t, &step{name: "a good one", path: "/echo/album/a", token: "alice/album/view", status: 200, introspections: 1})
	e.front.spoil(t, introspection, sayJSON(`{"active":false}`))
	for range 3 * negativeEntries {
		a := e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, rand.Text()))
		require.Equal(t, 401, a.status, "%s", a.body)
		require.Equal(t, "inactive_token", a.code)
	}
	e.front.mend(introspection)
	e.step(t, &step{name: "it is still known", path: "/echo/album/a", token: "alice/album/view", status: 200})
}
