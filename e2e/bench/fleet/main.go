package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/umagate/umagate/controlplane/site"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// options are the flags. serve is what makes the process the child.
type options struct {
	envoys, sites, pushes int
	serve                 bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.envoys, "envoys", 1000, "connected Envoys")
	flags.IntVar(&o.sites, "sites", 10, "sites, each with 20 resources")
	flags.IntVar(&o.pushes, "pushes", 5, "pushes, each of everything")
	flags.BoolVar(&o.serve, "serve", false, "be the xDS server; this program starts itself so")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.envoys < 1 || o.sites < 1 || o.pushes < 1 {
		return o, errors.New("-envoys, -sites and -pushes are at least 1, and there is no other argument; see -help")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.serve {
		return serve(ctx, o.envoys, o.sites, stdin, stdout)
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	_, _ = fmt.Fprintf(stdout, "\nPushes to %d Envoys (simulated streams over gRPC, each a connection), %d sites with 20 resources each; %d cores, %s\n",
		o.envoys, o.sites, runtime.NumCPU(), runtime.Version())
	for _, delta := range []bool{false, true} {
		if err := measure(ctx, program, o, delta, stdout, stderr); err != nil {
			return err
		}
	}
	return nil
}

// child is the xDS server in a process of its own.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

func start(ctx context.Context, program string, o options, stderr io.Writer) (*child, string, error) {
	c := &child{cmd: exec.CommandContext(ctx, program, "-serve", "-envoys", strconv.Itoa(o.envoys), "-sites", strconv.Itoa(o.sites))} //nolint:gosec // itself, with numbers
	c.cmd.Stderr = stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, "", fmt.Errorf("start the server: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, "", fmt.Errorf("start the server: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start the server: %w", err)
	}
	c.in, c.answers = in, json.NewDecoder(bufio.NewReader(out))
	var first report
	if err := c.answers.Decode(&first); err != nil {
		return nil, "", errors.Join(fmt.Errorf("the server does not answer: %w", err), c.stop())
	}
	return c, first.Address, nil
}

func (c *child) ask(what string) (report, error) {
	var r report
	if _, err := io.WriteString(c.in, what+"\n"); err != nil {
		return r, fmt.Errorf("ask the server: %w", err)
	}
	if err := c.answers.Decode(&r); err != nil {
		return r, fmt.Errorf("the server does not answer to %s: %w", what, err)
	}
	return r, nil
}

func (c *child) stop() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }

// measure prints one line.
func measure(ctx context.Context, program string, o options, delta bool, stdout, stderr io.Writer) (err error) {
	server, address, err := start(ctx, program, o, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	idle, err := server.ask("memory")
	if err != nil {
		return err
	}
	clients, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer func() { cancel(nil); wg.Wait() }()
	var secrets []string
	for i := range o.sites {
		name := "site-" + strconv.Itoa(i)
		secrets = append(secrets, site.IntrospectionSecret(name), site.PATSecret(name))
	}
	for i := range o.envoys {
		wg.Go(func() {
			if err := connect(clients, address, "envoy-"+strconv.Itoa(i), delta, secrets); err != nil {
				cancel(err)
			}
		})
	}
	// The first push waits for everybody to connect.
	first, err := server.ask("push")
	if err != nil {
		return errors.Join(err, context.Cause(clients))
	}
	var took []time.Duration
	for range o.pushes {
		r, err := server.ask("push")
		if err != nil {
			return errors.Join(err, context.Cause(clients))
		}
		took = append(took, r.Took)
	}
	full, err := server.ask("memory")
	if err != nil {
		return err
	}
	slices.Sort(took)
	kind := "state of the world"
	if delta {
		kind = "delta"
	}
	_, _ = fmt.Fprintf(stdout, "%-18s  all acknowledged after %s (median of %d; %s to %s), %.1f KiB of memory for each stream, filter document %.1f KiB\n",
		kind, round(took[len(took)/2]), len(took), round(took[0]), round(took[len(took)-1]),
		(float64(full.Memory)-float64(idle.Memory))/float64(o.envoys)/1024, float64(first.Document)/1024)
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
