// Package keycloaktest gives tests a real Keycloak.
//
// A test skips where Keycloak is not installed, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, a missing Keycloak is a failure. With
// UMAGATE_WITHOUT_REAL=1, as `make test` sets it, the test skips in any case.
package keycloaktest

import (
	"os"
	"testing"

	"github.com/umagate/umagate/e2e/keycloak"
)

// VersionVariable names the environment variable that chooses another version
// than [keycloak.DefaultVersion].
const VersionVariable = "UMAGATE_KEYCLOAK_VERSION"

// Installation returns the Keycloak to test with, or ends the test.
func Installation(t testing.TB) keycloak.Installation {
	t.Helper()
	required := os.Getenv("UMAGATE_REQUIRE_REAL") == "1"
	if os.Getenv("UMAGATE_WITHOUT_REAL") == "1" && !required {
		t.Skip("left out, since UMAGATE_WITHOUT_REAL=1: `make e2e` runs the tests that need a real Keycloak")
	}
	version := os.Getenv(VersionVariable)
	if version == "" {
		version = keycloak.DefaultVersion
	}
	installation, err := keycloak.Find(version)
	if err != nil && required {
		t.Fatalf("UMAGATE_REQUIRE_REAL=1: %v", err)
	}
	if err != nil {
		t.Skip(err)
	}
	return installation
}

// Start runs a Keycloak of its own for a test, and its subtests, until its end.
// It takes six to ten seconds: start one for many cases. When the test fails, the
// log is kept and its end is shown: in the folder that UMAGATE_LOGS names, or
// else in a temporary one.
func Start(t testing.TB) *keycloak.Server {
	t.Helper()
	server, err := keycloak.Start(t.Context(), Installation(t))
	return watched(t, server, err)
}

// StartBehind is [Start] of a server whose issuer is below public, and whose back
// channel is plain http on loopback.
func StartBehind(t testing.TB, public string) *keycloak.Server {
	t.Helper()
	server, err := keycloak.StartBehind(t.Context(), Installation(t), public)
	return watched(t, server, err)
}

// StartTLS is [Start] of a server that speaks https, too, and asks clients for
// certificates.
func StartTLS(t testing.TB, files keycloak.TLS) *keycloak.Server {
	t.Helper()
	server, err := keycloak.StartTLS(t.Context(), Installation(t), files)
	return watched(t, server, err)
}

func watched(t testing.TB, server *keycloak.Server, err error) *keycloak.Server {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Keycloak's log: %s\n%s", keep(server.LogFile), server.LastWords())
		}
		server.Stop()
	})
	return server
}

// keep copies a log out of the server's own folder, which is removed, and
// returns where it is.
func keep(log string) string {
	content, err := os.ReadFile(log) //nolint:gosec // the log of this test
	if err != nil {
		return err.Error()
	}
	file, err := os.CreateTemp(os.Getenv("UMAGATE_LOGS"), "umagate-keycloak-*.log")
	if err != nil {
		return err.Error()
	}
	defer file.Close() //nolint:errcheck // a courtesy
	if _, err := file.Write(content); err != nil {
		return err.Error()
	}
	return file.Name()
}
