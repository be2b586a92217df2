// Package filter joins the core (plugin/decision) to Envoy by the proxy-wasm ABI.
//
// A VM is one Envoy worker. It has one [decision.Worker] for each plugin name,
// which survives configuration pushes, and one plugin context for each
// configuration. What the core wants done is done in one place, apply, whether
// the request is new or its call to the authorization server has come back.
//
// Calls belong to the plugin context, not to the stream that caused them: its
// client may hang up while others wait for the same call.
package filter
