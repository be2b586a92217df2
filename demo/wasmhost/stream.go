package wasmhost

import (
	"context"
	"net/http"
	"time"
)

// outcome is what becomes of a piece that was shown to the filter.
type outcome int

const (
	// proceed: send on; for a body, verdict.data, which is empty while the filter
	// keeps what came so far.
	proceed outcome = iota
	// readBody: nothing is sent on, and the filter wants to see the body first.
	readBody
	// stopped: the stream is over. A local reply, if there is one, is in
	// stream.reply.
	stopped
)

type verdict struct {
	outcome outcome
	data    []byte
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
	wait        chan verdict // of who has shown something of the request
	filterState map[string][]byte
	// headers and trailers are the request's, nil while the filter may not see them.
	headers, trailers *headerMap
	// showing are the response's headers while the filter may see them.
	showing *headerMap
	// body is kept back; buffering says that it is kept for later, resumed that the
	// filter has since let it go.
	body               []byte
	buffering, resumed bool
	// requestMap and responseMap are what the access log shows.
	requestMap, responseMap *headerMap
	logging                 bool // proxy_on_log runs
	answered                bool // a local reply was made
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

// deliver answers the waiter, if there is one.
func (s *stream) deliver(v verdict) {
	if ch := s.wait; ch != nil {
		s.wait = nil
		ch <- v
	}
}

// abort ends the stream without an answer.
func (s *stream) abort() {
	s.deliver(verdict{outcome: stopped})
	s.cancel(errStreamOver)
}

// fail is what a trap does to a stream (failure_policy FAIL_CLOSED).
func (s *stream) fail() {
	s.answer(&localReply{status: http.StatusServiceUnavailable, grpcStatus: grpcUnavailable, details: "wasm_fail_stream"})
}

// answer makes a local reply. After the response's headers have gone out, it can only
// cut the stream.
func (s *stream) answer(r *localReply) {
	if s.over || s.answered {
		return
	}
	if s.headersSent {
		s.abort()
		return
	}
	s.answered = true
	r.complete(&s.facts)
	s.details, s.responseMap = r.details, r.headers
	s.reply <- r
	s.abort()
}

// begin makes the stream's context and shows the request's headers.
func (s *stream) begin(ctx context.Context, headers *headerMap, end bool, wait chan verdict) {
	s.wait, s.requestMap = wait, headers
	v := s.worker.live(ctx)
	if v == nil {
		s.fail()
		return
	}
	v.nextID++
	s.id, s.plugin = v.nextID, v.active
	s.plugin.refs++
	v.streams[s.id] = s
	if _, err := v.call(ctx, v.exports.contextCreate, s.id, 0, s.plugin.id); err != nil {
		return
	}
	s.headers = headers
	result, err := v.call(ctx, v.exports.requestHeaders, s.id, 0, count(headers), flag(end))
	switch {
	case err != nil:
	case result == 0:
		s.headers = nil
		s.deliver(verdict{outcome: proceed})
	case result == 1 && !end && s.worker.host.letBodiesCome:
		s.deliver(verdict{outcome: readBody})
	}
}

// respond shows the headers of the upstream's response, which the filter may change and
// does not hold up.
func (s *stream) respond(ctx context.Context, headers *headerMap, wait chan verdict) {
	s.wait = wait
	if s.over || s.answered {
		s.deliver(verdict{outcome: stopped})
		return
	}
	s.responseMap = headers
	if !s.showAnswer(ctx, headers) {
		return
	}
	s.headersSent = true
	s.deliver(verdict{outcome: proceed})
}

// showAnswer shows the headers of an answer that is not the filter's, and reports whether
// the VM has survived it.
func (s *stream) showAnswer(ctx context.Context, headers *headerMap) bool {
	if s.plugin == nil {
		return true
	}
	v := s.plugin.vm
	s.showing = headers
	_, err := v.call(ctx, v.exports.responseHeaders, s.id, 0, count(headers), flag(false))
	s.showing = nil
	return err == nil
}

// showTrailers shows the request's trailers.
func (s *stream) showTrailers(ctx context.Context, trailers *headerMap, wait chan verdict) {
	s.wait = wait
	if s.over || s.answered {
		s.deliver(verdict{outcome: stopped})
		return
	}
	v := s.plugin.vm
	s.trailers = trailers
	result, err := v.call(ctx, v.exports.requestTrailers, s.id, 0, count(trailers))
	if err == nil && result == 0 {
		s.headers, s.trailers = nil, nil
		s.deliver(verdict{data: s.takeBody()})
	}
}

// showBody tells the filter of a piece of the request's body, together with what it had
// kept back.
func (s *stream) showBody(ctx context.Context, piece []byte, end bool, wait chan verdict) {
	s.wait = wait
	if s.over || s.answered {
		s.deliver(verdict{outcome: stopped})
		return
	}
	var letGo []byte
	if s.resumed {
		letGo = s.takeBody()
	}
	s.body = append(s.body, piece...)
	s.buffering, s.resumed = false, false
	if len(s.body) > s.worker.host.maxBuffered && len(s.body) > len(piece) {
		s.answer(&localReply{status: http.StatusRequestEntityTooLarge, body: []byte("Payload Too Large"), details: "request_payload_too_large"})
		return
	}
	v := s.plugin.vm
	result, err := v.call(ctx, v.exports.requestBody, s.id, 0, uint32(len(s.body)), flag(end)) //nolint:gosec // bounded by maxBuffered
	switch {
	case err != nil || s.wait == nil:
	case result == 0:
		s.headers = nil
		s.deliver(verdict{data: append(letGo, s.takeBody()...)})
	case !end && result == 1:
		s.buffering = true
		s.deliver(verdict{data: letGo})
	default:
		s.body = append(letGo, s.body...)
	}
}

// takeBody returns what was kept back, which nobody keeps any more.
func (s *stream) takeBody() []byte {
	b := s.body
	s.body, s.buffering, s.resumed = nil, false, false
	return b
}

// resume is proxy_continue_stream.
func (s *stream) resume() {
	if s.over || s.answered {
		return
	}
	if s.wait == nil {
		s.resumed = s.buffering
		return
	}
	s.deliver(verdict{data: s.takeBody()})
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
	if s.plugin != nil { // nil where the filter was not asked
		e.declared = s.plugin.declared
	}
	if e.Details == "" {
		e.Details = s.details
	}
}

// visible is a header map of the ABI, nil when the filter may not see it now. The
// access log's maps can be read, not changed.
func (s *stream) visible(t mapType, change bool) *headerMap {
	logs := s.logging && !change
	switch {
	case t == mapRequestHeaders && logs:
		return s.requestMap
	case t == mapRequestHeaders:
		return s.headers
	case t == mapRequestTrailers:
		return s.trailers
	case t == mapResponseHeaders && logs:
		return s.responseMap
	case t == mapResponseHeaders:
		return s.showing
	}
	return nil
}

func count(m *headerMap) uint32 { return uint32(m.len()) } //nolint:gosec // a header count

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
