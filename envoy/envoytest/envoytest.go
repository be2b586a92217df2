// Package envoytest gives tests a real Envoy.
//
// A test skips where there is no Envoy, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, a missing Envoy is a failure. With
// UMAGATE_WITHOUT_REAL=1, as `make test` sets it, the test skips in any case.
package envoytest

import (
	"context"
	"testing"

	"github.com/umagate/umagate/e2e/process/processtest"
	"github.com/umagate/umagate/envoy"
)

// Binary returns the Envoy to test with, or ends the test.
func Binary(t testing.TB) envoy.Binary {
	t.Helper()
	return processtest.Require(t, "Envoy", func() (envoy.Binary, error) { return envoy.Find(t.Context()) })
}

// Start runs an Envoy until the end of the test. Options.Binary is found when it
// is not set. When the test fails, Envoy's log is kept and its end is shown:
// in the folder that UMAGATE_LOGS names, or else in a temporary one.
func Start(t testing.TB, options envoy.Options) *envoy.Process {
	t.Helper()
	if options.Binary.Path == "" {
		options.Binary = Binary(t)
	}
	if options.Folder == "" {
		options.Folder = t.TempDir()
	}
	process, err := envoy.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		failed := t.Failed()
		said := ""
		if failed {
			said = process.LastWords()
		}
		process.Stop()
		if failed {
			t.Logf("Envoy's log: %s\n%s", processtest.KeepLog("envoy", process.LogFile), said)
		}
	})
	return process
}

// Address returns where a listener accepts connections, or ends the test.
func Address(ctx context.Context, t testing.TB, process *envoy.Process, listener string) string {
	t.Helper()
	address, err := process.ListenerAddress(ctx, listener)
	if err != nil {
		t.Fatal(err)
	}
	return address
}
