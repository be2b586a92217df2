// Package envoy finds, installs and runs an Envoy on this machine.
//
// The demo, the benchmarks and every test that needs a real Envoy use it; the
// filter and "umagate serve" do not. The folder also has what a user deploys:
// bootstrap.yaml and docker-compose.yaml.
//
// [Find] looks for a binary, [Install] gets one in the ways a user has, and
// [Start] runs one on loopback, asking Envoy itself which ports it was given.
package envoy
