// Command umagate-controller is `umagate serve` with the sites of Kubernetes objects. It is
// a program of its own for what it weighs: see RATIONALE.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/kube/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command.Controller().Run(ctx, cli.Environment{
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		LookupEnv:  os.LookupEnv,
		Program:    os.Args[0],
		Executable: os.Executable,
		Logs:       command.CaptureLogs,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}
