// Package wasmhost is an HTTP reverse proxy that runs a proxy-wasm filter, the
// same file that Envoy loads, on wazero.
//
// The end-to-end tests run every scenario on it besides the real Envoy, and the
// demo uses it where there is no Envoy. It is no replacement for Envoy: it has
// one filter, one upstream and no routes.
//
// # What it keeps from Envoy
//
// A [Host] has several workers, and each owns one VM and one goroutine, as an
// Envoy worker has one thread. Everything that enters a VM is an event in the
// worker's queue: a stream's headers, a piece of body, the answer to an HTTP call,
// a tick, a client that hung up. While a stream is paused its worker serves others.
// All streams of a connection are on one worker.
//
//   - A new configuration ([Host.UpdateConfig]) is tried in a VM of its own first,
//     then becomes a new plugin context in each worker's VM. The old context is
//     finished when its last stream has gone. A refused configuration changes
//     nothing.
//   - A VM that traps fails the streams it had with 503 (gRPC: UNAVAILABLE), and the
//     next request after the back-off gets a new VM (failure_policy FAIL_RELOAD).
//   - An HTTP call belongs to the plugin's context, whatever stream made it. A call
//     whose stream is gone is not cancelled; the SDK drops its answer.
//   - Whatever the filter answers to the headers but Continue stops all; with
//     [Options.AllowOnHeadersStopIteration], StopIteration lets the body come.
//   - The filter sees a response in its access log only: it has no callbacks of one.
//   - The request target is forwarded byte for byte as the filter left it, or not at
//     all (502).
//
// # What net/http decides before the filter
//
// net/http itself answers 400 to a target that has control bytes, spaces or invalid
// percent escapes, 400 to a missing or invalid Host, and 417 to an Expect it does
// not know. The order of different header names is lost (names are sorted); that of
// equal names is kept.
package wasmhost
