// Command revocation measures how long a revocation takes: from the call of
// POST /v1/revocations until the last worker of the last Envoy has refused the
// token.
//
//	make bench
//	go run ./e2e/bench/revocation -envoys 5 -resources 10000
//
// Everything is real but the distance: umagate serve, an authorization server that
// calls the token active all the while, and Envoys of two workers each, on
// loopback. Requests with the token go to every Envoy over several connections,
// one each few milliseconds, which is how exact the times are.
//
// Files: world.go is what runs, main.go the measurement.
package main
