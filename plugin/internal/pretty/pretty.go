// Package pretty stands in for github.com/tidwall/pretty when the filter is
// compiled to WebAssembly (plugin/wasm.mod).
//
// gjson links it for its path modifiers @pretty and @ugly, which the filter has
// no paths to use, and with it encoding/json: a sixth of the binary, which Envoy
// would compile at every start. See RATIONALE, "Why a module file for the wasm
// build".
package pretty

// Options are tidwall/pretty's.
type Options struct {
	Width          int
	Prefix, Indent string
	SortKeys       bool
}

// DefaultOptions are what Pretty would use.
var DefaultOptions = &Options{Width: 80, Indent: "  "}

// Pretty returns the document as it is.
func Pretty(document []byte) []byte { return document }

// PrettyOptions returns the document as it is.
func PrettyOptions(document []byte, _ *Options) []byte { return document }

// Ugly returns the document as it is.
func Ugly(document []byte) []byte { return document }
