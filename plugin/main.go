// Command plugin is umagate's Envoy filter. It is compiled to WebAssembly
// (GOOS=wasip1 GOARCH=wasm, -buildmode=c-shared) and has no main loop: Envoy
// calls what the proxy-wasm SDK exports.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/umagate/umagate/plugin/filter"
)

// A c-shared module runs init and never main.
func init() { proxywasm.SetVMContext(filter.New()) }

func main() {}
