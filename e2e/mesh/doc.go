// Package mesh builds and runs the real control planes of a service mesh, without a
// cluster: the API server of Kubernetes with its etcd, Istio's istiod and pilot-agent,
// Envoy Gateway, and a registry of images. The tests apply to them what umagate renders,
// and ask the Envoys behind them.
//
// [Build] compiles the programs of the module in the folder tools, once for each version
// of it, and keeps them in the user's cache folder. Each Start function runs one of them
// on loopback and returns when it answers; its result's Stop ends it.
//
// Istio's gateways and Envoy Gateway listen on all addresses and on fixed ports, and
// pilot-agent writes below /var/lib/istio. So their tests run in namespaces of their own:
// see package meshtest.
package mesh
