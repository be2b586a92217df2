package oxd

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Command is a row of the table: a name, what it takes, gives and does.
type Command struct {
	// Name is as the socket has it, with underscores.
	Name string
	// Aliases are other names of the same.
	Aliases []string
	// Open needs no protection token, on either transport.
	Open bool
	// Summary is one sentence for the OpenAPI document.
	Summary string
	// Params and Result are struct types.
	Params, Result reflect.Type

	decode func(raw json.RawMessage) (any, error)
	run    func(ctx context.Context, s *Server, c *Call, params any) (any, error)
}

// Path is where HTTP has the command.
func (c *Command) Path() string { return "/" + strings.ReplaceAll(c.Name, "_", "-") }

// Call is one command under way.
type Call struct {
	Command *Command
	// RP is what oxd_id names; nil for a command without oxd_id. It is a copy.
	RP *RP
	// Caller is who the protection token was given to; nil where none was checked.
	Caller *Caller

	warnings []string
}

// warn notes what a command has not done, although it succeeds.
func (c *Call) warn(text string) { c.warnings = append(c.warnings, text) }

// define makes a row of a method. Parameters that embed [SiteParams] get their RP
// loaded before run is called. Unknown parameters are ignored: clients send their
// whole configuration.
func define[P, R any](name, summary string, run func(s *Server, ctx context.Context, c *Call, p P) (R, error)) Command {
	return Command{
		Name: name, Summary: summary,
		Params: reflect.TypeFor[P](), Result: reflect.TypeFor[R](),
		decode: func(raw json.RawMessage) (any, error) {
			var p P
			err := json.Unmarshal(raw, &p)
			return p, err
		},
		run: func(ctx context.Context, s *Server, c *Call, params any) (any, error) {
			p, _ := params.(P) // decode made it
			return run(s, ctx, c, p)
		},
	}
}

func (c Command) open() Command {
	c.Open = true
	return c
}

func (c Command) alias(names ...string) Command {
	c.Aliases = append(slices.Clone(c.Aliases), names...)
	return c
}

// Commands lists every command, in the order of the OpenAPI document.
func Commands() []Command { return slices.Concat(connectCommands(), umaCommands()) }

// byName finds commands without regard to case, as oxd did.
func byName() map[string]*Command {
	out := map[string]*Command{}
	for _, c := range Commands() {
		for _, name := range append([]string{c.Name}, c.Aliases...) {
			out[name] = &c
		}
	}
	return out
}
