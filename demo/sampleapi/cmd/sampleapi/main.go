// Command sampleapi serves the photo albums of the demo on their own, for the
// docker-compose file and for trying umagate by hand.
//
//	sampleapi [HOST:PORT]    default 127.0.0.1:8080
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/umagate/umagate/demo/sampleapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 stopped, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string) int {
	address := "127.0.0.1:8080"
	switch {
	case len(args) == 1:
		address = args[0]
	case len(args) > 1:
		fmt.Fprintln(os.Stderr, "usage: sampleapi [HOST:PORT]")
		return 2
	}
	running, err := sampleapi.New().Start(ctx, address, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer running.Stop()
	fmt.Printf("photo albums on http://%s\n", running.Address)
	<-ctx.Done()
	return 0
}
