package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// burnVariable makes this program a process that burns one processor's time.
const burnVariable = "UMAGATE_FLAKE_BURN"

type options struct {
	runs, load, parallel int
	pattern              string
	timeout              time.Duration
	logs                 string
	packages             []string
}

func main() {
	if os.Getenv(burnVariable) != "" {
		burn(os.Stdin)
		return
	}
	var o options
	flag.IntVar(&o.runs, "n", 10, "how often each package is run")
	flag.IntVar(&o.load, "load", 12, "processes that burn CPU meanwhile")
	flag.IntVar(&o.parallel, "p", runtime.NumCPU(), "packages that run at once")
	flag.StringVar(&o.pattern, "run", "", "run the tests that match this pattern, as go test -run")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Minute, "bound on one run of a package")
	flag.StringVar(&o.logs, "logs", "build/flake", "folder for the test binaries, and for what failures print")
	flag.Parse()
	o.packages = flag.Args()
	if len(o.packages) == 0 {
		o.packages = []string{"./..."}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	steady, err := run(ctx, o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "flake:", err)
	}
	if err != nil || !steady {
		os.Exit(1)
	}
}

// burn takes CPU until its standard input ends, which it does when the process
// that started it does.
func burn(input io.Reader) {
	go func() {
		for {
			runtime.KeepAlive(new(int))
		}
	}()
	_, _ = io.Copy(io.Discard, input)
}

// startLoad starts processes that burn CPU. stop ends them.
func startLoad(ctx context.Context, n int) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all []*exec.Cmd
	stop = func() {
		cancel()
		for _, c := range all {
			_ = c.Wait()
		}
	}
	for range n {
		c := exec.CommandContext(ctx, self) //nolint:gosec // this program
		c.Env = append(os.Environ(), burnVariable+"=1", "GOMAXPROCS=2")
		// Kept open by this process: it ends with it, however that ends.
		if _, err := c.StdinPipe(); err != nil {
			stop()
			return nil, err
		}
		if err := c.Start(); err != nil {
			stop()
			return nil, err
		}
		all = append(all, c)
	}
	return stop, nil
}

// pkg is a package with tests, compiled.
type pkg struct{ path, dir, binary string }

// compile compiles the tests of each package.
func compile(ctx context.Context, o options) ([]pkg, error) {
	list := exec.CommandContext(ctx, "go", append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}\t{{.Dir}}{{end}}"}, o.packages...)...) //nolint:gosec // the caller's own packages
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	folder, err := filepath.Abs(o.logs)
	if err != nil {
		return nil, err
	}
	var all []pkg
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		p := pkg{path, dir, filepath.Join(folder, strings.ReplaceAll(path, "/", "_")+".test")}
		c := exec.CommandContext(ctx, "go", "test", "-c", "-o", p.binary, path) //nolint:gosec // the caller's own packages
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		if err := c.Run(); err != nil {
			return nil, fmt.Errorf("compile the tests of %s: %w", path, err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no package of %v has tests", o.packages)
	}
	return all, nil
}

// events runs a package's tests once and returns what test2json makes of it.
func (p pkg) events(ctx context.Context, o options) ([]byte, error) {
	tests := exec.CommandContext(ctx, p.binary, "-test.v=test2json", "-test.count=1", "-test.timeout="+o.timeout.String(), "-test.run="+o.pattern) //nolint:gosec // compiled above
	tests.Dir = p.dir
	var raw bytes.Buffer
	tests.Stdout, tests.Stderr = &raw, &raw
	_ = tests.Run()                                                              // what went wrong is among the events
	convert := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", p.path) //nolint:gosec // the caller's own package
	convert.Stdin = &raw
	return convert.Output()
}

// run runs all packages o.runs times, and reports whether every outcome was the
// same each time and no failure.
func run(ctx context.Context, o options, out io.Writer) (steady bool, err error) {
	if err := os.MkdirAll(o.logs, 0o750); err != nil {
		return false, err
	}
	packages, err := compile(ctx, o)
	if err != nil {
		return false, err
	}
	stop, err := startLoad(ctx, o.load)
	if err != nil {
		return false, err
	}
	defer stop()
	t := newTally()
	began := time.Now()
	for n := range o.runs {
		if err := once(ctx, o, packages, t, n); err != nil {
			return false, err
		}
		_, _ = fmt.Fprintf(out, "run %d of %d ended after %s, load %s\n", n+1, o.runs, time.Since(began).Round(time.Second), load())
		for _, s := range t.suspects() {
			_, _ = fmt.Fprintln(out, "  "+s)
		}
	}
	tests, passed := t.counts()
	suspects := t.suspects()
	_, _ = fmt.Fprintf(out, "%d packages, %d tests, %d runs: %d passed each time, %d suspects\n", len(packages), tests, o.runs, passed, len(suspects))
	return len(suspects) == 0, nil
}

// once runs every package once, some of them at the same time.
func once(ctx context.Context, o options, packages []pkg, t *tally, n int) error {
	var mu sync.Mutex
	var all sync.WaitGroup
	var first error
	slots := make(chan struct{}, max(1, o.parallel))
	for _, p := range packages {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			events, err := p.events(ctx, o)
			mu.Lock()
			defer mu.Unlock()
			var failures string
			if err == nil {
				failures, err = t.add(p.path, bytes.NewReader(events))
			}
			if err == nil && failures != "" {
				name := filepath.Base(p.binary) + "." + strconv.Itoa(n+1) + ".log"
				err = os.WriteFile(filepath.Join(o.logs, name), []byte(failures), 0o600)
			}
			if err != nil && first == nil {
				first = err
			}
		})
	}
	all.Wait()
	return first
}

// load is the machine's load over the last minute, where it says.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
