// Command bench compares what one request costs in the same Envoy with different
// filters in front of the same API: none, umagate, Envoy's own jwt_authn with RBAC,
// and ext_authz to a gRPC server in Go.
//
//	make bench
//	make bench ARGS="--rounds 9 --requests 20000"
//	make bench ARGS="--also old=/tmp/old.wasm"   # another build of the filter beside this one
//
// Each variant has an Envoy process of its own with one worker. The rounds are
// interleaved (A B C, A B C, …), so that what the machine does meanwhile touches all
// of them alike. What is measured is the CPU time of the Envoy process, for a fixed
// number of requests; the load generator, the API, the authorization server and the
// ext_authz server are in this process and are not counted. The difference to the
// variant without a filter is what the filter costs.
//
// Figures differ from machine to machine and from run to run. The ratios of one run
// are what can be compared.
//
// Files: variant.go lists what is compared; bootstrap.go is Envoy's side; backend.go,
// extauthz.go and token.go are what it talks to; load.go sends; run.go measures;
// table.go prints.
package main
