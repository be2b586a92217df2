package filter

import (
	"strconv"
	"unsafe"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/umagate/umagate/plugin/decision"
)

// stream is one request.
type stream struct {
	types.DefaultHttpContext

	plugin   *plugin
	id       uint32
	exchange *decision.Exchange

	state   streamState
	started bool // the callback that the request is judged in has returned
	body    int  // bytes of the body that Envoy holds
	// removesOverrides is the exchange's, which may be gone when trailers come.
	removesOverrides bool
	answering        *decision.Answering // nil for nothing
	answered         bool                // the API's answer has begun
	away             bool                // host calls may act on another context

	// trace are the headers that join the AS's calls with this request.
	trace  [maxTrace][2]string
	traced int
}

const (
	maxTrace = 3
	// maxTraceValue is longer than any traceparent; a tracestate may have 512
	// characters (W3C Trace Context section 3.3.1.5).
	maxTraceValue = 512
)

// remember keeps what the request says of its trace. A value that is too long, or
// there twice, is left out: it is the client's own word.
func (s *stream) remember(headers [][2]string) {
	for i := range headers {
		h := &headers[i]
		switch h[0] {
		case "traceparent", "tracestate", "x-request-id":
			if s.traced < maxTrace && len(h[1]) <= maxTraceValue && !s.has(h[0]) {
				decision.Own(h[:]) // not part of all the headers any more
				s.trace[s.traced] = *h
				s.traced++
			}
		}
	}
}

func (s *stream) has(name string) bool {
	for _, h := range s.trace[:s.traced] {
		if h[0] == name {
			return true
		}
	}
	return false
}

type streamState uint8

const (
	streamWaiting streamState = iota // nothing passes
	streamReading                    // nothing passes, and the body is awaited
	streamAllowed
	streamDenied
)

// action is what Envoy is told: whatever has not been allowed stops.
func (s *stream) action() types.Action {
	if s.state == streamAllowed {
		return types.ActionContinue
	}
	return types.ActionPause
}

// stopAll stops at the headers and keeps the body away, its sender slowed down, whatever
// allow_on_headers_stop_iteration says; with that, types.ActionPause lets the body come.
const stopAll types.Action = 4 // FilterHeadersStatus::StopAllIterationAndWatermark

// held is what Envoy is told at the headers.
func (s *stream) held() types.Action {
	if s.state == streamWaiting || s.state == streamDenied {
		return stopAll
	}
	return s.action()
}

// OnHttpRequestHeaders implements types.HttpContext.
func (s *stream) OnHttpRequestHeaders(_ int, end bool) types.Action {
	headers, err := proxywasm.GetHttpRequestHeaders()
	if err != nil || s.plugin.evaluator == nil {
		proxywasm.LogError("umagate: a request could not be read")
		s.apply(&decision.Step{})
		return s.held()
	}
	exchange, step := s.plugin.evaluator.Start(&decision.Request{Headers: asHeaders(headers)}, now())
	s.exchange, exchange.Owner = exchange, s
	s.removesOverrides = exchange.RemovesOverrides()
	if step.Kind == decision.KindCall || step.Kind == decision.KindRead {
		s.remember(headers)
	}
	if t := exchange.Taken(); t != nil && !take(t) {
		proxywasm.LogError("umagate: a token could not be taken out of a request")
		s.plugin.worker.Abandon(exchange)
		s.apply(&decision.Step{})
		return s.held()
	}
	s.do(&step)
	if s.state == streamReading && end {
		s.read()
	}
	return s.held()
}

// clientAddress is the address of the client whose callback Envoy is in, as Envoy believes
// it, and a port.
func clientAddress() string {
	address, err := proxywasm.GetProperty([]string{"source", "address"})
	if err != nil {
		proxywasm.LogError("umagate: the address of a client could not be read: " + err.Error())
		return ""
	}
	return string(address)
}

// do does the step that a callback of the request's own leads to.
func (s *stream) do(step *decision.Step) {
	s.plugin.apply(s.apply(step), nil)
	s.started, s.away = true, true
	if step.Kind == decision.KindCall || step.Kind == decision.KindFetch {
		s.plugin.pace()
	}
}

// read shows the core the body, which is there as a whole or is too long.
func (s *stream) read() {
	tooLarge := s.body > s.exchange.MaxBody()
	var body []byte
	if !tooLarge && s.body > 0 {
		var err error
		if body, err = proxywasm.GetHttpRequestBody(0, s.body); err != nil {
			proxywasm.LogError("umagate: the body of a request could not be read: " + err.Error())
			s.apply(&decision.Step{})
			return
		}
	}
	s.state, s.started = streamWaiting, false
	step := s.plugin.worker.Read(s.exchange, body, tooLarge, now())
	s.do(&step)
}

