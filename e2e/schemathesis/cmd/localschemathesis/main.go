// Command localschemathesis installs the Schemathesis that the tests run, and
// prints where it is.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/umagate/umagate/e2e/schemathesis"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	path, err := schemathesis.Install(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path)
}
