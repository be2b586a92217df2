package wasmhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// removeHopByHop removes what a proxy does not pass on (RFC 9110 section 7.6.1).
func removeHopByHop(m *headerMap) {
	for _, name := range [...]string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "expect", "http2-settings"} {
		m.remove(name)
	}
}

// exchange is one request on its way through the proxy.
type exchange struct {
	host    *Host
	stream  *stream
	entry   Entry
	rw      http.ResponseWriter
	in      *http.Request
	body    io.ReadCloser
	headers *headerMap // the request's, as the filter left them
	// announced are the names of the request's trailers. The request's own map is
	// written by who reads the body.
	announced http.Header
	// filtered is the body as the filter lets it pass, and trailers are those that it has
	// seen.
	filtered *filteredBody
	trailers http.Header
}

// ServeHTTP shows the request to the filter and does what the filter decides.
func (h *Host) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h.streams.Add(1)
	defer h.streams.Add(-1)
	worker := h.workerOf(r)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	s := &stream{worker: worker, reply: make(chan *localReply, 1), cancel: cancel, facts: factsOf(r)}
	x := &exchange{host: h, stream: s, rw: rw, in: r, headers: requestHeaders(r, s.facts.scheme), announced: r.Trailer.Clone()}
	defer func() {
		entry := x.entry
		worker.queue.post(func(ctx context.Context) { s.end(ctx, &entry) })
	}()
	if code := refuse(r); code != 0 && !h.passMalformed {
		x.entry.Status, x.entry.Details = code, "http1.codec_error"
		rw.WriteHeader(code)
		return
	}
	end := r.Body == nil || r.Body == http.NoBody
	if r.ProtoMajor == 1 && !end {
		// An upstream may answer before it has read the body, and may go on reading.
		_ = http.NewResponseController(rw).EnableFullDuplex()
		ahead := startPrefetch(r.Body, h.maxBuffered, func() { cancel(errHungUp) })
		defer ahead.finish(rw)
		x.body = ahead
	} else {
		x.body = r.Body
	}
	v := s.show(ctx, func(ctx context.Context, wait chan verdict) { s.begin(ctx, x.headers, end, wait) })
	if x.filter(ctx, end); v.outcome == readBody {
		v.outcome = x.filtered.ahead()
	}
	if v.outcome == stopped {
		x.finishStopped(ctx)
		return
	}
	x.forward(ctx)
}

// filter makes the body that is shown to the filter as it is read.
func (x *exchange) filter(ctx context.Context, none bool) {
	if none {
		return
	}
	left := int64(-1)
	if x.in.ProtoMajor == 1 && len(x.announced) == 0 {
		left = x.in.ContentLength
	}
	x.filtered = &filteredBody{
		ctx: ctx, stream: x.stream, source: x.body, left: left,
		trailers:    func() http.Header { return x.in.Trailer },
		setTrailers: func(t http.Header) { replace(x.trailers, t) },
	}
	if len(x.announced) > 0 {
		x.trailers = make(http.Header, len(x.announced))
		for name := range x.announced {
			x.trailers[name] = nil
		}
	}
}

// refuse is what Envoy's codec and connection manager answer without asking the
// filter; 0 when it is asked.
func refuse(r *http.Request) int {
	switch {
	case r.ProtoMajor == 1 && r.ProtoMinor == 0:
		return http.StatusUpgradeRequired
	case r.ProtoMajor == 1 && !knownMethod(r.Method):
		return http.StatusBadRequest
	case r.RequestURI == "*":
		return http.StatusNotFound
	case strings.ContainsFunc(r.RequestURI, func(c rune) bool { return c == '#' || c >= 0x7f }):
		return http.StatusBadRequest
	}
	return 0
}

// knownMethod says whether Envoy's HTTP/1 codec takes a method.
func knownMethod(method string) bool {
	const known = " ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE " +
		"NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE "
	return strings.Contains(known, " "+method+" ")
}

