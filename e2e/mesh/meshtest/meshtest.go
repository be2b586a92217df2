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
