package filter

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/config"
)

// declaration is Envoy's DeclarePropertyArguments (declare_property.proto of its
// source/extensions/common/wasm/ext): the property's name, that its values are messages,
// and of which type. The rest is as it is for a property that nobody declares.
const declaration = "\x0a\x10" + config.DecisionProperty +
	"\x18\x03" + // type: Protobuf
	"\x22\x2a" + "type.googleapis.com/google.protobuf.Struct"

// declareReport tells Envoy what a report is made of, once for each plugin context, and
// reports whether it takes any. Without, a log could print bytes at best. The configuration
// is in force all the same: a log that lacks a field is no reason to refuse everybody.
func declareReport() bool {
	if _, err := proxywasm.CallForeignFunction("declare_property", []byte(declaration)); err != nil {
		proxywasm.LogWarn("umagate: the access log will have no decisions, as the host takes no property of a type: " + err.Error())
		return false
	}
	return true
}

// report leaves the decision in the filter state, where Envoy's access log and its other
// filters find it. It reports false where those that act on it would not.
func (s *stream) report() bool {
	told := s.exchange.Told()
	if !s.plugin.logs && !told {
		return true
	}
	w := s.plugin.worker
	w.report = s.exchange.AppendReport(w.report[:0])
	if !setProperty(config.DecisionProperty, w.report) {
		proxywasm.LogDebug("umagate: the decision could not be reported")
		return !told
	}
	return true
}
