package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
)

func newServe(env Environment) *cobra.Command { return newServer(env, fileFlags{}) }

// newServer is serve with further sources.
func newServer(env Environment, flags fileFlags, sources ...server.OpenSource) *cobra.Command {
	var log logFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane: register at the authorization server, configure Envoys",
		Long: `Run the control plane until it is stopped. For each site it discovers the
authorization server, registers the client, keeps the PAT fresh and the resources
registered as declared; and it gives every Envoy that connects to listen.xds the
filter, the clusters and the credentials.

What cannot be reached is tried again; what Envoys have stays in force. The file is
read again when it changes, and on SIGHUP; a file with faults is refused.

listen.api serves /healthz, /readyz, /metrics and the API (/v1/openapi.json describes
it). Beside the store, serve writes a token for the commands on this machine.
/readyz is 200 once a configuration is published, while the store answers. An Envoy that
refuses a configuration does not change that: see the log, "umagate status" and the
metric umagate_envoy_refused_total.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 failed, 64 wrong usage.`,
		Example: `  umagate serve -c umagate.yaml
  umagate serve -c umagate.yaml --log-format json --log-level debug`,
		Args: cobra.NoArgs,
		// The file is read for its faults, shown as validate shows them.
		RunE: flags.withFile(env, func(ctx context.Context, _ *site.File, _ []string) error {
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			// What it does of its own accord is nobody's.
			ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.KindServe})
			return server.Run(ctx, server.Options{
				Path:      flags.path,
				Load:      func(path string) (*site.File, error) { return site.LoadIn(path, flags.environment(env)) },
				Logger:    log.logger(env),
				Transport: env.Transport,
				Reload:    hangup,
				Version:   release(),
				Module:    ownModule(env),
				Sources:   append(builtIn(), sources...),
			})
		}),
	}
	flags.register(cmd)
	log.register(cmd)
	return cmd
}

// builtIn are the sources of the extensions.
func builtIn() (out []server.OpenSource) {
	for _, e := range extensions {
		out = append(out, e.source)
	}
	return out
}

// Server is a program that does what `umagate serve` does, and has sites of one more
// source. Use to Example are those of its command.
type Server struct {
	Use, Short, Long, Example string
	// Flags registers those of the source.
	Flags func(*pflag.FlagSet)
	// Source opens it, when the flags have been read.
	Source server.OpenSource
}

// Command is its command line.
func (s Server) Command(env Environment) *cobra.Command {
	cmd := newServer(env, fileFlags{sitesElsewhere: true}, s.Source)
	cmd.Use, cmd.Short, cmd.Long, cmd.Example = s.Use, s.Short, s.Long, s.Example
	s.Flags(cmd.Flags())
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.Version = release()
	cmd.SetIn(env.Stdin)
	cmd.SetOut(env.Stdout)
	cmd.SetErr(env.Stderr)
	return cmd
}

// Run executes it as [Run] does umagate.
func (s Server) Run(ctx context.Context, env Environment, args []string) int {
	return execute(ctx, env, s.Command, args)
}
