package filter

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/decision"
)

// withheld tells of a message that Envoy had, and that the filter waited for until the request
// ended. What a client did not send is none: Envoy counts the bytes of a body that came.
func (s *stream) withheld() {
	switch {
	case s.body > 0 && number("response", "code") == 413:
		s.tell(decision.WithheldLength, "its route needs request_body_buffer_limit, or its listener a greater per_connection_buffer_limit_bytes")
	case s.body == 0 && number("request", "total_size") > headerBytes():
		s.tell(decision.WithheldShown, "the filter's configuration needs allow_on_headers_stop_iteration")
	}
}

func (s *stream) tell(cause decision.Withheld, remedy string) {
	s.plugin.worker.Withheld(s.exchange, cause)
	if !s.plugin.told[cause] {
		s.plugin.told[cause] = true
		proxywasm.LogError("umagate: Envoy has a message to an MCP server and lets nobody judge it (" + cause.String() + "): " + remedy)
	}
}

// number reads a property that is one; 0 for none.
func number(path ...string) uint64 {
	value, err := proxywasm.GetProperty(path)
	if err != nil || len(value) != 8 {
		return 0
	}
	n := uint64(0)
	for i, b := range value { // in little endian
		n |= uint64(b) << (8 * i)
	}
	return n
}

// headerBytes is how much Envoy counts of the request's headers.
func headerBytes() uint64 {
	headers, err := proxywasm.GetHttpRequestHeaders()
	n := 0
	for _, h := range headers {
		n += len(h[0]) + len(h[1])
	}
	if err != nil {
		return ^uint64(0)
	}
	return uint64(n)
}
