package filter

//go:wasmimport env proxy_close_stream
func proxyCloseStream(kind uint32) uint32

// closeStream resets the HTTP stream that host calls act on, and reports whether the host
// has taken it. The SDK's calls are for TCP.
func closeStream() bool {
	const request = 0
	return proxyCloseStream(request) == 0
}
