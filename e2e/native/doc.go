// Package native is a small HTTP gateway on net/http around plugin/decision: the
// filter's core without WebAssembly and without the ABI.
//
// The end-to-end tests run every scenario on it besides the wasm hosts. What the
// hosts do otherwise than this gateway is then the glue's fault, not the core's.
//
// A [Gateway] has workers as Envoy has: each owns a decision.Worker and serves
// every nth connection. gateway.go is the proxy, worker.go does what the core
// wants done, call.go sends calls to the authorization server, forward.go sends
// requests on.
package native
