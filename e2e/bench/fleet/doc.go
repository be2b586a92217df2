// Command fleet measures what a push costs the control plane: how long until a
// thousand Envoys have acknowledged it, and how much memory each of their streams
// takes.
//
//	make bench
//	go run ./e2e/bench/fleet -envoys 5000 -sites 50
//
// The xDS server runs in a process of its own, with nothing else in it, so that the
// memory is its own. The Envoys are ADS streams over real connections of this
// process, which acknowledge at once. By state of the world they ask for what an Envoy
// with a rendered bootstrap does, in its order: clusters and listener, then secrets,
// filter and routes. By delta they are Envoys with a listener of their own. Both sides
// share the machine, so that the time is that of both.
//
// Files: server.go is the child, client.go an Envoy, main.go the measurement.
package main
