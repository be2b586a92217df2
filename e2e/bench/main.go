package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/umagate/umagate/envoy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	wasm        string
	also        []build
	only        []string
	rounds      int
	requests    int
	connections int
}

// build is another build of the filter.
type build struct{ name, path string }

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.wasm, "wasm", "build/umagate.wasm", "the filter; `make wasm` builds it")
	flags.IntVar(&o.rounds, "rounds", 7, "rounds over all variants")
	flags.IntVar(&o.requests, "requests", 10_000, "requests of a variant in a round")
	flags.IntVar(&o.connections, "connections", 4, "keep-alive connections, each with one request at a time")
	flags.Func("also", "measure another build of the filter too, as `NAME=PATH`; may be repeated", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok || name == "" || path == "" {
			return errors.New("want NAME=PATH")
		}
		o.also = append(o.also, build{name, path})
		return nil
	})
	flags.Func("only", "measure the variants whose names contain `TEXT`, and no filter; may be repeated", func(s string) error {
		o.only = append(o.only, s)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q; see --help", flags.Arg(0))
	case o.rounds < 1 || o.requests < 1 || o.connections < 1:
		return o, errors.New("--rounds, --requests and --connections must be at least 1")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	binary, err := envoy.Find(ctx)
	if err != nil {
		return fmt.Errorf("a benchmark of Envoy needs one: %w", err)
	}
	if _, err := os.Stat(o.wasm); err != nil {
		return fmt.Errorf("the filter is not built, run `make wasm`: %w", err)
	}
	b, err := startBackend(ctx)
	if err != nil {
		return err
	}
	defer b.stop()
	all, err := variants(b, o)
	if err != nil {
		return err
	}
	machine(stdout, binary)
	results, err := measure(ctx, binary, b, o, all, stderr)
	if err != nil {
		return err
	}
	printResults(stdout, o, results)
	return nil
}
