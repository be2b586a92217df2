package suite_test

import (
	"context"
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// manyWait is more than one callback of the filter takes on.
const manyWait = 300

// waiter is a request over HTTP/2, which has no opaque form.
func (e *env) waiter(token string) *http.Request {
	r := e.request(e.t, &step{path: "/"}, token)
	r.URL.Opaque, r.URL.Path = "", "/echo/album/a"
	return r
}

// waitingLimit: what finds no room to wait is told so at once, and there is room
// again when the others have had their answer.
func waitingLimit(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	release := e.held(t)
	transport := oneStream(t, e.gw.address())
	before := e.front.count(introspection)
	statuses := make(chan []int, 1)
	go func() {
		requests := []*http.Request{e.waiter(token), e.waiter(token), e.waiter(token)}
		statuses <- together(len(requests), transport, func(i int) *http.Request { return requests[i] })
	}()
	waitFor(t, "the call", func() bool { return e.front.count(introspection) == before+1 })
	// The three may not have arrived yet: one of these is among the waiting then.
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	extra := make(chan *answer, 4)
	for range cap(extra) {
		r := e.waiter(token).WithContext(ctx)
		go func() {
			a, err := roundTrip(transport, r)
			if err != nil {
				a = nil
			}
			extra <- a
		}()
	}
	limited := <-extra
	require.NotNil(t, limited)
	require.Equal(t, 429, limited.status, "%s", limited.body)
	require.Equal(t, "too_many_waiting", limited.code)
	require.Equal(t, "1", limited.header.Get("Retry-After"))
	close(release)
	for range cap(extra) - 1 {
		require.Contains(t, []int{200, 429}, (<-extra).status)
	}
	for _, status := range <-statuses {
		require.Contains(t, []int{200, 429}, status)
	}
	a, err := roundTrip(transport, e.waiter(token))
	require.NoError(t, err)
	require.Equal(t, 200, a.status)
}

// pushWhileManyWait: those who wait for a call of the configuration before are
// answered, in as many turns as it takes.
func pushWhileManyWait(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	release := e.held(t)
	transport := oneStream(t, e.gw.address())
	before := e.front.count(introspection)
	requests := make([]*http.Request, manyWait)
	for i := range requests {
		requests[i] = e.waiter(token)
	}
	statuses := make(chan []int, 1)
	go func() {
		statuses <- together(len(requests), transport, func(i int) *http.Request { return requests[i] })
	}()
	waitFor(t, "the call", func() bool { return e.front.count(introspection) > before })
	change := func(revision string) {
		require.NoError(t, e.update(t, func(c *config.Config) { c.Revision = revision }))
	}
	defer e.restore(t)
	change("while they wait")
	close(release)
	change("while they are answered")
	got := <-statuses
	require.Equal(t, manyWait, count(got, 200), "%v", got)
	change("afterwards")
	e.step(t, &step{name: "afterwards", path: "/echo/album/a", token: "=" + token, status: 200, introspections: -1})
}

// allHangUp: a call that nobody waits for any more ends, and its answer is kept.
func allHangUp(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	release := e.held(t)
	transport := oneStream(t, e.gw.address())
	before := e.front.count(introspection)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	requests := make([]*http.Request, manyWait)
	for i := range requests {
		requests[i] = e.waiter(token).WithContext(ctx)
	}
	statuses := make(chan []int, 1)
	go func() {
		statuses <- together(len(requests), transport, func(i int) *http.Request { return requests[i] })
	}()
	waitFor(t, "the call", func() bool { return e.front.count(introspection) > before })
	hangUp()
	require.Equal(t, manyWait, count(<-statuses, 0))
	close(release)
	// Some may be on their way to the API by now: their clients' word comes late.
	a, err := roundTrip(transport, e.waiter(token))
	require.NoError(t, err)
	require.Equal(t, 200, a.status)
}
