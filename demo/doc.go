// Package demo shows UMA guarding an API, in one process: the photo albums of alice
// and bob, an authorization server, umagate's control plane, and the filter in a
// real Envoy or, where there is none, on wazero. "umagate demo" calls [Run].
//
// Nothing in it is made for the demo but the story: the control plane is that of
// "umagate serve", which registers the API at the authorization server and
// configures the gateway by xDS; the wasm module is the one that Envoy loads.
//
// Files: demo.go runs it; world.go starts everything; envoy.go and wazero.go are the
// gateways, ads.go the wazero one's xDS client; api.go is what is protected; story.go is
// what happens; exchange.go sends and checks; print.go is how it looks; stay.go is what
// can be tried afterwards. The folders are its parts, which the tests use, too.
//
// "umagate demo --mcp" tells another story in the same world (play.go): tools.go is an MCP
// server, agent.go an MCP client of the Go SDK, person.go its user's browser, and
// mcpstory.go what happens.
package demo