// finishStopped writes the local reply, or cuts the stream when there is none.
func (x *exchange) finishStopped(ctx context.Context) {
	select {
	case r := <-x.stream.reply:
		x.writeReply(ctx, r)
		return
	default:
	}
	if x.in.Context().Err() != nil || errors.Is(context.Cause(ctx), errHungUp) {
		x.entry.Details = "downstream_remote_disconnect"
		return
	}
	if x.host.isClosed() {
		x.entry.Status = http.StatusServiceUnavailable
		x.rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	panic(http.ErrAbortHandler) // how a handler of net/http resets a stream
}

func (x *exchange) writeReply(ctx context.Context, r *localReply) {
	out := x.rw.Header()
	out["Content-Type"] = nil // net/http would guess one
	for _, f := range r.headers.fields {
		if !strings.HasPrefix(f.name, ":") {
			out.Add(f.name, f.value)
		}
	}
	x.entry.Status = statusOf(r.headers)
	x.rw.WriteHeader(x.entry.Status)
	if _, err := x.rw.Write(r.body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		x.host.log.DebugContext(ctx, "the client did not take the answer", slog.Any("error", err))
	}
}

// answerHere makes a reply for something that happened outside the VM.
func (x *exchange) answerHere(ctx context.Context, code int, text, details string) {
	s := x.stream
	posted := s.worker.do(func(ctx context.Context) {
		headers := &headerMap{}
		if !s.over && !s.answered && !s.showAnswer(ctx, headers) {
			return
		}
		s.answer(&localReply{status: code, headers: headers, body: []byte(text), grpcStatus: grpcFromHTTP, details: details})
	})
	if !posted {
		x.rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	x.finishStopped(ctx)
}

// forward sends the request to the upstream.
func (x *exchange) forward(ctx context.Context) {
	if x.in.Method == http.MethodConnect {
		x.answerHere(ctx, http.StatusForbidden, "", "upgrade_failed") // no tunnels here
		return
	}
	target, err := rawURL(x.host.upstream, x.headers.value(":path"))
	if err != nil {
		x.host.log.WarnContext(ctx, "a request was not forwarded", slog.Any("error", err))
		x.answerHere(ctx, http.StatusBadGateway, "the request target cannot be forwarded as it is", "raw_target")
		return
	}
	transport := x.host.transport
	if x.stream.facts.isH2 && x.stream.facts.isGRPC {
		transport = x.host.h2c
	}
	rp := httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { x.rewrite(pr, target) },
		Transport:      transport,
		FlushInterval:  -1,
		ErrorLog:       slog.NewLogLogger(x.host.log.Handler(), slog.LevelDebug),
		BufferPool:     (*buffers)(x.host),
		ModifyResponse: func(resp *http.Response) error { return x.showResponse(ctx, resp) },
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { x.upstreamFailed(ctx, err) },
	}
	x.rw.Header()["Content-Type"] = nil
	x.entry.UpstreamUsed = true
	in := x.in.WithContext(ctx)
	in.Trailer = x.announced
	rp.ServeHTTP(x.rw, in)
}

// rewrite makes the outgoing request of what the filter left.
func (x *exchange) rewrite(pr *httputil.ProxyRequest, target *url.URL) {
	out := pr.Out
	out.Method, out.Host, out.URL = x.headers.value(":method"), x.headers.value(":authority"), target
	upgrade := out.Header.Get("Upgrade")
	out.Header = x.headers.toHTTP()
	out.Header.Del("Connection")
	out.Header.Del("Transfer-Encoding")
	if upgrade != "" && out.Header.Get("Upgrade") != "" {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", upgrade)
	}
	out.ContentLength = -1
	if n, err := strconv.ParseInt(out.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		out.ContentLength = n
	}
	out.Header.Del("Content-Length")
	if x.in.Body == nil || x.in.Body == http.NoBody {
		out.Body, out.ContentLength = nil, 0
		return
	}
	out.Body = x.filtered
	if x.trailers != nil {
		out.Trailer, out.ContentLength = x.trailers, -1
	}
}

// showResponse shows the response's headers to the filter.
func (x *exchange) showResponse(ctx context.Context, resp *http.Response) error {
	s := x.stream
	m := &headerMap{}
	m.add(":status", strconv.Itoa(resp.StatusCode))
	m.fromHTTP(resp.Header)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		removeHopByHop(m)
	}
	if v := s.show(ctx, func(ctx context.Context, wait chan verdict) { s.respond(ctx, m, wait) }); v.outcome == stopped {
		return errStreamOver
	}
	resp.Header = m.toHTTP()
	x.entry.Status, x.entry.Details = resp.StatusCode, "via_upstream"
	return nil
}

