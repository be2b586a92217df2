package wasmhost

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// upstreamTo points a host at another upstream.
func upstreamTo(t *testing.T, handler http.HandlerFunc) func(*Options) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	return func(o *Options) { o.Upstream = target }
}

// raw sends bytes and returns the answer.
func (r *rig) raw(t *testing.T, request string) answer {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func TestRequestMutation(t *testing.T) {
	r := startHost(t, nil)
	a := r.do(t, "GET", "/old", "x-test", "mutate", "x-new-path", "/new%2F/../%41?q=%20#", "x-one", "1", "x-one", "2", "x-gone", "x")
	require.Equal(t, 200, a.code)
	require.Contains(t, a.body, "PUT /new%2F/../%41?q=%20# host=")
	require.Contains(t, a.body, "X-One: replaced\r\n")
	require.Equal(t, 1, strings.Count(a.body, "X-One:"))
	require.NotContains(t, a.body, "X-Gone")
	require.Contains(t, a.body, "X-Added: a\r\nX-Added: b\r\n")
}

func TestTargetIsForwardedRaw(t *testing.T) {
	r := startHost(t, nil)
	for _, target := range []string{
		"/", "/a/../b/./c//d", "//double", "//double/%2e%2E?x=//y", "/%2F%5c\\;m=1", "/%00", "/a?", "/a?b?c=%zz", "/a;b=c,d|e^`{}", "/\"<>", "/a:b", "/%c3%28", "/'",
	} {
		t.Run(target, func(t *testing.T) {
			a := r.raw(t, "GET "+target+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			require.Equal(t, 200, a.code)
			require.True(t, strings.HasPrefix(a.body, "GET "+target+" host=h\n"), a.body)
		})
	}
	t.Run("what net/http cannot send is not sent", func(t *testing.T) {
		a := r.raw(t, "GET //a|b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		require.Equal(t, 502, a.code)
	})
}

func TestWhatTheFilterSees(t *testing.T) {
	r := startHost(t, nil)
	tests := []struct {
		name, request string
		status        int
		want          []string
		absent        string
	}{
		{"order and pseudo headers", "GET /a?b HTTP/1.1\r\nHost: H:80\r\nX-B: 2\r\nX-A: 1\r\n", 200, []string{":authority=H:80", ":path=/a?b", ":method=GET", ":scheme=http", "x-a=1", "x-b=2"}, ""},
		{"equal names stay apart", "GET /a HTTP/1.1\r\nHost: h\r\nx-uma-s: a\r\nX-UMA-s: b\r\nX_Uma_S: c\r\n", 200, []string{"x-uma-s=a", "x-uma-s=b", "x_uma_s=c"}, ""},
		{"two Authorization lines become one", "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n", 200, []string{"authorization=Bearer a,Bearer b"}, ""},
		{"absolute form", "GET http://other:81/a?b HTTP/1.1\r\nHost: h\r\n", 200, []string{":authority=other:81", ":path=/a?b"}, ""},
		{"absolute form without path", "GET https://other HTTP/1.1\r\nHost: h\r\n", 200, []string{":authority=other", ":path=/", ":scheme=https"}, ""},
		{"forwarded proto is the scheme", "GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\n", 200, []string{":scheme=https"}, ""},
		{"hop by hop", "GET /a HTTP/1.1\r\nHost: h\r\nConnection: x-secret, close\r\nx-secret: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\n", 200, nil, "x-secret="},
		{"a given request id is kept", "GET /a HTTP/1.1\r\nHost: h\r\nx-request-id: mine\r\n", 200, []string{"x-request-id=mine"}, ""},
		{"upgrade", "GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 200, []string{"upgrade=websocket", "connection=upgrade"}, ""},
		{"CONNECT", "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n", 200, []string{":method=CONNECT", ":authority=other:443"}, ":path="},
		{"empty host", "GET /a HTTP/1.1\r\nHost:\r\n", 200, []string{":authority="}, ""},
		{"fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n", 400, nil, ""},
		{"byte above 127", "GET /a\xff HTTP/1.1\r\nHost: h\r\n", 400, nil, ""},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n", 404, nil, ""},
		{"unknown method", "FOO /a HTTP/1.1\r\nHost: h\r\n", 400, nil, ""},
		{"HTTP/1.0", "GET /a HTTP/1.0\r\nHost: h\r\n", 426, nil, ""},
		{"no host", "GET /a HTTP/1.1\r\n", 400, nil, ""},
		{"invalid escape", "GET /%zz HTTP/1.1\r\nHost: h\r\n", 400, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := r.raw(t, tt.request+"x-test: pairs\r\n\r\n")
			require.Equal(t, tt.status, a.code)
			lines := strings.Split(a.body, "\n")
			for _, want := range tt.want {
				require.Contains(t, lines, want)
			}
			if tt.absent != "" {
				require.NotContains(t, a.body, tt.absent)
			}
		})
	}
}

func TestPassMalformed(t *testing.T) {
	r := startHost(t, func(o *Options) { o.PassMalformed = true })
	for _, line := range []string{"GET /a#b", "OPTIONS *", "FOO /a", "GET /a\xff"} {
		a := r.raw(t, line+" HTTP/1.1\r\nHost: h\r\nx-test: pairs\r\n\r\n")
		require.Equal(t, 200, a.code)
		require.Contains(t, a.body, ":path="+strings.Fields(line)[1]+"\n")
	}
}

func TestLocalReply(t *testing.T) {
	r := startHost(t, nil)
	tests := []struct {
		name, method, test, contentType string
		code                            int
		want                            map[string]string
		body                            string
	}{
		{"with a body", "GET", "reply", "", 418, map[string]string{"Www-Authenticate": `UMA realm="x"`, "Content-Type": "application/json", "Content-Length": "17"}, "short and stout"},
		{"HEAD has no body", "HEAD", "reply", "", 418, map[string]string{"Content-Length": "17"}, ""},
		{"empty", "GET", "empty-reply", "", 403, map[string]string{"Content-Type": ""}, ""},
		{"gRPC", "POST", "reply", "application/grpc", 200, map[string]string{"Grpc-Status": "2", "Grpc-Message": "short and stout", "Content-Type": "application/grpc", "Www-Authenticate": `UMA realm="x"`}, ""},
		{"gRPC with a mapped status", "POST", "empty-reply", "application/grpc+proto", 200, map[string]string{"Grpc-Status": "7", "Grpc-Message": ""}, ""},
		{"gRPC-Web is not gRPC", "POST", "empty-reply", "application/grpc-web", 403, map[string]string{"Grpc-Status": ""}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := r.do(t, tt.method, "/", "x-test", tt.test, "content-type", tt.contentType)
			require.Equal(t, tt.code, a.code)
			for name, value := range tt.want {
				if name == "Content-Length" {
					value = "15"
				}
				require.Equal(t, value, a.header.Get(name), name)
			}
			require.Equal(t, tt.body, a.body)
		})
	}
}

func TestBodies(t *testing.T) {
	r := startHost(t, func(o *Options) { o.MaxBufferedBytes = 100_000 })
	tests := []struct {
		name, test, body string
		code             int
		want             string
	}{
		{"passes", "", "hello", 200, "\nhello"},
		{"held to the end", "hold-body", strings.Repeat("a", 90_000), 200, "\n" + strings.Repeat("a", 90_000)},
		{"held beyond the limit", "hold-body", strings.Repeat("a", 200_000), 413, "Payload Too Large"},
		{"denied", "deny-body", "x", 403, "body denied"},
		{"large", "", strings.Repeat("z", 3_000_000), 200, "\n" + strings.Repeat("z", 3_000_000)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{"x-test", tt.test}
			req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/", io.NopCloser(strings.NewReader(tt.body)))
			require.NoError(t, err)
			req.Header.Set(headers[0], headers[1])
			resp, err := r.client.Do(req) // chunked: the length is not known
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, tt.code, resp.StatusCode)
			require.True(t, strings.HasSuffix(string(body), tt.want), "%.200s", body)
		})
	}
}

