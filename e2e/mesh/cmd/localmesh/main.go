// Command localmesh builds the control planes of a mesh for the tests, or names the
// folder that has them.
//
//	localmesh build [program ...]  build them, or these, into the user's cache folder
//	localmesh folder               say where they are
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/umagate/umagate/e2e/mesh"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string) int {
	var tools mesh.Tools
	var err error
	switch {
	case len(args) > 0 && args[0] == "build":
		var programs []mesh.Program
		for _, name := range args[1:] {
			programs = append(programs, mesh.Program(name))
		}
		tools, err = mesh.Build(ctx, os.Stderr, programs...)
	case len(args) == 1 && args[0] == "folder":
		tools, err = mesh.Find(ctx)
	default:
		_, _ = fmt.Fprintln(os.Stderr, "usage: localmesh build [program ...], or localmesh folder")
		return 2
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(tools.Folder())
	return 0
}
