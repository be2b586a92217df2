package filter

import (
	"strconv"
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

// answered reads the answer of a call. No headers is no answer.
func (p *plugin) answered(id uint64, fetches bool, numHeaders, bodySize int) {
	p.calls--
	var r decision.Response
	if numHeaders > 0 {
		r = readResponse(fetches, bodySize)
	}
	p.apply(p.worker.Reply(id, r, now()), nil)
	p.pace()
}

func readResponse(fetches bool, bodySize int) decision.Response {
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
	if fetches {
		r.Headers = asHeaders(headers)
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
