// Package envoytest gives tests a real Envoy.
//
// A test skips where there is no Envoy, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, a missing Envoy is a failure. With
// UMAGATE_WITHOUT_REAL=1, as `make test` sets it, the test skips in any case.
package envoytest

import (
	"context"
	"os"
	"testing"

	"github.com/umagate/umagate/envoy"
)

// Binary returns the Envoy to test with, or ends the test.
func Binary(t testing.TB) envoy.Binary {
	t.Helper()
	required := os.Getenv("UMAGATE_REQUIRE_REAL") == "1"
	if os.Getenv("UMAGATE_WITHOUT_REAL") == "1" && !required {
		t.Skip("left out, since UMAGATE_WITHOUT_REAL=1: `make e2e` runs the tests that need a real Envoy")
	}
	binary, err := envoy.Find(t.Context())
	if err != nil && required {
		t.Fatalf("UMAGATE_REQUIRE_REAL=1: %v", err)
	}
	if err != nil {
		t.Skip(err)
	}
	return binary
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
			t.Logf("Envoy's log: %s\n%s", keep(t, process.LogFile), said)
		}
	})
	return process
}

// keep copies a log out of the test's own folder, which is removed, and returns
// where it is.
func keep(t testing.TB, log string) string {
	t.Helper()
	content, err := os.ReadFile(log) //nolint:gosec // the log of this test
	if err != nil {
		return err.Error()
	}
	file, err := os.CreateTemp(os.Getenv("UMAGATE_LOGS"), "umagate-envoy-*.log")
	if err != nil {
		return err.Error()
	}
	defer file.Close() //nolint:errcheck // a courtesy
	if _, err := file.Write(content); err != nil {
		return err.Error()
	}
	return file.Name()
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
