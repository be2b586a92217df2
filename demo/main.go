package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case interrupted && errors.Is(err, context.Canceled):
		os.Exit(130) // as a shell says of SIGINT
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	once    bool
	gateway string
	wasm    string
	verbose bool
}

// The values of --gateway.
const (
	gatewayAuto   = "auto"
	gatewayEnvoy  = "envoy"
	gatewayWazero = "wazero"
)

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, "See UMA guard an API. Exit codes: 0 all was as told, 1 it was not.\n\n  make demo ARGS=\"[flags]\"\n\n")
		flags.PrintDefaults()
	}
	flags.BoolVar(&o.once, "once", false, "end after the story, on free ports, with exit code 1 if a step was not as told")
	flags.StringVar(&o.gateway, "gateway", gatewayAuto, "`WHERE` the filter runs: envoy, wazero, or auto (envoy if one is found)")
	flags.StringVar(&o.wasm, "wasm", "build/umagate.wasm", "the filter's module, a `PATH`; make wasm builds it")
	flags.BoolVar(&o.verbose, "verbose", false, "print the log of the control plane on standard error")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q; see --help", flags.Arg(0))
	case o.gateway != gatewayAuto && o.gateway != gatewayEnvoy && o.gateway != gatewayWazero:
		return o, fmt.Errorf("--gateway %s: want envoy, wazero or auto", o.gateway)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	p := newPrinter(stdout)
	p.title()
	w, err := startWorld(ctx, o, p, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	p.world(w)
	if err := tell(ctx, w, p); err != nil {
		return err
	}
	if !o.once {
		p.stay(w)
		select {
		case <-ctx.Done():
			p.line("\nStopping.")
		case <-w.ended:
			return w.failure()
		}
	}
	return nil
}
