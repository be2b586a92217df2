// Package postgrestest gives tests a real PostgreSQL.
//
// A test skips where PostgreSQL is not installed, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, a missing one is a failure. With
// UMAGATE_WITHOUT_REAL=1, as `make test` sets it, the test skips in any case.
package postgrestest

import (
	"os"
	"testing"

	"github.com/umagate/umagate/e2e/postgres"
)

// Start runs a PostgreSQL of its own for a test, and its subtests, until its end.
// It takes a second or two: start one for many cases, and give each a database.
func Start(t testing.TB) *postgres.Server {
	t.Helper()
	required := os.Getenv("UMAGATE_REQUIRE_REAL") == "1"
	if os.Getenv("UMAGATE_WITHOUT_REAL") == "1" && !required {
		t.Skip("left out, since UMAGATE_WITHOUT_REAL=1: `make e2e` runs the tests that need a real PostgreSQL")
	}
	folder, err := postgres.Find()
	if err != nil && required {
		t.Fatalf("UMAGATE_REQUIRE_REAL=1: %v", err)
	}
	if err != nil {
		t.Skip(err)
	}
	server, err := postgres.Start(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, err := os.ReadFile(server.LogFile)
			t.Logf("PostgreSQL's log (%v):\n%s", err, log)
		}
		server.Stop()
	})
	return server
}

// Database makes an empty database and gives its URL.
func Database(t testing.TB, server *postgres.Server) string {
	t.Helper()
	url, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}
