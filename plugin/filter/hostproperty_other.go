//go:build !wasip1

package filter

import "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

func setProperty(name string, value []byte) bool {
	return proxywasm.SetProperty([]string{name}, value) == nil
}
