// Package suite holds the end-to-end scenarios: one table, run over every gateway
// that runs the filter's core (native, the wasm module on wazero, the wasm module
// in a real Envoy) and every authorization server (the development one, a real
// Keycloak). Everything is in its tests:
//
//	TestScenarios/<gateway>/<authorization server>/<scenario>
//
// A scenario says what it needs ([capability]), which site it wants, and what must
// be seen on both sides of the gateway. The gateway gets one configuration with a
// site for each scenario; a scenario's site answers on <scenario>.test.
//
// scenario_test.go is the frame; gateway_*_test.go and as_*_test.go are the parts;
// front_test.go stands between gateway and authorization server, counts the calls
// and spoils answers; api_test.go is the API; case_*_test.go are the scenarios.
package suite
