package wasmhost

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// direction is one of a stream's two halves.
type direction int

const (
	request direction = iota
	response
)

// outcome is what becomes of a piece that was shown to the filter.
type outcome int

const (
	// proceed: send on; for a body, verdict.data, which is empty while the filter
	// keeps what came so far.
	proceed outcome = iota
	// stopped: the stream is over. A local reply, if there is one, is in
	// stream.reply.
	stopped
)

type verdict struct {
	outcome outcome
	data    []byte
}

// half is what the filter may see and change of one direction.
type half struct {
	wait chan verdict
	// headers and trailers are nil while the filter may not see them.
	headers, trailers *headerMap
	body              []byte
	bodyShown         bool
	// buffering says that body is kept for later, resumed that the filter has
	// since let it go.
	buffering, resumed bool
}

// stream is one request. What is below "worker" belongs to the worker's goroutine.
type stream struct {
	worker *worker
	facts  facts
	// reply holds the local reply; it is full before any waiter hears "stopped".
	reply chan *localReply
	// cancel ends the call to the upstream.
	cancel context.CancelCauseFunc

	// worker:
	id          uint32
	plugin      *plugin
	halves      [2]half
	filterState map[string][]byte
	// requestMap and responseMap are what the access log shows.
	requestMap, responseMap *headerMap
	logging                 bool // proxy_on_log runs
	answered                bool // a local reply was made
	failed                  bool // by a trap: the VM must not be called for it
	headersSent             bool // the response's headers are with the client
	over                    bool
	details                 string
}

// facts do not change.
type facts struct {
	start                time.Time
	protocol             string
	remoteAddr           string
	scheme               string
	originalPath         string
	isGRPC, isHead, isH2 bool
}

// deliver answers the waiter of a direction, if there is one.
func (s *stream) deliver(d direction, v verdict) {
	if ch := s.halves[d].wait; ch != nil {
		s.halves[d].wait = nil
		ch <- v
	}
}

// abort ends the stream without an answer.
func (s *stream) abort() {
	s.deliver(request, verdict{outcome: stopped})
	s.deliver(response, verdict{outcome: stopped})
	s.cancel(errStreamOver)
}

// fail is what a trap does to a stream (failure_policy FAIL_CLOSED).
func (s *stream) fail(ctx context.Context) {
	s.failed = true
	s.answer(ctx, &localReply{status: http.StatusServiceUnavailable, grpcStatus: grpcUnavailable, details: "wasm_fail_stream"})
}

// answer makes a local reply. It passes the filter's own response callbacks, as in
// Envoy. After the response's headers have gone out, it can only cut the stream.
func (s *stream) answer(ctx context.Context, r *localReply) {
	if s.over || s.answered {
		return
	}
	if s.headersSent {
		s.abort()
		return
	}
	s.answered = true
	r.complete(&s.facts)
	s.details = r.details
	s.responseMap = r.headers
	if !s.failed {
		s.encodeReply(ctx, r)
	}
	s.responseMap = r.headers
	s.reply <- r
	s.abort()
}

// encodeReply shows a local reply to the filter. That the filter would pause it is
// not supported: the reply goes out.
func (s *stream) encodeReply(ctx context.Context, r *localReply) {
	v, h := s.plugin.vm, &s.halves[response]
	h.headers = r.headers
	_, err := v.call(ctx, v.exports.responseHeaders, s.id, 0, count(r.headers), flag(len(r.body) == 0))
	h.headers = nil
	if err != nil || len(r.body) == 0 {
		return
	}
	h.body, h.bodyShown = r.body, true
	_, err = v.call(ctx, v.exports.responseBody, s.id, 0, uint32(len(r.body)), 1) //nolint:gosec // bounded by guest memory
	if err == nil && len(h.body) != len(r.body) {
		r.headers.remove("content-length")
	}
	r.body, h.body, h.bodyShown = h.body, nil, false
}

// begin makes the stream's context and shows the request's headers.
func (s *stream) begin(ctx context.Context, headers *headerMap, end bool, wait chan verdict) {
	h := &s.halves[request]
	h.wait = wait
	s.requestMap = headers
	v := s.worker.live(ctx)
	if v == nil {
		s.fail(ctx)
		return
	}
	v.nextID++
	s.id, s.plugin = v.nextID, v.active
	s.plugin.refs++
	v.streams[s.id] = s
	if _, err := v.call(ctx, v.exports.contextCreate, s.id, 0, s.plugin.id); err != nil {
		return
	}
	h.headers = headers
	result, err := v.call(ctx, v.exports.requestHeaders, s.id, 0, count(headers), flag(end))
	if err == nil && result == 0 {
		h.headers = nil
		s.deliver(request, verdict{outcome: proceed})
	}
}

// responseHeaders shows the upstream's, or the trailers of either direction.
func (s *stream) showHeaders(ctx context.Context, d direction, headers *headerMap, end bool, wait chan verdict) {
	h := &s.halves[d]
	h.wait = wait
	if s.over || s.answered {
		s.deliver(d, verdict{outcome: stopped})
		return
	}
	v := s.plugin.vm
	h.headers, s.responseMap = headers, headers
	result, err := v.call(ctx, v.exports.responseHeaders, s.id, 0, count(headers), flag(end))
	if err == nil && result == 0 {
		h.headers = nil
		s.headersSent = s.headersSent || h.wait != nil
		s.deliver(d, verdict{})
	}
}

