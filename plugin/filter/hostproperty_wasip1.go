package filter

import "unsafe"

// The SDK's call joins the path anew for each request, in memory of its own.

//go:wasmimport env proxy_set_property
//go:noescape
func proxySetProperty(path *byte, pathSize int32, value *byte, valueSize int32) uint32

// setProperty sets a property of the stream whose path is one name, and reports whether
// the host took it.
func setProperty(name string, value []byte) bool {
	return proxySetProperty(unsafe.StringData(name), int32(len(name)), unsafe.SliceData(value), int32(len(value))) == 0 //nolint:gosec // both are short
}
