// Flake runs tests many times beside a load of its own, and names those whose
// outcome differs from run to run.
//
//	go run ./e2e/flake -n 10 ./...                               whole runs
//	go run ./e2e/flake -n 1000 -run TestReplicas ./controlplane/server
//
// Each package is compiled once. Processes that only burn CPU take the machine's
// time meanwhile (-load of them), as a busy CI machine would. What each failure
// printed is kept in -logs.
//
// The exit status is 1 when a test failed, or when its outcome differed between
// two runs.
package main
