package suite_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// streamScenarios are about streams that end with their tokens.
func streamScenarios() []scenario {
	ending := func(_ *env, s *config.Site) { s.Token.Streams = config.StreamsEndWithToken }
	brief := func(e *env, s *config.Site) {
		ending(e, s)
		s.Token.MaxTTLMS = 1000
	}
	return []scenario{
		{name: "streams-end-revoked", needs: canUpgrade | canHTTP2, site: ending, run: streamsEndRevoked},
		{name: "streams-end-expired", once: true, needs: canUpgrade | canHTTP2, site: ending, run: streamsEndExpired},
		{name: "streams-end-inactive", once: true, needs: canUpgrade | canHTTP2, site: brief, run: streamsEndInactive},
		{name: "streams-keep-a-policy", once: true, needs: canUpgrade | canHTTP2, run: streamsKeepAPolicy},
		{name: "streams-outlive", once: true, needs: canUpgrade | canHTTP2, run: streamsOutlive},
		{
			name: "streams-limit", once: true, run: streamsLimit,
			site: func(e *env, s *config.Site) {
				ending(e, s)
				s.Limits.Streams = 1
			},
		},
	}
}

// openStream is a stream whose answer has begun.
type openStream struct {
	name, path string
	echo       func(t *testing.T) // sends something, where one can, and sees what comes back
	ended      chan error         // what reading its rest came to
}

// openStreams begins one of each kind for a token.
func (e *env) openStreams(t *testing.T, token, marker string) []*openStream {
	t.Helper()
	var all []*openStream
	for name, transport := range map[string]*http.Transport{"events over HTTP/1.1": crowd(e.gw.address(), 1), "events over HTTP/2": oneStream(t, e.gw.address())} {
		s := &openStream{name: name, path: "/echo/album/" + marker + "/events" + fmt.Sprint(len(all)), ended: make(chan error, 1), echo: func(*testing.T) {}}
		response, err := transport.RoundTrip(e.request(t, &step{path: s.path}, token))
		require.NoError(t, err)
		require.Equal(t, 200, response.StatusCode)
		t.Cleanup(func() { _ = response.Body.Close() })
		r := bufio.NewReader(response.Body)
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "data: hello\n", line)
		go func() {
			_, err := io.ReadAll(r)
			s.ended <- err
		}()
		all = append(all, s)
	}
	s := &openStream{name: "WebSocket", path: "/echo/album/" + marker + "/socket", ended: make(chan error, 1)}
	conn := dialRaw(t, e.gw.address())
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer %s\r\n\r\n", s.path, e.host, token)
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	lines := make(chan string, 10)
	go func() {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				s.ended <- err
				return
			}
			lines <- line
		}
	}()
	s.echo = func(t *testing.T) {
		t.Helper()
		_, err := io.WriteString(conn, "hello\n")
		require.NoError(t, err)
		require.Equal(t, "HELLO\n", <-lines)
	}
	s.echo(t)
	return append(all, s)
}

// end waits for the end of streams, each for a reason.
func (e *env) end(t *testing.T, streams []*openStream, reason string) {
	t.Helper()
	for _, s := range streams {
		select {
		case err := <-s.ended:
			require.Error(t, err, s.name)
		case <-time.After(patience):
			require.Fail(t, s.name+" has not ended")
		}
		waitFor(t, "the log of "+s.name, func() bool {
			d, ok := e.gw.logged(s.path)
			return ok && d["decision"] == "end" && d["reason"] == reason && d["site"] == e.name
		})
	}
}

func requireOpen(t *testing.T, streams []*openStream) {
	t.Helper()
	for _, s := range streams {
		s.echo(t)
		select {
		case err := <-s.ended:
			require.Fail(t, s.name+" has ended", "%v", err)
		default:
		}
	}
}

