package filter

import (
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/decision"
)

// apply does what the core wants done for each request. It is the only place
// that dispatches, resumes or answers.
func (p *plugin) apply(outcomes []decision.Outcome) {
	for len(outcomes) > 0 {
		next := outcomes[0]
		outcomes = outcomes[1:]
		s, ok := next.Exchange.Owner.(*stream)
		if !ok {
			continue
		}
		switch next.Step.Kind {
		case decision.KindAllow:
			s.allow(&next.Step.Allow)
		case decision.KindDeny:
			s.deny(&next.Step.Deny)
		case decision.KindCall:
			if !next.Step.Call.Shared && !p.dispatch(next.Step.Call) {
				outcomes = append(outcomes, p.worker.Refused(next.Step.Call.ID, time.Now())...)
			}
		default:
			s.fail("umagate: unknown step")
		}
	}
}

// enter makes host calls act on the stream. It is needed whenever another
// context is the one that Envoy is calling.
func (s *stream) enter() bool {
	if err := proxywasm.SetEffectiveContext(s.id); err != nil {
		s.state = streamDenied // the stream has gone
		return false
	}
	return true
}

// allow forwards the request. If a header that must go, or a path that must be
// rewritten, cannot be, the request does not pass.
func (s *stream) allow(a *decision.Allow) {
	if !s.enter() {
		return
	}
	for _, name := range a.Remove {
		if err := proxywasm.RemoveHttpRequestHeader(name); err != nil {
			s.fail("umagate: a forged header could not be removed")
			return
		}
	}
	if a.Path != "" {
		if err := proxywasm.ReplaceHttpRequestHeader(":path", a.Path); err != nil {
			s.fail("umagate: the path could not be rewritten")
			return
		}
	}
	for _, h := range a.Set {
		if err := proxywasm.AddHttpRequestHeader(h.Name, h.Value); err != nil {
			s.fail("umagate: an identity header could not be set")
			return
		}
	}
	s.report()
	s.state = streamAllowed
	if s.started {
		if err := proxywasm.ResumeHttpRequest(); err != nil {
			proxywasm.LogError("umagate: a request could not be resumed: " + err.Error())
		}
	}
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
	s.report()
	headers := make([][2]string, len(d.Headers))
	for i, h := range d.Headers {
		headers[i] = [2]string{h.Name, h.Value}
	}
	if err := proxywasm.SendHttpResponse(uint32(d.Status), headers, []byte(d.Body), d.GRPCStatus); err != nil { //nolint:gosec // an HTTP status
		proxywasm.LogError("umagate: a request could not be answered; it stays stopped: " + err.Error())
	}
}

// fail answers 503 for a fault of the filter or its host.
func (s *stream) fail(why string) {
	s.state = streamDenied
	proxywasm.LogError(why)
	headers := [][2]string{{"cache-control", "no-store"}}
	if err := proxywasm.SendHttpResponse(503, headers, nil, -1); err != nil {
		proxywasm.LogError("umagate: a request could not be answered; it stays stopped: " + err.Error())
	}
}

// report leaves the decision in the filter state, where Envoy's access log finds
// it as %FILTER_STATE(wasm.umagate:PLAIN)%.
func (s *stream) report() {
	d := s.exchange.Decision()
	if err := proxywasm.SetProperty([]string{"umagate"}, d.AppendJSON(nil)); err != nil {
		proxywasm.LogDebug("umagate: the decision could not be reported: " + err.Error())
	}
}