func (s *stream) showTrailers(ctx context.Context, d direction, trailers *headerMap, wait chan verdict) {
	h := &s.halves[d]
	h.wait = wait
	if s.over || s.answered {
		s.deliver(d, verdict{outcome: stopped})
		return
	}
	v := s.plugin.vm
	fn := v.exports.requestTrailers
	if d == response {
		fn = v.exports.responseTrailers
	}
	h.trailers = trailers
	result, err := v.call(ctx, fn, s.id, 0, count(trailers))
	if err == nil && result == 0 {
		h.trailers = nil
		s.deliver(d, verdict{data: h.takeBody()})
	}
}

// showBody shows a piece of body, together with what the filter had kept.
func (s *stream) showBody(ctx context.Context, d direction, piece []byte, end bool, wait chan verdict) {
	h := &s.halves[d]
	h.wait = wait
	if s.over || s.answered {
		s.deliver(d, verdict{outcome: stopped})
		return
	}
	var letGo []byte
	if h.resumed {
		letGo = h.takeBody()
	}
	h.body = append(h.body, piece...)
	h.buffering, h.resumed = false, false
	if len(h.body) > s.worker.host.maxBuffered && len(h.body) > len(piece) {
		s.overflow(ctx, d)
		return
	}
	v := s.plugin.vm
	fn := v.exports.requestBody
	if d == response {
		fn = v.exports.responseBody
	}
	h.bodyShown = true
	result, err := v.call(ctx, fn, s.id, 0, uint32(len(h.body)), flag(end)) //nolint:gosec // bounded by maxBuffered
	switch {
	case err != nil || h.wait == nil:
	case result == 0:
		s.deliver(d, verdict{data: append(letGo, h.takeBody()...)})
	case !end && result == 1:
		h.buffering = true
		s.deliver(d, verdict{data: letGo})
	default:
		h.body = append(letGo, h.body...)
	}
}

func (s *stream) overflow(ctx context.Context, d direction) {
	if d == request {
		s.answer(ctx, &localReply{status: http.StatusRequestEntityTooLarge, body: []byte("Payload Too Large"), details: "request_payload_too_large"})
		return
	}
	s.answer(ctx, &localReply{status: http.StatusInternalServerError, body: []byte("Internal Server Error"), details: "response_payload_too_large"})
}

// takeBody ends the filter's sight of the body and returns it.
func (h *half) takeBody() []byte {
	b := h.body
	h.body, h.bodyShown, h.buffering, h.resumed = nil, false, false, false
	return b
}

// resume is proxy_continue_stream.
func (s *stream) resume(d direction) {
	if s.over || s.answered {
		return
	}
	h := &s.halves[d]
	if h.wait == nil {
		h.resumed = h.buffering
		return
	}
	if d == response {
		s.headersSent = true
	}
	s.deliver(d, verdict{data: h.takeBody()})
}

// end is the end of the stream, whatever ended it: log, done, delete, in Envoy's
// order.
func (s *stream) end(ctx context.Context, entry *Entry) {
	if s.over {
		return
	}
	s.over = true
	if s.plugin != nil {
		s.leaveVM(ctx)
	}
	if log := s.worker.host.accessLog; log != nil {
		s.fill(entry)
		log(*entry)
	}
}

func (s *stream) leaveVM(ctx context.Context) {
	v := s.plugin.vm
	s.logging = true
	if _, err := v.call(ctx, v.exports.logged, s.id, 0); err != nil {
		return
	}
	s.logging = false
	if _, err := v.call(ctx, v.exports.done, s.id, 1); err != nil {
		return
	}
	if _, err := v.call(ctx, v.exports.deleted, s.id, 0); err != nil {
		return
	}
	delete(v.streams, s.id)
	s.plugin.refs--
	s.plugin.finishIfIdle(ctx)
}

// fill completes the line of the access log.
func (s *stream) fill(e *Entry) {
	e.Start, e.Duration = s.facts.start, time.Since(s.facts.start)
	e.Protocol, e.RemoteAddr, e.OriginalPath = s.facts.protocol, s.facts.remoteAddr, s.facts.originalPath
	e.Method, e.Path = s.requestMap.value(":method"), s.requestMap.value(":path")
	e.Authority, e.RequestID = s.requestMap.value(":authority"), s.requestMap.value("x-request-id")
	e.FilterState = s.filterState
	if e.Details == "" {
		e.Details = s.details
	}
}

// visible is a header map of the ABI, nil when the filter may not see it now. The
// access log's maps can be read, not changed.
func (s *stream) visible(t mapType, change bool) *headerMap {
	var m *headerMap
	switch t { //nolint:exhaustive // a call's maps are the plugin's
	case mapRequestHeaders:
		m = s.halves[request].headers
		if s.logging && !change {
			m = s.requestMap
		}
	case mapRequestTrailers:
		m = s.halves[request].trailers
	case mapResponseHeaders:
		m = s.halves[response].headers
		if s.logging && !change {
			m = s.responseMap
		}
	case mapResponseTrailers:
		m = s.halves[response].trailers
	}
	return m
}

// setBody is proxy_set_buffer_bytes: prepend, replace or append.
func (h *half) setBody(start, length uint32, data []byte) status {
	size := uint32(len(h.body)) //nolint:gosec // bounded
	switch {
	case start == 0 && length == 0:
		h.body = slices.Concat(data, h.body)
	case start == 0 && length >= size:
		h.body = data
	case start == 0:
		return statusBadArgument
	case start >= size:
		h.body = slices.Concat(h.body, data)
	default:
		return statusBadArgument
	}
	return statusOK
}

func count(m *headerMap) uint32 { return uint32(m.len()) } //nolint:gosec // a header count

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
