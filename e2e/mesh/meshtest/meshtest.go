// Package meshtest gives tests the real control planes of a mesh.
//
// A test skips where they are not built, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, that is a failure. With UMAGATE_WITHOUT_REAL=1,
// as `make test` sets it, the test skips in any case.
//
// What listens on more than loopback runs in a package whose TestMain calls [Main], and
// in a test that calls [RequireIsolation].
package meshtest

import (
	"path/filepath"
	"testing"

	"github.com/umagate/umagate/e2e/mesh"
	"github.com/umagate/umagate/e2e/process/processtest"
	"github.com/umagate/umagate/envoy/envoytest"
)

// Tools returns the programs, of which the test needs those named, or all, or ends the
// test.
func Tools(t testing.TB, only ...mesh.Program) mesh.Tools {
	t.Helper()
	return processtest.Require(t, "mesh", func() (mesh.Tools, error) { return mesh.Find(t.Context(), only...) })
}

// StartAPIServer runs an API server of Kubernetes for a test, and its subtests, until its
// end. It takes five seconds: start one for many cases, and give each a namespace.
func StartAPIServer(t testing.TB, arguments ...string) *mesh.APIServer {
	t.Helper()
	server, err := mesh.StartAPIServer(t.Context(), Tools(t, mesh.Etcd, mesh.KubeAPIServer, mesh.Kubectl), t.TempDir(), arguments...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Stop()
		keep(t, server.Logs()...)
	})
	return server
}

// StartRegistry runs a registry of images until the end of the test.
func StartRegistry(t testing.TB) *mesh.Registry {
	t.Helper()
	registry, err := mesh.StartRegistry(t.Context(), Tools(t, mesh.Crane), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		registry.Stop()
		keep(t, registry.Log())
	})
	return registry
}

// StartIstiod runs an istiod for an API server, on which it installs Istio's definitions,
// until the end of the test.
func StartIstiod(t testing.TB, api *mesh.APIServer) *mesh.Istiod {
	t.Helper()
	tools := Tools(t, mesh.PilotDiscovery)
	if err := api.Define(t.Context(), mesh.IstioCRDs); err != nil {
		t.Fatal(err)
	}
	istiod, err := mesh.StartIstiod(t.Context(), tools, t.TempDir(), api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		istiod.Stop()
		keep(t, istiod.Log())
	})
	return istiod
}

// StartProxy runs a proxy of that istiod until the end of the test. Options.Envoy is
// found when it is not set.
func StartProxy(t testing.TB, istiod *mesh.Istiod, options mesh.ProxyOptions) *mesh.Proxy {
	t.Helper()
	RequireIsolation(t)
	if options.Envoy == "" {
		options.Envoy = envoytest.Binary(t).Path
	}
	folder := t.TempDir()
	proxy, err := mesh.StartProxy(t.Context(), Tools(t, mesh.PilotAgent), folder, istiod, options)
	if err != nil {
		t.Log(processtest.KeepLog("proxy", filepath.Join(folder, string(mesh.PilotAgent)+".log")))
		t.Fatal(err)
	}
	t.Cleanup(func() {
		proxy.Stop()
		keep(t, proxy.Log())
	})
	return proxy
}

// StartGateway runs an Envoy Gateway for a Gateway of a namespace and a name, which is
// among the objects, until the end of the test.
func StartGateway(t testing.TB, namespace, name, objects string) *mesh.Gateway {
	t.Helper()
	RequireIsolation(t)
	binary := envoytest.Binary(t)
	gateway, err := mesh.StartGateway(t.Context(), Tools(t, mesh.EnvoyGateway), t.TempDir(), mesh.GatewayOptions{
		Envoy: binary.Path, Version: binary.Version, Namespace: namespace, Name: name, Objects: objects,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gateway.Stop()
		keep(t, gateway.Log())
	})
	return gateway
}

// keep shows where the logs of a failed test are.
func keep(t testing.TB, logs ...string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for _, log := range logs {
		t.Logf("%s: %s", filepath.Base(log), processtest.KeepLog(filepath.Base(log), log))
	}
}
