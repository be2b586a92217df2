package filter

import (
	"strconv"
	"time"
	"unsafe"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/decision"
)

// The SDK ties the callback of a call to the context that it holds active, which
// is the stream's while a stream is handled, and skips the callback, leaving its
// record in a map, once that stream has gone. Its API cannot say that the plugin
// makes the call, so its one setter is reached by name. RATIONALE, "Why go:linkname".

//go:linkname sdkState github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/internal.currentState
var sdkState unsafe.Pointer

//go:linkname setActiveContextID github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/internal.(*state).setActiveContextID
func setActiveContextID(state unsafe.Pointer, contextID uint32)

// own makes host calls act on the plugin and calls belong to it.
func (p *plugin) own() bool {
	setActiveContextID(sdkState, p.id)
	return proxywasm.SetEffectiveContext(p.id) == nil
}

// oneMore has Envoy repeat a call once that was reset before it was answered: the
// other side may close an idle connection in the very moment in which a call goes out
// on it. Every call may be repeated. Envoy's router reads the headers, of dispatches
// too, and takes them away.
var oneMore = [...][2]string{{"x-envoy-retry-on", "reset"}, {"x-envoy-max-retries", "1"}}

// send sends calls that no request waits for.
func (p *plugin) send(calls []*decision.Call) {
	for _, c := range calls {
		if !p.dispatch(c, nil) {
			p.apply(p.worker.Refused(c.ID, now()))
		}
	}
}

// dispatch sends a call with the trace of the request that it is made for first,
// and tells whether it could.
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
	id := c.ID
	_, err := proxywasm.DispatchHttpCall(c.Cluster, headers, c.Body, nil, uint32(c.Timeout/time.Millisecond), //nolint:gosec // checked when compiled
		func(numHeaders, bodySize, _ int) { p.answered(id, numHeaders, bodySize) })
	if err != nil {
		proxywasm.LogError("umagate: a call to cluster " + c.Cluster + " could not be sent: " + err.Error())
		return false
	}
	p.calls++
	return true
}

// answered reads the answer of a call. No headers is no answer.
func (p *plugin) answered(id uint64, numHeaders, bodySize int) {
	p.calls--
	var r decision.Response
	if numHeaders > 0 {
		r = readResponse(bodySize)
	}
	p.apply(p.worker.Reply(id, r, now()))
	p.pace()
}

func readResponse(bodySize int) decision.Response {
	headers, err := proxywasm.GetHttpCallResponseHeaders()
	if err != nil {
		return decision.Response{}
	}
	var r decision.Response
	for _, h := range headers {
		switch h[0] {
		case ":status":
			if r.Status, err = strconv.Atoi(h[1]); err != nil {
				return decision.Response{}
			}
		case "retry-after":
			r.RetryAfter = h[1]
		}
	}
	if bodySize > decision.MaxResponse {
		r.TooLarge = true
		return r
	}
	if bodySize > 0 {
		if r.Body, err = proxywasm.GetHttpCallResponseBody(0, bodySize); err != nil {
			return decision.Response{}
		}
	}
	return r
}