// take takes a token out of the request, and reports whether it could.
func take(t *decision.Taken) bool {
	for _, name := range t.Remove {
		if proxywasm.RemoveHttpRequestHeader(name) != nil {
			return false
		}
	}
	for _, h := range t.Set {
		if proxywasm.AddHttpRequestHeader(h.Name, h.Value) != nil {
			return false
		}
	}
	return t.Path == "" || proxywasm.ReplaceHttpRequestHeader(":path", t.Path) == nil
}

// asHeaders looks at the SDK's pairs as the core's headers, which have the same
// layout, without a copy.
func asHeaders(pairs [][2]string) []decision.Header {
	return unsafe.Slice((*decision.Header)(unsafe.Pointer(unsafe.SliceData(pairs))), len(pairs)) //nolint:gosec // both are two strings
}

// asPairs is the way back.
func asPairs(headers []decision.Header) [][2]string {
	return unsafe.Slice((*[2]string)(unsafe.Pointer(unsafe.SliceData(headers))), len(headers)) //nolint:gosec // both are two strings
}

// OnHttpRequestBody implements types.HttpContext. While it is awaited, size is all that has
// come.
func (s *stream) OnHttpRequestBody(size int, end bool) types.Action {
	if s.state == streamReading {
		if s.body = size; end || size > s.exchange.MaxBody() {
			s.read()
		}
	}
	return s.action()
}

// OnHttpRequestTrailers implements types.HttpContext. The trailers may come while
// the request waits, and not be shown again when it goes on.
func (s *stream) OnHttpRequestTrailers(int) types.Action {
	if s.state == streamReading {
		s.read()
	}
	if s.state != streamDenied && !s.removeTrailers() {
		proxywasm.LogError("umagate: a forged trailer could not be removed")
		s.apply(&decision.Step{})
	}
	return s.action()
}

// removeTrailers removes what the API must not get in a trailer, and reports whether
// it could.
func (s *stream) removeTrailers() bool {
	trailers, err := proxywasm.GetHttpRequestTrailers()
	if err != nil {
		return false
	}
	for _, name := range decision.ForbiddenTrailers(asHeaders(trailers), s.removesOverrides) {
		if err := proxywasm.RemoveHttpRequestTrailer(name); err != nil {
			return false
		}
	}
	return true
}

// OnHttpResponseHeaders implements types.HttpContext. The answer is the API's, or Envoy's
// own in its place; the filter's own have no answering.
func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	a := s.answering
	s.answered = true
	if a == nil {
		return types.ActionContinue
	}
	s.answering = nil
	headers, err := proxywasm.GetHttpResponseHeaders()
	if err != nil {
		proxywasm.LogError("umagate: an answer could not be read: " + err.Error())
		return types.ActionContinue // a page cannot read it, then
	}
	remove, add := a.Amend(asHeaders(headers))
	for _, name := range remove {
		if err := proxywasm.RemoveHttpResponseHeader(name); err != nil {
			proxywasm.LogError("umagate: a header of an answer could not be removed: " + err.Error())
		}
	}
	for _, h := range add {
		if err := proxywasm.AddHttpResponseHeader(h.Name, h.Value); err != nil {
			proxywasm.LogError("umagate: a header of an answer could not be set: " + err.Error())
		}
	}
	return types.ActionContinue
}

// OnHttpStreamDone implements types.HttpContext. It comes when the request has
// ended, also when the client hung up.
func (s *stream) OnHttpStreamDone() {
	if s.exchange == nil {
		return
	}
	if s.state == streamAllowed && s.exchange.Watched() {
		s.ended()
	}
	if s.state == streamReading {
		s.withheld()
	}
	if s.state != streamDenied {
		s.plugin.worker.Abandon(s.exchange)
	}
}

// ended tells the core what the API answered. The response has gone out already:
// what follows of it delays nobody.
func (s *stream) ended() {
	headers, err := proxywasm.GetHttpResponseHeaders()
	if err != nil {
		return // there was none
	}
	status, locations, location := 0, 0, ""
	for _, h := range headers {
		switch h[0] {
		case ":status":
			status, _ = strconv.Atoi(h[1])
		case "location":
			locations++
			location = h[1]
		}
	}
	if locations != 1 {
		location = ""
	}
	s.plugin.apply(nil, s.plugin.worker.Ended(s.exchange, status, location, now()))
	s.plugin.pace()
}
