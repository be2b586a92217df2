package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/umagate/umagate/controlplane/revoke"
)

const (
	workers  = 2 // of each Envoy
	perEnvoy = 6 // connections, so that every worker has one
	// between is the pause between requests: what is measured is not to be how fast
	// a machine without idle time is.
	between = 5 * time.Millisecond
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "revocation:", err)
		os.Exit(1)
	}
}

type options struct {
	wasm                      string
	envoys, resources, rounds int
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("revocation", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.wasm, "wasm", "build/umagate.wasm", "the filter; `make wasm` builds it")
	flags.IntVar(&o.envoys, "envoys", 2, "Envoys, of two workers each")
	flags.IntVar(&o.resources, "resources", 10_000, "resources of the site")
	flags.IntVar(&o.rounds, "rounds", 10, "revocations")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.envoys < 1 || o.resources < 0 || o.rounds < 1 {
		return o, errors.New("-envoys and -rounds are at least 1, -resources at least 0, and there is no other argument; see -help")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	w, err := build(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer w.stop()
	var answered, refused []time.Duration
	for range o.rounds {
		a, r, err := w.round(ctx)
		if err != nil {
			return err
		}
		answered, refused = append(answered, a), append(refused, r)
	}
	_, _ = fmt.Fprintf(stdout, "\nRevocation of a token: %d real Envoys of %d workers, a site of %d resources, %d rounds; %d cores, %s\n",
		o.envoys, workers, o.resources, o.rounds, runtime.NumCPU(), runtime.Version())
	show := func(what string, took []time.Duration) {
		slices.Sort(took)
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		_, _ = fmt.Fprintf(stdout, "%-58s min %.1f ms, median %.1f ms, max %.1f ms\n", what, ms(took[0]), ms(took[len(took)/2]), ms(took[len(took)-1]))
	}
	show("POST /v1/revocations, until it is stored and answered:", answered)
	show("POST /v1/revocations, until the last Envoy refuses:", refused)
	return nil
}

// round revokes one token. answered and refused count from the call on.
func (w *world) round(ctx context.Context) (answered, refused time.Duration, err error) {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	token, err := w.token(ctx)
	if err != nil {
		return 0, 0, err
	}
	all := w.connections()
	defer func() {
		for _, c := range all {
			c.transport.CloseIdleConnections()
		}
	}()
	if err := each(all, func(c *connection) error { return c.until(ctx, token, http.StatusOK) }); err != nil {
		return 0, 0, fmt.Errorf("the token is not accepted: %w", err)
	}
	var call sync.WaitGroup
	var callErr error
	begin := time.Now()
	call.Go(func() {
		var made revoke.Revocation
		callErr = w.control.Do(ctx, http.MethodPost, "/v1/revocations", revoke.RevocationRequest{Token: token}, &made)
		answered = time.Since(begin)
	})
	err = each(all, func(c *connection) error { return c.until(ctx, token, http.StatusUnauthorized) })
	refused = time.Since(begin)
	call.Wait()
	if err = errors.Join(err, callErr); err != nil {
		return 0, 0, fmt.Errorf("the token is not refused: %w", err)
	}
	return answered, refused, each(all, func(c *connection) error {
		if got, err := c.status(ctx, token); err != nil || got != http.StatusUnauthorized {
			return fmt.Errorf("after the refusal, envoy at %s answers %d: %w", c.address, got, err)
		}
		return nil
	})
}

// until asks until the answer is as wanted.
func (c *connection) until(ctx context.Context, token string, want int) error {
	last := 0
	pace := time.NewTicker(between)
	defer pace.Stop()
	for ctx.Err() == nil {
		got, err := c.status(ctx, token)
		if err != nil {
			return err
		}
		if last = got; got == want {
			return nil
		}
		<-pace.C
	}
	return fmt.Errorf("envoy at %s answers %d: %w", c.address, last, ctx.Err())
}