func TestUpstreamFailure(t *testing.T) {
	entries := make(chan Entry, 4)
	r := startHost(t, func(o *Options) {
		o.Upstream = &url.URL{Scheme: "http", Host: deadAddress(t)}
		o.AccessLog = func(e Entry) { entries <- e }
	})
	a := r.do(t, "GET", "/")
	require.Equal(t, 503, a.code)
	require.Contains(t, a.body, "upstream connect error")
	e := <-entries
	require.Equal(t, 503, e.Status)
	require.True(t, e.UpstreamUsed)
}

// deadAddress is an address where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestResponseIsStreamed(t *testing.T) {
	step := make(chan struct{})
	r := startHost(t, upstreamTo(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			fmt.Fprint(w, "tick\n")
			_ = http.NewResponseController(w).Flush()
			<-step
		}
	}))
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url, http.NoBody)
	require.NoError(t, err)
	resp, err := r.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	for range 3 {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "tick\n", line)
		step <- struct{}{}
	}
}

// gRPC needs HTTP/2 on both sides, full duplex and trailers.
func TestGRPCOverH2C(t *testing.T) {
	r := startHost(t, upstreamTo(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.WriteHeader(200)
		buf := make([]byte, 5)
		for {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				break
			}
			_, _ = w.Write(buf)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"X-Proto", r.Proto+" "+r.Header.Get("Te"))
	}))
	transport := newH2CTransport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/pkg.Service/Method", pr)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	go func() { _, _ = io.WriteString(pw, "ping1") }()
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, "HTTP/2.0", resp.Proto)
	buf := make([]byte, 5)
	for _, want := range []string{"ping1", "ping2", "ping3"} {
		_, err = io.ReadFull(resp.Body, buf)
		require.NoError(t, err)
		require.Equal(t, want, string(buf))
		if want == "ping3" {
			break
		}
		_, err = io.WriteString(pw, "ping"+string(want[4]+1))
		require.NoError(t, err)
	}
	require.NoError(t, pw.Close())
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "0", resp.Trailer.Get("Grpc-Status"))
	require.Equal(t, "HTTP/2.0 trailers", resp.Trailer.Get("X-Proto"))

	t.Run("local reply has only trailers", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/pkg.Service/Method", strings.NewReader("x"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("X-Test", "empty-reply")
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "7", resp.Header.Get("Grpc-Status"))
	})
}

