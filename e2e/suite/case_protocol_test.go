package suite_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// protocolScenarios are about HTTP itself: methods, forms of request, bodies,
// upgrades.
func protocolScenarios() []scenario {
	grpc := http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	return []scenario{
		{
			name: "grpc-denied",
			run: func(e *env) {
				t := e.t
				for _, c := range []struct {
					path, status, message string
				}{
					{"/echo/album/a", "16", "no_token"},
					{"/echo/nowhere", "7", "unmatched_path"},
				} {
					r := e.request(t, &step{method: "POST", path: c.path, header: grpc}, "")
					a := e.client.do(t, r)
					require.Equal(t, 200, a.status)
					require.Equal(t, c.status, a.header.Get("Grpc-Status"))
					require.Contains(t, a.header.Get("Grpc-Message"), c.message)
					require.Equal(t, "application/grpc", a.header.Get("Content-Type"))
					if c.message == "no_token" {
						require.Equal(t, "UMA", parseChallenge(a.header.Get("Www-Authenticate")).scheme)
					}
				}
			},
		},
		{
			name: "grpc-web-is-plain-http", once: true,
			steps: []step{
				{name: "denied", method: "POST", path: "/echo/album/a", header: http.Header{"Content-Type": {"application/grpc-web"}}, status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
		},
		{
			name: "head",
			steps: []step{
				{name: "needs what GET needs", method: "HEAD", path: "/albums/1", status: 401, challenge: "UMA", tickets: 1},
				{name: "and no more", method: "HEAD", path: "/albums/1", token: "alice/album/view", status: 200, introspections: 1},
				{name: "not what PUT needs", method: "HEAD", path: "/albums/1", token: "alice/album/edit", status: 401, challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
			},
		},
		{
			name: "head-of-its-own", once: true,
			site: func(_ *env, s *config.Site) {
				s.Resources = append(s.Resources, config.Resource{Name: "heads", Conditions: []config.Condition{
					{Paths: []string{"/albums/1"}, Methods: []string{"HEAD"}, Public: true},
				}})
			},
			steps: []step{
				{name: "HEAD", method: "HEAD", path: "/albums/1", status: 200},
				{name: "GET", path: "/albums/1", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
		},
		{name: "methods", once: true, run: rawMethods},
		{name: "expect", once: true, run: expectations},
		{name: "websocket", once: true, needs: canUpgrade, run: websocket},
		{name: "bodies", once: true, run: bodies},
	}
}

// rawMethods sends what is no ordinary request line. None of it reaches the API.
func rawMethods(e *env) {
	t := e.t
	for _, line := range []string{
		"get /echo/album/a HTTP/1.1", "Get /echo/album/a HTTP/1.1", "GET  /echo/album/a HTTP/1.1", "FOO /echo/album/a HTTP/1.1", "PATCH /echo/album/a HTTP/1.1",
		"TRACE /echo/album/a HTTP/1.1", "OPTIONS * HTTP/1.1", "OPTIONS /echo/album/a HTTP/1.1", "CONNECT {host}:443 HTTP/1.1", "CONNECT /echo/public/a HTTP/1.1",
		"CONNECT * HTTP/1.1", "PRI /echo/album/a HTTP/1.1", "GET /echo/album/a HTTP/1.1\r\nX-Http-Method-Override: OPTIONS", "GET /echo/album/a HTTP/1.0", "GET /echo/album/a",
		"GET /echo/album/a HTTP/1.1\r\nHost: nobody.test",
		"GET /echo/album/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
	} {
		request := strings.ReplaceAll(line, "{host}", e.host) + "\r\nHost: " + e.host + "\r\nConnection: close\r\n\r\n"
		e.api.look()
		a := rawRequest(t, e.gw.address(), request)
		require.Empty(t, e.api.look(), "%q reached the API", line)
		if a != nil {
			require.True(t, a.status >= 400 && a.status < 600, "%q: %d %s", line, a.status, a.body)
		}
	}
}

func expectations(e *env) {
	t := e.t
	for _, line := range []string{"Expect: foo", "Expect: 100-continue, foo", "Expect: foo\r\nExpect: 100-continue"} {
		a := rawRequest(t, e.gw.address(), "POST /echo/public/a HTTP/1.1\r\nHost: "+e.host+"\r\nContent-Length: 2\r\n"+line+"\r\nConnection: close\r\n\r\nhi")
		require.NotNil(t, a, line)
		if a.status == 200 { // the gateway has answered it, and kept it from the API
			require.Empty(t, a.echo.Headers.Values("Expect"), line)
			continue
		}
		require.Equal(t, http.StatusExpectationFailed, a.status, line)
	}
	a := rawRequest(t, e.gw.address(), "POST /echo/public/a HTTP/1.1\r\nHost: "+e.host+"\r\nContent-Length: 0\r\nExpect: 100-Continue\r\nConnection: close\r\n\r\n")
	require.NotNil(t, a)
	require.Equal(t, 200, a.status)
}

// websocket upgrades after the decision, and talks.
func websocket(e *env) {
	t := e.t
	request := func(token string) string {
		return "GET /echo/album/socket HTTP/1.1\r\nHost: " + e.host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	}
	a := rawRequest(t, e.gw.address(), request("not-active"))
	require.NotNil(t, a)
	require.Equal(t, 401, a.status)
	conn := dialRaw(t, e.gw.address())
	defer conn.Close()
	_, err := io.WriteString(conn, request(e.fresh(t, "view")))
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	for _, word := range []string{"hello", "photos"} {
		_, err = fmt.Fprintln(conn, word)
		require.NoError(t, err)
		line, err := reader.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, strings.ToUpper(word)+"\n", line)
	}
}

// bodies sends bodies that arrive while the request waits for the AS.
func bodies(e *env) {
	t := e.t
	for _, c := range []struct {
		name    string
		size    int
		chunked bool
		waits   bool // the body is sent before the AS answers
	}{
		{"small, after the decision", 100, false, false},
		{"large, after the decision", 5 << 20, false, false},
		{"large and chunked, after the decision", 5 << 20, true, false},
		{"small, while paused", 100, false, true},
		{"half a MiB, while paused", 512 << 10, false, true},
		{"half a MiB and chunked, while paused", 512 << 10, true, true},
		{"beyond the buffer, while paused", 4 << 20, true, true},
	} {
		token := e.fresh(t, "edit")
		release := make(chan struct{})
		if c.waits {
			e.front.spoil(t, introspection, func(w http.ResponseWriter, r *http.Request, ask func() asAnswer) {
				a := ask()
				select {
				case <-release:
				case <-r.Context().Done():
				}
				a.write(w)
			})
		} else {
			close(release)
		}
		before := e.front.count(introspection)
		body := &signallingReader{left: c.size, half: make(chan struct{})}
		r := e.request(t, &step{method: "POST", path: "/echo/album/length"}, token)
		r.Body, r.ContentLength = io.NopCloser(body), int64(c.size)
		if c.chunked {
			r.ContentLength = -1
		}
		done := make(chan *answer, 1)
		go func() {
			a, err := roundTrip(e.client, r)
			if err != nil {
				a = &answer{header: http.Header{"Error": {err.Error()}}}
			}
			done <- a
		}()
		if c.waits {
			waitFor(t, c.name, func() bool { return e.front.count(introspection) > before })
			if c.size <= 512<<10 {
				<-body.half
			}
			close(release)
		}
		a := <-done
		e.front.mend(introspection)
		if c.size > 1<<20 && c.waits && a.status != 200 {
			// A gateway may refuse to keep so much; it must not cut it.
			require.Contains(t, []int{413, 0}, a.status, "%s: %s %s", c.name, a.header, a.body)
			continue
		}
		require.Equal(t, 200, a.status, "%s: %s %s", c.name, a.header, a.body)
		require.Equal(t, strconv.Itoa(c.size), string(a.body), c.name)
	}
	// A body whose request is denied does not reach the API, nor the next request.
	e.api.look()
	inner := "GET /echo/public/smuggled HTTP/1.1\r\nHost: " + e.host + "\r\n\r\n"
	a := rawRequest(t, e.gw.address(), fmt.Sprintf("POST /echo/nowhere HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", e.host, len(inner), inner))
	require.NotNil(t, a)
	require.Equal(t, 403, a.status)
	require.Empty(t, e.api.look())
}

// signallingReader is a body that tells when half of it has been taken.
type signallingReader struct {
	left, taken int
	told        bool
	half        chan struct{}
}

// Read implements io.Reader.
func (s *signallingReader) Read(p []byte) (int, error) {
	if s.taken >= s.left && !s.told {
		s.told = true
		close(s.half)
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), s.left, 16<<10)
	clear(p[:n])
	s.left -= n
	s.taken += n
	return n, nil
}
