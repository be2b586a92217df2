// Package processtest says what becomes of a test where a real part of it is missing, and
// of the part's log when the test fails.
//
// A test skips where the part is not installed, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, a missing part is a failure. With
// UMAGATE_WITHOUT_REAL=1, as `make test` sets it, the test skips in any case.
package processtest

import (
	"os"
	"testing"
)

// Require returns what find finds of a part, "Keycloak", or ends the test.
func Require[T any](t testing.TB, part string, find func() (T, error)) T {
	t.Helper()
	required := os.Getenv("UMAGATE_REQUIRE_REAL") == "1"
	if os.Getenv("UMAGATE_WITHOUT_REAL") == "1" && !required {
		t.Skip("left out, since UMAGATE_WITHOUT_REAL=1: `make e2e` runs the tests that need a real " + part)
	}
	found, err := find()
	if err != nil && required {
		t.Fatalf("UMAGATE_REQUIRE_REAL=1: %v", err)
	}
	if err != nil {
		t.Skip(err)
	}
	return found
}

// KeepLog copies a part's log out of a folder that is removed, and returns where it is:
// in the folder that UMAGATE_LOGS names, or else in a temporary one.
func KeepLog(part, log string) string {
	content, err := os.ReadFile(log) //nolint:gosec // the log of this test
	if err != nil {
		return err.Error()
	}
	file, err := os.CreateTemp(os.Getenv("UMAGATE_LOGS"), "umagate-"+part+"-*.log")
	if err != nil {
		return err.Error()
	}
	defer file.Close() //nolint:errcheck // a courtesy
	if _, err := file.Write(content); err != nil {
		return err.Error()
	}
	return file.Name()
}
