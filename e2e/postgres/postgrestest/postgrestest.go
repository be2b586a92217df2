// Package postgrestest gives tests a real PostgreSQL.
//
// A test skips where PostgreSQL is not installed, and says how to include it; with
// UMAGATE_REQUIRE_REAL=1, as CI sets it, a missing one is a failure. With
// UMAGATE_WITHOUT_REAL=1, as `make test` sets it, the test skips in any case.
package postgrestest

import (
	"testing"

	"github.com/umagate/umagate/e2e/postgres"
	"github.com/umagate/umagate/e2e/process/processtest"
)

// Start runs a PostgreSQL of its own for a test, and its subtests, until its end.
// It takes a second or two: start one for many cases, and give each a database.
func Start(t testing.TB) *postgres.Server {
	t.Helper()
	folder := processtest.Require(t, "PostgreSQL", postgres.Find)
	server, err := postgres.Start(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	stopping(t, server)
	return server
}

// Standby runs a copy of a server that follows it, until the test's end.
func Standby(t testing.TB, primary *postgres.Server) *postgres.Server {
	t.Helper()
	server, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stopping(t, server)
	return server
}

// Replicated waits until a standby has what its primary has.
func Replicated(t testing.TB, primary, standby *postgres.Server) {
	t.Helper()
	if err := primary.Replicated(t.Context(), standby); err != nil {
		t.Fatal(err)
	}
}

func stopping(t testing.TB, server *postgres.Server) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL's log: %s\n%s", processtest.KeepLog("postgres", server.LogFile), server.LastWords())
		}
		server.Stop()
	})
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
