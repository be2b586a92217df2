// Package keycloaktest gives tests a real Keycloak.
//
// A test skips where Keycloak is not installed, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, a missing Keycloak is a failure. With
// UMAGATE_WITHOUT_REAL=1, as `make test` sets it, the test skips in any case.
package keycloaktest

import (
	"cmp"
	"os"
	"testing"

	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/process/processtest"
)

// VersionVariable names the environment variable that chooses another version
// than [keycloak.DefaultVersion].
const VersionVariable = "UMAGATE_KEYCLOAK_VERSION"

// Installation returns the Keycloak to test with, or ends the test.
func Installation(t testing.TB) keycloak.Installation {
	t.Helper()
	return processtest.Require(t, "Keycloak", func() (keycloak.Installation, error) {
		return keycloak.Find(cmp.Or(os.Getenv(VersionVariable), keycloak.DefaultVersion))
	})
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

// StartWithClock is [Start] of a server whose clock the test sets.
func StartWithClock(t testing.TB) *keycloak.Server {
	t.Helper()
	server, err := keycloak.StartWithClock(t.Context(), Installation(t))
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
			t.Logf("Keycloak's log: %s\n%s", processtest.KeepLog("keycloak", server.LogFile), server.LastWords())
		}
		server.Stop()
	})
	return server
}
