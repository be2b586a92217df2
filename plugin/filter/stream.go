package filter

import (
	"time"

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
	started bool // OnHttpRequestHeaders has returned
}

type streamState uint8

const (
	streamWaiting streamState = iota // nothing passes
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

// OnHttpRequestHeaders implements types.HttpContext.
func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	headers, err := proxywasm.GetHttpRequestHeaders()
	if err != nil || s.plugin.gate == nil {
		s.fail("umagate: a request could not be read")
		return types.ActionPause
	}
	request := decision.Request{Headers: make([]decision.Header, len(headers))}
	for i, h := range headers {
		request.Headers[i] = decision.Header{Name: h[0], Value: h[1]}
	}
	exchange, step := s.plugin.gate.Start(&request, time.Now())
	s.exchange, exchange.Owner = exchange, s
	s.plugin.apply([]decision.Outcome{{Exchange: exchange, Step: step}})
	s.started = true
	return s.action()
}

// OnHttpRequestBody implements types.HttpContext.
func (s *stream) OnHttpRequestBody(int, bool) types.Action { return s.action() }

// OnHttpRequestTrailers implements types.HttpContext.
func (s *stream) OnHttpRequestTrailers(int) types.Action { return s.action() }

// OnHttpStreamDone implements types.HttpContext. It comes when the request has
// ended, also when the client hung up.
func (s *stream) OnHttpStreamDone() {
	if s.exchange != nil && s.state == streamWaiting {
		s.plugin.worker.Abandon(s.exchange)
	}
}
