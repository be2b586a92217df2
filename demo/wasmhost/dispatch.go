package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// callAnswer is the answer to an HTTP call. As in Envoy, a call that gets no
// response is answered 503, or 504 after its time; one whose response breaks off
// has an answer without headers.
type callAnswer struct {
	headers *headerMap
	body    []byte
}

// errAnswerTooLong says that an answer is longer than MaxCallResponseBytes.
var errAnswerTooLong = errors.New("the answer is longer than Options.MaxCallResponseBytes")

func abiHTTPCall(ctx context.Context, v *vm, a []uint64) status {
	name, ok1 := v.text(a[0], a[1])
	headerBytes, ok2 := v.bytes(a[2], a[3])
	body, ok3 := v.bytes(a[4], a[5])
	trailerBytes, ok4 := v.bytes(a[6], a[7])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return statusInvalidMemory
	}
	headers, ok1 := decodeHeaders(headerBytes)
	trailers, ok2 := decodeHeaders(trailerBytes)
	if !ok1 || !ok2 {
		return statusBadArgument
	}
	timeout := time.Duration(int32(uint32(a[8]))) * time.Millisecond //nolint:gosec // an i32 of the ABI
	if st := v.putU32(a[9], 0); st != statusOK {
		return st
	}
	token, st := v.httpCall(ctx, name, headers, body, trailers, timeout)
	if st != statusOK {
		return st
	}
	return v.putU32(a[9], token)
}

// httpCall starts a call. It belongs to the plugin's context, as in Envoy
// (root_context()): the end of the stream that made it does not cancel it.
func (v *vm) httpCall(ctx context.Context, name string, headers *headerMap, body []byte, trailers *headerMap, timeout time.Duration) (uint32, status) {
	p := v.plugin()
	c, known := v.host.cluster(name)
	if !known || p == nil || timeout < 0 {
		return 0, statusBadArgument
	}
	for _, pseudo := range []string{":method", ":path", ":authority"} {
		if _, ok := headers.get(pseudo); !ok {
			return 0, statusBadArgument
		}
	}
	if v.worker == nil {
		return 0, statusInternalFailure // while a configuration is tried, nobody would hear the answer
	}
	callCtx, cancel := context.WithCancel(ctx)
	if timeout > 0 {
		cancel()
		callCtx, cancel = context.WithTimeout(ctx, timeout)
	}
	v.nextToken++
	token := v.nextToken
	p.calls[token] = cancel
	v.host.calls.Go(func() {
		answer, err := v.host.doCall(callCtx, c, headers, body, trailers)
		if err != nil {
			v.log.DebugContext(callCtx, "an HTTP call failed", slog.String("cluster", name), slog.Any("error", err))
		}
		v.worker.queue.post(func(ctx context.Context) { p.callDone(ctx, token, answer) })
	})
	return token, statusOK
}

// callDone hands the answer to the filter, unless the call was cancelled.
func (p *plugin) callDone(ctx context.Context, token uint32, answer *callAnswer) {
	cancel, waiting := p.calls[token]
	if !waiting || p.vm.err != nil {
		return
	}
	cancel()
	delete(p.calls, token)
	p.answer = answer
	// What the callback defers runs in call, and may still read the answer.
	_, _ = p.vm.call(ctx, p.vm.exports.callResponse, p.id, 0,
		token, count(answer.headers), uint32(len(answer.body)), 0) //nolint:gosec // bounded
	p.answer = nil
}

// doCall makes the request. There is always an answer; the error is for the log.
func (h *Host) doCall(ctx context.Context, c *clusterState, headers *headerMap, body []byte, trailers *headerMap) (*callAnswer, error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	switch credential := c.credential.Load(); {
	case !credential.IsZero():
		headers.remove("authorization") // overwrite: true
		headers.add("authorization", credential.Reveal())
	case c.credentialRequired:
		return failedAnswer(http.StatusUnauthorized, "Failed to inject credential."), nil
	}
	target, err := rawURL(c.url, headers.value(":path"))
	if err != nil {
		return &callAnswer{}, err
	}
	again := headers.value("x-envoy-retry-on") == "reset" && headers.value("x-envoy-max-retries") == "1"
	headers.remove("x-envoy-retry-on")
	headers.remove("x-envoy-max-retries")
	req := &http.Request{
		Method: headers.value(":method"), URL: target, Host: headers.value(":authority"),
		Header: headers.toHTTP(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	req = req.WithContext(ctx)
	req.Header.Del("Content-Length")
	req.Header.Del("Transfer-Encoding")
	if _, has := req.Header["User-Agent"]; !has {
		req.Header["User-Agent"] = nil // or net/http adds its own
	}
	if len(body) > 0 {
		req.ContentLength = int64(len(body))
		req.Body = bodyOf(body)
		req.GetBody = func() (io.ReadCloser, error) { return bodyOf(body), nil }
	}
	if trailers.len() > 0 {
		req.Trailer = trailers.toHTTP()
		req.ContentLength = -1
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil && again && ctx.Err() == nil {
		req.Body = bodyOf(body)
		resp, err = c.transport.RoundTrip(req)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return failedAnswer(http.StatusGatewayTimeout, "upstream request timeout"), nil
	case err != nil:
		return failedAnswer(http.StatusServiceUnavailable, "upstream connect error or disconnect/reset before headers. reset reason: "+resetReason(err)), nil
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(resp.Body, h.maxCallResponse+1))
	if err == nil && int64(len(content)) > h.maxCallResponse {
		err = errAnswerTooLong
	}
	if err != nil {
		return &callAnswer{}, fmt.Errorf("call %s: read the answer: %w", c.name, err)
	}
	answer := &callAnswer{headers: &headerMap{}, body: content}
	answer.headers.add(":status", strconv.Itoa(resp.StatusCode))
	answer.headers.fromHTTP(resp.Header)
	return answer, nil
}

// failedAnswer is an answer that Envoy makes itself.
func failedAnswer(code int, text string) *callAnswer {
	m := &headerMap{}
	m.add(":status", strconv.Itoa(code))
	m.add("content-length", strconv.Itoa(len(text)))
	m.add("content-type", "text/plain")
	return &callAnswer{headers: m, body: []byte(text)}
}

// resetReason is Envoy's word for a failure before the headers.
func resetReason(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		return "remote connection failure"
	}
	return "connection termination"
}

// errRawTarget says that net/http cannot send a target as it is.
var errRawTarget = errors.New("the request target cannot be sent byte for byte")

// rawURL is a URL that net/http writes with exactly this target. base gives scheme
// and host.
func rawURL(base *url.URL, target string) (*url.URL, error) {
	u := &url.URL{Scheme: base.Scheme, Host: base.Host}
	switch {
	case target == "":
		return nil, fmt.Errorf("%w: it is empty", errRawTarget)
	case target[0] == '/' && (len(target) == 1 || target[1] != '/'), target == "*":
		u.Opaque = target
	default:
		// As Opaque, "//a" would become an absolute form.
		path, query, hasQuery := strings.Cut(target, "?")
		unescaped, err := url.PathUnescape(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRawTarget, err)
		}
		u.Path, u.RawPath, u.RawQuery, u.ForceQuery = unescaped, path, query, hasQuery
	}
	if u.RequestURI() != target {
		return nil, fmt.Errorf("%w: %q", errRawTarget, target)
	}
	return u, nil
}