// streamsEndRevoked: what is revoked ends its own streams, and no others; who has no answer
// yet gets one.
func streamsEndRevoked(e *env) {
	t := e.t
	others := e.openStreams(t, e.fresh(t, "view"), "others")
	for i, kind := range revocationsOf(e, e.fresh(t, "view"))[:2] {
		t.Run(kind.name, func(t *testing.T) {
			token := e.fresh(t, "view")
			streams := e.openStreams(t, token, fmt.Sprint("own", i))
			e.api.look()
			answers := make(chan *answer, 1)
			go func() {
				defer close(answers)
				if a, err := roundTrip(crowd(e.gw.address(), 1), e.request(t, &step{path: fmt.Sprint("/echo/album/never", i)}, token)); err == nil {
					answers <- a
				}
			}()
			waitFor(t, "the request at the API", func() bool { return len(e.api.look()) > 0 })
			requireOpen(t, streams)
			e.revoke(t, revocationsOf(e, token)[i].list)
			e.end(t, streams, "revoked_token")
			a := <-answers
			require.NotNil(t, a)
			require.Equal(t, 401, a.status)
			require.Equal(t, "revoked_token", a.code)
			requireOpen(t, others)
			e.restore(t)
		})
	}
	e.revoke(t, config.Revocations{Site: e.name, IssuedBefore: time.Now().Unix() + 60, IssuedBeforeEnds: time.Now().Unix() + 3600})
	e.end(t, others, "revoked_token")
	e.restore(t)
}

// streamsEndExpired: the AS said when the token ends.
func streamsEndExpired(e *env) {
	t := e.t
	e.front.spoil(t, introspection, lies(map[string]any{"exp": time.Now().Unix() + 4}))
	streams := e.openStreams(t, e.fresh(t, "view"), "short")
	e.front.mend(introspection)
	others := e.openStreams(t, e.fresh(t, "view"), "long")
	e.end(t, streams, "expired_token")
	requireOpen(t, others)
}

// streamsEndInactive: the AS is asked about the token of a stream that nobody else uses.
func streamsEndInactive(e *env) {
	t := e.t
	streams := e.openStreams(t, e.fresh(t, "view"), "asked")
	asked := e.front.count(introspection)
	waitFor(t, "the AS is asked again", func() bool { return e.front.count(introspection) > asked+1 })
	requireOpen(t, streams)
	e.front.spoil(t, introspection, lies(map[string]any{"active": false}))
	e.end(t, streams, "inactive_token")
}

// streamsOutlive: without the setting, a request is judged when it begins.
func streamsOutlive(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	streams := e.openStreams(t, token, "old")
	e.revoke(t, revocationsOf(e, token)[0].list)
	e.step(t, &step{path: revokedPath, token: "=" + token, status: 401, code: "revoked_token", challenge: "UMA", fault: "invalid_token", introspections: -1, tickets: -1})
	requireOpen(t, streams)
	e.restore(t)
}

// streamsKeepAPolicy: Envoy keeps a configuration as long as a stream that began under it,
// and takes it up again when it comes back. What a worker learned in between is over then.
func streamsKeepAPolicy(e *env) {
	t := e.t
	keeper, token := e.fresh(t, "view"), e.fresh(t, "view")
	own, other := revocationsOf(e, token)[0].list, innocent(e)
	// Connections enough that each worker has some.
	clients := make([]*client1, 16)
	for i := range clients {
		clients[i] = newClient(t, e.gw.address())
	}
	everywhere := func(what string, want int) {
		t.Helper()
		for _, c := range clients {
			waitFor(t, what, func() bool { return c.do(t, e.request(t, &step{path: revokedPath}, token)).status == want })
		}
	}
	push := func(revision string, list config.Revocations) {
		t.Helper()
		require.NoError(t, e.update(t, func(c *config.Config) {
			c.Revision, c.Revocations = revision, []config.Revocations{list}
		}))
	}
	push("kept, revoked", own)
	everywhere("is refused", 401)
	for i := range clients {
		e.openStreams(t, keeper, fmt.Sprint("kept-", i))
	}
	push("kept, not revoked", other)
	everywhere("is let in", 200)
	for i := range clients {
		e.openStreams(t, keeper, fmt.Sprint("kept-again-", i))
	}
	push("kept, revoked", own)
	everywhere("is refused again", 401)
	push("kept, not revoked", other)
	everywhere("is let in again", 200)
	e.restore(t)
}

// streamsLimit: one more than a worker may have is refused, until one has ended.
func streamsLimit(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	conn := dialRaw(t, e.gw.address())
	_, err := fmt.Fprintf(conn, "GET /echo/album/socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer %s\r\n\r\n", e.host, token)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	status := func() int {
		c := newClient(t, e.gw.address())
		defer c.hangUp()
		return c.do(t, e.request(t, &step{path: revokedPath}, token)).status
	}
	waitFor(t, "a request at the worker of the stream", func() bool { return status() == 429 })
	require.NoError(t, conn.Close())
	for range 4 * e.gw.workers() {
		waitFor(t, "there is room", func() bool { return status() == 200 })
	}
}
