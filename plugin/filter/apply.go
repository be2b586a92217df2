package filter

import (
	"strconv"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/decision"
)

// apply does what the core wants done: the next steps of requests, and calls that no
// request waits for. Only what it calls dispatches, resumes and answers.
func (p *plugin) apply(outcomes []decision.Outcome, calls []*decision.Call) {
	for len(outcomes) > 0 {
		next := &outcomes[0]
		outcomes = outcomes[1:]
		if s, ok := next.Exchange.Owner.(*stream); ok {
			outcomes = append(outcomes, s.apply(&next.Step)...)
		}
	}
	for _, c := range calls {
		if !p.dispatch(c, nil) {
			p.apply(p.worker.Refused(c.ID, now()), nil)
		}
	}
}

// apply does one step, and returns what has come of it for this and other
// requests when a call could not be sent.
func (s *stream) apply(step *decision.Step) []decision.Outcome {
	switch step.Kind {
	case decision.KindAllow:
		s.allow(&step.Allow)
	case decision.KindDeny:
		s.deny(&step.Deny)
	case decision.KindCall:
		s.away = true
		if !step.Call.Shared && !s.plugin.dispatch(step.Call, s.trace[:s.traced]) {
			return s.plugin.worker.Refused(step.Call.ID, now())
		}
	case decision.KindRead:
		s.state = streamReading
	case decision.KindFetch:
		if !s.fetch(step) {
			return s.plugin.worker.Refused(step.Call.ID, now())
		}
	default:
		s.fail("umagate: unknown step")
	}
	return nil
}

// oneMore has Envoy repeat a call once that was reset before it was answered: the
// other side may close an idle connection in the very moment in which a call goes out
// on it. Every call may be repeated. Envoy's router reads the headers, of dispatches
// too, and takes them away.
var oneMore = [...][2]string{{"x-envoy-retry-on", "reset"}, {"x-envoy-max-retries", "1"}}

// dispatch sends a call with the trace of the request that it is made for first,
// and reports whether it could.
func (p *plugin) dispatch(c *decision.Call, trace [][2]string) bool {
	if !p.own() {
		return false
	}
	headers := make([][2]string, len(c.Headers), len(c.Headers)+1+len(oneMore)+len(trace))
	for i, h := range c.Headers {
		headers[i] = [2]string{h.Name, h.Value}
	}
	headers = append(headers, [2]string{"content-length", strconv.Itoa(len(c.Body))})
	headers = append(headers, oneMore[:]...)
	headers = append(headers, trace...)
	id, fetches := c.ID, c.Fetches()
	_, err := proxywasm.DispatchHttpCall(c.Cluster, headers, c.Body, nil, uint32(c.Timeout/time.Millisecond), //nolint:gosec // checked when compiled
		func(numHeaders, bodySize, _ int) { p.answered(id, fetches, numHeaders, bodySize) })
	if err != nil {
		proxywasm.LogError("umagate: a call to cluster " + c.Cluster + " could not be sent: " + err.Error())
		return false
	}
	p.calls++
	return true
}

// enter makes host calls act on the stream, when Envoy is calling another
// context or a call was made in the plugin's.
func (s *stream) enter() bool {
	if !s.away {
		return true
	}
	if err := proxywasm.SetEffectiveContext(s.id); err != nil {
		s.state = streamDenied // the stream has gone
		return false
	}
	return true
}

// allow forwards the request. If a header that must go, or a host or a path that
// must be rewritten, cannot be, the request does not pass.
func (s *stream) allow(a *decision.Allow) {
	if s.state == streamAllowed || !s.enter() { // it goes on, or is over
		return
	}
	if problem := change(a); problem != "" {
		s.fail(problem)
		return
	}
	if !s.report() {
		s.fail("umagate: the claims for other filters could not be set")
		return
	}
	s.state = streamAllowed
	s.answering = s.exchange.Answering()
	// A stream may live for hours: it keeps no more than what its end needs.
	if s.exchange.Watched() || s.exchange.Live() {
		s.exchange.Keep()
	} else {
		s.exchange = nil
	}
	if s.started {
		if err := proxywasm.ResumeHttpRequest(); err != nil {
			proxywasm.LogError("umagate: a request could not be resumed: " + err.Error())
		}
	}
}

// change makes the request's headers those that go on, or says what could not be done.
func change(a *decision.Allow) (problem string) {
	for _, name := range a.Remove {
		if err := proxywasm.RemoveHttpRequestHeader(name); err != nil {
			return "umagate: a forged header could not be removed"
		}
	}
	if a.Authority != "" {
		if err := proxywasm.ReplaceHttpRequestHeader(":authority", a.Authority); err != nil {
			return "umagate: the host could not be rewritten"
		}
	}
	if a.Path != "" {
		if err := proxywasm.ReplaceHttpRequestHeader(":path", a.Path); err != nil {
			return "umagate: the path could not be rewritten"
		}
	}
	for _, h := range a.Set {
		if err := proxywasm.AddHttpRequestHeader(h.Name, h.Value); err != nil {
			return "umagate: an identity header could not be set"
		}
	}
	return ""
}

// fetch sends the request, as it would go on, in a call to where its route leads, and reports
// whether it could. The answer is the core's to read.
func (s *stream) fetch(step *decision.Step) bool {
	if !s.enter() {
		return false
	}
	s.away = true
	if problem := change(&step.Allow); problem != "" {
		proxywasm.LogError(problem)
		return false
	}
	headers, err := proxywasm.GetHttpRequestHeaders()
	if err != nil {
		proxywasm.LogError("umagate: a request could not be read: " + err.Error())
		return false
	}
	c := step.Call
	if c.Body, err = proxywasm.GetHttpRequestBody(0, s.body); err != nil {
		proxywasm.LogError("umagate: the body of a request could not be read: " + err.Error())
		return false
	}
	cluster, err := proxywasm.GetProperty([]string{"xds", "cluster_name"})
	if err != nil {
		proxywasm.LogError("umagate: a request has no route to a cluster: " + err.Error())
		return false
	}
	c.Cluster, c.Headers = string(cluster), c.FetchHeaders(asHeaders(headers))
	return s.plugin.dispatch(c, nil)
}

// deny answers the request.
func (s *stream) deny(d *decision.Deny) {
	if !s.enter() {
		return
	}
	if d.Status == 0 {
		s.fail("umagate: a request was not judged")
		return
	}
	s.state = streamDenied
	s.answering = nil
	s.report()
	if s.answered { // its stream is to end
		if !closeStream() {
			proxywasm.LogError("umagate: a stream could not be ended; it goes on without its token")
		}
		return
	}
	if err := proxywasm.SendHttpResponse(uint32(d.Status), asPairs(d.Headers), []byte(d.Body), d.GRPCStatus); err != nil { //nolint:gosec // an HTTP status
		proxywasm.LogError("umagate: a request could not be answered; it stays stopped: " + err.Error())
	}
}

// fail answers 503 for a fault of the filter or its host.
func (s *stream) fail(why string) {
	s.state = streamDenied
	proxywasm.LogError(why)
	headers := s.exchange.AppendCORS([]decision.Header{{Name: "cache-control", Value: "no-store"}})
	if err := proxywasm.SendHttpResponse(503, asPairs(headers), nil, -1); err != nil {
		proxywasm.LogError("umagate: a request could not be answered; it stays stopped: " + err.Error())
	}
}
