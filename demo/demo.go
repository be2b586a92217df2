package demo

import (
	"context"
	"errors"
	"io"
)

// Options say how the demo runs. Everything but Cache and Verbose is needed.
type Options struct {
	// Module is the path of umagate.wasm.
	Module string
	// Gateway is where the filter runs.
	Gateway Gateway
	// MCP tells of an agent that asks for the tools of an MCP server, in place of photo albums.
	MCP bool
	// Once ends the demo after the story, and has it listen on free ports.
	Once bool
	// Cache is the folder where wazero keeps what it compiled. When it is empty,
	// each start compiles anew.
	Cache string
	// Verbose prints the log of the control plane on Stderr.
	Verbose bool
	// Program is how the user calls umagate, for the commands to try.
	Program string

	Stdout, Stderr io.Writer
}

// Gateway is where the filter runs.
type Gateway string

// The gateways.
const (
	Auto   Gateway = "auto" // Envoy if there is one
	Envoy  Gateway = "envoy"
	Wazero Gateway = "wazero"
)

// ErrNotAsTold means that a step of the story was not as it is told.
var ErrNotAsTold = errors.New("not as told")

// Run starts everything, tells the story and, unless [Options.Once], stays up until
// ctx ends, which is no error then. Nothing of it is left when Run returns.
func Run(ctx context.Context, o Options) (err error) {
	p := newPrinter(o.Stdout)
	p.title(playOf(o).title)
	w, err := startWorld(ctx, o, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	p.world(w)
	if err := w.play.tell(ctx, w, p); err != nil {
		return err
	}
	if o.Once {
		return nil
	}
	p.stay(w, o.Program)
	select {
	case <-ctx.Done():
		p.line("\nStopping.")
		return nil
	case <-w.ended:
		return w.failure()
	}
}
