// Command umagate is the control plane and the command line of umagate.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/umagate/umagate/controlplane/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Environment{
		Stdin:       os.Stdin,
		Stdout:      os.Stdout,
		Stderr:      os.Stderr,
		LookupEnv:   os.LookupEnv,
		OpenBrowser: cli.OpenBrowser,
		Program:     os.Args[0],
		Executable:  os.Executable,
		Logs:        cli.CaptureLogs,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}
