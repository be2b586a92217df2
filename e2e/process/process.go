// Package process runs a real part of a test as a child that does not outlive the
// program that started it.
package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Child is a program that runs until it ends by itself or is killed. It is safe
// for concurrent use.
type Child struct {
	process *os.Process
	done    chan struct{}
	err     error // why it ended, valid once done is closed
}

// Start runs the program, which writes to the end of the file log. Whoever
// started it calls [Child.Stop] or [Child.Kill].
func Start(cmd *exec.Cmd, log string) (*Child, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the test's own folder
	if err != nil {
		return nil, fmt.Errorf("opening its log: %w", err)
	}
	defer file.Close() //nolint:errcheck // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = file, file
	child, started := &Child{done: make(chan struct{})}, make(chan error, 1)
	go func() {
		// With a parent-death signal the kernel ends the child when the thread that
		// started it ends: this goroutine keeps its thread until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(child.done)
		err := cmd.Start()
		if err == nil {
			child.process = cmd.Process
		}
		started <- err
		if err == nil {
			child.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return child, nil
}

// Process is for signals.
func (c *Child) Process() *os.Process { return c.process }

// Await returns when ready does, which it asks again and again: nil. It returns an error
// that wraps ended when the program has ended, or one when limit has passed.
func (c *Child) Await(ctx context.Context, limit time.Duration, ended error, ready func(context.Context) bool) error {
	const every = 50 * time.Millisecond
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer after %s", limit))
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ready(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.done:
			return errors.Join(ended, c.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Stop asks the program to end by a signal, waits, and uses force after ten seconds.
func (c *Child) Stop(signal os.Signal) {
	_ = c.process.Signal(signal) // it may have ended already
	force := time.NewTimer(10 * time.Second)
	defer force.Stop()
	select {
	case <-c.done:
	case <-force.C:
		c.Kill()
	}
}

// Kill ends the program at once, and waits for its end.
func (c *Child) Kill() {
	_ = c.process.Kill() // it may have ended already
	<-c.done
}

// LastLines returns the end of a log, or of what a program printed, for messages.
func LastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// LastWords is [LastLines] of a file; empty when it cannot be read.
func LastWords(log string) string {
	content, err := os.ReadFile(log) //nolint:gosec // the log of a child
	if err != nil {
		return ""
	}
	return LastLines(content)
}

// FreePort asks the kernel for a port of loopback. Another program could take it
// before the child does, which cannot open port 0 and say what it got.
func FreePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer listener.Close() //nolint:errcheck // it was never used
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("looking for a free port: the listener has the address %s", listener.Addr())
	}
	return address.Port, nil
}
