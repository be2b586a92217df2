package processtest

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// OpenPage opens a page in a real Chromium until the end of the test.
func OpenPage(t testing.TB, url string) {
	t.Helper()
	binary := Require(t, "Chromium", func() (string, error) { return exec.LookPath("chromium") })
	command := exec.CommandContext(t.Context(), binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", //nolint:gosec // the browser of this machine
		"--no-first-run", "--disable-background-networking", "--proxy-server=direct://", "--remote-debugging-port=0",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), url)
	command.WaitDelay = time.Minute
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	})
}