// upstreamFailed answers when there is no response to pass on.
func (x *exchange) upstreamFailed(ctx context.Context, err error) {
	select {
	case r := <-x.stream.reply:
		x.writeReply(ctx, r)
		return
	default:
	}
	if errors.Is(err, errStreamOver) || ctx.Err() != nil {
		x.finishStopped(ctx)
		return
	}
	x.host.log.InfoContext(ctx, "the upstream did not answer", slog.Any("error", err))
	x.answerHere(ctx, http.StatusServiceUnavailable,
		"upstream connect error or disconnect/reset before headers. reset reason: "+resetReason(err), "upstream_reset_before_response_started")
}

// requestHeaders is the request as the filter sees it: pseudo headers first, the
// target as it arrived, hop-by-hop headers removed but for an upgrade.
func requestHeaders(r *http.Request, scheme string) *headerMap {
	authority, target := r.Host, r.RequestURI
	if proto := r.Header.Get("X-Forwarded-Proto"); proto == "http" || proto == "https" {
		scheme = proto
	}
	if sch, a, p, ok := absoluteForm(target); ok && r.Method != http.MethodConnect {
		scheme, authority, target = sch, a, p
	}
	m := &headerMap{fields: make([]field, 0, len(r.Header)+8)}
	m.add(":authority", authority)
	if r.Method != http.MethodConnect {
		m.add(":path", target)
	}
	m.add(":method", r.Method)
	m.add(":scheme", scheme)
	upgrade := r.ProtoMajor == 1 && hasToken(r.Header["Connection"], "upgrade") && r.Header.Get("Upgrade") != ""
	trailers := hasToken(r.Header["Te"], "trailers")
	m.fromHTTP(r.Header)
	for _, line := range r.Header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			m.remove(lower(strings.TrimSpace(name)))
		}
	}
	m.join("authorization", "content-type", "user-agent", "x-forwarded-for", "x-forwarded-proto", "x-request-id")
	removeHopByHop(m)
	m.remove("te")
	if trailers {
		m.add("te", "trailers")
	}
	if upgrade {
		m.add("connection", "upgrade")
		m.add("upgrade", r.Header.Get("Upgrade"))
	}
	if _, ok := m.get("x-forwarded-proto"); !ok {
		m.add("x-forwarded-proto", scheme)
	}
	if _, ok := m.get("x-request-id"); !ok {
		m.add("x-request-id", newRequestID())
	}
	return m
}

// hasToken looks for a token in comma-separated lines.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// absoluteForm splits "http://host/path" (RFC 9112 section 3.2.2).
func absoluteForm(target string) (scheme, authority, path string, ok bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	scheme = lower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return "", "", "", false
	}
	i := strings.IndexAny(rest, "/?#")
	switch {
	case i < 0:
		return scheme, rest, "/", true
	case rest[i] != '/':
		return scheme, rest[:i], "/" + rest[i:], true
	}
	return scheme, rest[:i], rest[i:], true
}

func factsOf(r *http.Request) facts {
	f := facts{
		start: time.Now(), protocol: r.Proto, remoteAddr: r.RemoteAddr, scheme: "http", originalPath: r.RequestURI,
		isHead: r.Method == http.MethodHead, isH2: r.ProtoMajor == 2,
	}
	if r.TLS != nil {
		f.scheme = "https"
	}
	if f.isH2 {
		f.protocol = "HTTP/2"
	}
	kind := r.Header.Get("Content-Type")
	f.isGRPC = kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+")
	return f
}

func statusOf(m *headerMap) int {
	code, err := strconv.Atoi(m.value(":status"))
	if err != nil || code < 100 || code > 999 {
		return http.StatusInternalServerError
	}
	return code
}

// newRequestID is a UUID of version 4 (RFC 9562 section 5.4).
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func replace(dst, src http.Header) {
	clear(dst)
	for name, values := range src {
		dst[http.CanonicalHeaderKey(name)] = values
	}
}

// buffers is the host's pool in the form that httputil wants.
type buffers Host

func (b *buffers) Get() []byte {
	p, ok := b.buffers.Get().(*[]byte)
	if !ok {
		return make([]byte, 32<<10)
	}
	return *p
}

func (b *buffers) Put(p []byte) { b.buffers.Put(&p) }

var _ io.ReadCloser = (*filteredBody)(nil)