func TestRequestTrailers(t *testing.T) {
	got := make(chan string, 1)
	r := startHost(t, upstreamTo(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer.Get("X-Sum")
	}))
	r.raw(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n")
	require.Equal(t, "9", <-got)
	require.EqualValues(t, 1, r.Stats().Counters["request_trailers"])
}

func TestUpgrade(t *testing.T) {
	r := startHost(t, upstreamTo(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-Websocket-Key") != "k" {
			w.WriteHeader(400)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+line)
	}))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
	require.NoError(t, err)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, 101, resp.StatusCode)
	_, err = io.WriteString(conn, "hello\n")
	require.NoError(t, err)
	line, err := br.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "echo hello\n", line)
}

func TestCONNECTThatTheFilterAllows(t *testing.T) {
	r := startHost(t, nil)
	require.Equal(t, 403, r.raw(t, "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n").code)
}

// A client that hangs up while its stream is paused ends the stream, with and
// without a body that it still owes.
func TestHangUpWhilePaused(t *testing.T) {
	entries := make(chan Entry, 4)
	r := startHost(t, func(o *Options) { o.AccessLog = func(e Entry) { entries <- e } })
	for name, request := range map[string]string{
		"no body":       "GET / HTTP/1.1\r\nHost: h\r\nx-test: pause\r\n\r\n",
		"a part of one": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nx-test: pause\r\n\r\nabc",
		"a whole one":   "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nx-test: pause\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			paused, done := r.Stats().Gauges["paused"], r.Stats().Counters["done"]
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
			require.NoError(t, err)
			_, err = io.WriteString(conn, request)
			require.NoError(t, err)
			require.Eventually(t, func() bool { return r.Stats().Gauges["paused"] == paused+1 }, patience, time.Millisecond)
			require.NoError(t, conn.Close())
			e := <-entries
			require.Equal(t, "downstream_remote_disconnect", e.Details)
			require.Zero(t, e.Status)
			require.Equal(t, done+1, r.Stats().Counters["done"])
		})
	}
}

// A worker serves others while one of its streams is paused.
func TestPausedStreamHoldsNobodyUp(t *testing.T) {
	r := startHost(t, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	ended := r.later(ctx, "x-test", "pause")
	require.Eventually(t, func() bool { return r.Stats().Gauges["paused"] == 1 }, patience, time.Millisecond)
	require.Equal(t, 200, r.do(t, "GET", "/").code)
	hangUp()
	<-ended
}

func TestAccessLog(t *testing.T) {
	entries := make(chan Entry, 4)
	r := startHost(t, func(o *Options) { o.AccessLog = func(e Entry) { entries <- e } })
	a := r.do(t, "GET", "/old?x", "x-test", "state")
	require.Contains(t, a.body, "X-State: allow\r\n")
	e := <-entries
	require.Equal(t, map[string][]byte{"wasm.decision": []byte("allow"), "wasm.late": []byte("yes")}, e.FilterState)
	require.Equal(t, []any{"GET", "/old?x", "/old?x", 200, true, "via_upstream", "HTTP/1.1"}, []any{e.Method, e.Path, e.OriginalPath, e.Status, e.UpstreamUsed, e.Details, e.Protocol})
	require.Positive(t, e.Duration)
	r.do(t, "GET", "/", "x-test", "reply")
	e = <-entries
	require.Equal(t, []any{418, false, "direct_response"}, []any{e.Status, e.UpstreamUsed, e.Details})
}
