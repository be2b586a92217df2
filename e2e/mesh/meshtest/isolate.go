package meshtest

import (
	"errors"
	"os"
	"testing"

	"github.com/umagate/umagate/e2e/process/processtest"
)

// insideVariable tells the tests' program that it is the one inside: "1". Another value
// is why there is none.
const insideVariable = "UMAGATE_TEST_NAMESPACES"

// Hosts are names that loopback has there, for an authorization server and an API.
func Hosts() []string { return []string{"as.example.com", "api.example.com", "photos.example.com"} }

// Main is the TestMain of a package whose tests listen on all addresses, on fixed ports,
// or write where the system keeps its state. It runs the tests' program once more, in
// namespaces of its own: a network that has only loopback, some [Hosts], an empty
// /var/lib, and processes that all end with it. On Linux that takes root, or the right of a user to
// make user namespaces.
func Main(m *testing.M) {
	if os.Getenv(insideVariable) == "1" {
		if err := settle(); err != nil {
			_, _ = os.Stderr.WriteString("making the namespaces of the tests: " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	code, err := enter()
	if err == nil {
		os.Exit(code)
	}
	// The tests say it, or skip.
	if err := os.Setenv(insideVariable, err.Error()); err != nil {
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// RequireIsolation ends a test that is not in namespaces of its own: it is a failure with
// UMAGATE_REQUIRE_REAL=1.
func RequireIsolation(t testing.TB) {
	t.Helper()
	processtest.Require(t, "mesh", func() (struct{}, error) {
		switch why := os.Getenv(insideVariable); why {
		case "1":
			return struct{}{}, nil
		case "":
			return struct{}{}, errors.New("the package's TestMain does not call meshtest.Main")
		default:
			return struct{}{}, errors.New("this test needs Linux, and root or user namespaces: " + why)
		}
	})
}
