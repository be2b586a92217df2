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
)

// Child is a program that runs until it ends by itself or is killed. It is safe
// for concurrent use.
type Child struct {
	process *os.Process
	done    chan struct{}
	err     error // why it ended, valid once done is closed
}

// Start runs the program, which writes to the end of the file log. Whoever
// started it sees to its end: see [Child.Process].
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

// Done is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err returns why it ended, together with ended; call it when Done is closed.
func (c *Child) Err(ended error) error { return errors.Join(ended, c.err) }

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
