package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrExited says that Envoy ended by itself.
var ErrExited = errors.New("envoy exited")

// Options say how [Start] runs Envoy. Only Binary and Bootstrap must be set.
type Options struct {
	Binary Binary
	// Bootstrap is YAML or JSON. Its listeners may use port 0: ask
	// [Process.ListenerAddress] where they are.
	Bootstrap []byte
	// Admin is the address of the admin API; default "127.0.0.1:0". It overrides
	// the bootstrap's.
	Admin string
	// Folder keeps the bootstrap and envoy.log, and stays; when empty, a
	// temporary one that Stop removes.
	Folder string
	// Concurrency is the number of workers; default 1.
	Concurrency int
	// LogLevel is Envoy's --log-level; default "info". ComponentLogLevel is for
	// example "wasm:debug".
	LogLevel, ComponentLogLevel string
	// ReadyTimeout bounds the wait for /ready; default one minute, since a wasm
	// module is compiled before the listeners open.
	ReadyTimeout time.Duration
	// Arguments are added to the command line.
	Arguments []string
}

// Process is a running Envoy. Its methods may be called concurrently. Whoever
// started it must call [Process.Stop].
type Process struct {
	// Binary is what runs.
	Binary Binary
	// LogFile has everything Envoy writes.
	LogFile string

	folder    string
	temporary bool
	admin     string
	process   *os.Process
	done      chan struct{} // closed when the process has ended
	err       error         // why, valid once done is closed
	stopping  sync.Once
}

// Start runs Envoy and returns when it is ready to serve. On an error nothing
// runs any more, and the message ends with what Envoy said last.
func Start(ctx context.Context, options Options) (*Process, error) {
	options = options.withDefaults()
	p := &Process{Binary: options.Binary, folder: options.Folder, done: make(chan struct{})}
	if p.folder == "" {
		folder, err := os.MkdirTemp("", "umagate-envoy-")
		if err != nil {
			return nil, fmt.Errorf("making Envoy's folder: %w", err)
		}
		p.folder, p.temporary = folder, true
	}
	p.LogFile = filepath.Join(p.folder, "envoy.log")
	if err := p.run(options); err != nil {
		p.removeFolder()
		return nil, err
	}
	if err := p.waitUntilReady(ctx, options.ReadyTimeout); err != nil {
		said := p.LastWords()
		p.Stop()
		return nil, fmt.Errorf("starting Envoy %s: %w\n%s", options.Binary.Version, err, said)
	}
	return p, nil
}

func (o Options) withDefaults() Options {
	if o.Admin == "" {
		o.Admin = "127.0.0.1:0"
	}
	if o.Concurrency == 0 {
		o.Concurrency = 1
	}
	if o.LogLevel == "" {
		o.LogLevel = "info"
	}
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = time.Minute
	}
	return o
}

// run writes the bootstrap and starts the process.
func (p *Process) run(options Options) error {
	bootstrap := filepath.Join(p.folder, "bootstrap.yaml")
	if err := os.WriteFile(bootstrap, options.Bootstrap, 0o600); err != nil {
		return fmt.Errorf("writing Envoy's bootstrap: %w", err)
	}
	adminFile := filepath.Join(p.folder, "admin-address")
	if err := os.Remove(adminFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the admin address of an earlier run: %w", err)
	}
	overlay, err := adminOverlay(options.Admin)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening Envoy's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	args := append([]string{
		"--config-path", bootstrap, "--config-yaml", overlay,
		"--admin-address-path", adminFile,
		// Without hot restart, Envoys side by side share nothing.
		"--disable-hot-restart",
		"--concurrency", strconv.Itoa(options.Concurrency),
		"--log-level", options.LogLevel,
	}, options.Arguments...)
	if options.ComponentLogLevel != "" {
		args = append(args, "--component-log-level", options.ComponentLogLevel)
	}
	// The process outlives the context of Start, and ends by Stop.
	cmd := exec.Command(options.Binary.Path, args...) //nolint:gosec,noctx // the binary is the user's choice
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child when the thread that started it ends: this
		// goroutine keeps its thread until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		if err == nil {
			p.process = cmd.Process
		}
		started <- err
		if err != nil {
			return
		}
		if err := cmd.Wait(); err != nil {
			p.err = fmt.Errorf("%w: %w", ErrExited, err)
			return
		}
		p.err = ErrExited
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("running Envoy: %w", err)
	}
	return nil
}

// adminOverlay is merged over the bootstrap, so that a user's own bootstrap runs
// unchanged apart from the admin port.
func adminOverlay(address string) (string, error) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return "", fmt.Errorf("the admin address %q has no port", address)
	}
	port, err := strconv.ParseUint(address[i+1:], 10, 16)
	if err != nil {
		return "", fmt.Errorf("the admin address %q: %w", address, err)
	}
	return fmt.Sprintf(`{admin: {address: {socket_address: {address: %q, port_value: %d}}}}`, address[:i], port), nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.process.Pid }

// Done is closed when the process has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the process has ended; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Kill ends Envoy at once, as kill -9 does, and waits for its end.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop ends Envoy, by force after five seconds, waits for its end and removes
// its folder if that was a temporary one.
func (p *Process) Stop() {
	p.stopping.Do(func() {
		p.signal(syscall.SIGTERM)
		force := time.NewTimer(5 * time.Second)
		defer force.Stop()
		select {
		case <-p.done:
		case <-force.C:
			p.Kill()
		}
		p.removeFolder()
	})
}

func (p *Process) signal(signal syscall.Signal) {
	// A process that has just ended needs no signal.
	_ = p.process.Signal(signal)
}

func (p *Process) removeFolder() {
	if p.temporary {
		_ = os.RemoveAll(p.folder)
	}
}

// LastWords returns the last lines of Envoy's log, for messages.
func (p *Process) LastWords() string {
	log, err := os.ReadFile(p.LogFile)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
