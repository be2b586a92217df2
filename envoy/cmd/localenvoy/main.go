// Command localenvoy finds or installs an Envoy for the tests and the demo.
//
//	localenvoy find              print the Envoy that would be used
//	localenvoy install [version] install one into umagate's cache folder
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/umagate/umagate/envoy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 done, 1 no Envoy, 2 wrong usage.
func run(ctx context.Context, args []string) int {
	var binary envoy.Binary
	var err error
	switch {
	case len(args) == 1 && args[0] == "find":
		binary, err = envoy.Find(ctx)
	case len(args) == 1 && args[0] == "install":
		binary, err = envoy.Install(ctx, envoy.DefaultVersion, os.Stderr)
	case len(args) == 2 && args[0] == "install":
		binary, err = envoy.Install(ctx, args[1], os.Stderr)
	default:
		fmt.Fprintln(os.Stderr, "usage: localenvoy find | install [version]")
		return 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("%s\n", binary.Path)
	return 0
}
