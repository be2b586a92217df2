package cli

import (
	"context"
	"os/exec"
	"runtime"
)

// OpenBrowser shows a page in the user's own browser. An error means that the
// user has to open the address by hand.
func OpenBrowser(ctx context.Context, url string) error {
	var command []string
	switch runtime.GOOS {
	case "darwin":
		command = []string{"open"}
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler"}
	default:
		command = []string{"xdg-open"}
	}
	// One argument, no shell: nothing in the address is a command.
	return exec.CommandContext(ctx, command[0], append(command[1:], url)...).Run() //nolint:gosec // see above
}
