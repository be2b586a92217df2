package devas_test

import (
	"net/http"
	"os"
	"testing"
)

// TestMain hides that the default transport can close idle connections: each server
// of httptest has it do so when it ends, also with those of a test beside it.
func TestMain(m *testing.M) {
	http.DefaultTransport = struct{ http.RoundTripper }{http.DefaultTransport}
	os.Exit(m.Run())
}
