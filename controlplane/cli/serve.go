package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
)

func newServe(env Environment) *cobra.Command {
	var (
		flags   fileFlags
		verbose bool
		json    bool
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane: register at the authorization server, configure Envoys",
		Long: `Run the control plane until it is stopped. For each site it discovers the
authorization server, registers the client, keeps the PAT fresh and the resources
registered as declared; and it gives every Envoy that connects to listen.xds the
filter, the clusters and the credentials.

Whatever is not reachable is tried again; what Envoys have stays in force. The
file is taken over anew when it changes, and on SIGHUP; a file with faults is not.

listen.api serves /healthz, /readyz, /v1/status and /metrics. /readyz is 200 once a
configuration is published. An Envoy that refuses one does not change that: it is an
error in the log, a problem of umagate status, and umagate_envoy_refused_total.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 failed, 64 wrong usage.`,
		Example: `  umagate serve -c umagate.yaml
  umagate serve -c umagate.yaml --log-json --verbose`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			file, err := flags.load(env) // for its faults, shown as validate shows them
			if err != nil {
				return err
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			_, _ = fmt.Fprintf(env.Stderr, "umagate: serving %s; stop with Ctrl-C, see umagate status\n", count(len(file.Sites), "site"))
			// What it does of its own accord is nobody's.
			ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.KindServe})
			return server.Run(ctx, server.Options{
				Path:      flags.path,
				Load:      func(path string) (*site.File, error) { return site.LoadIn(path, flags.environment(env)) },
				Logger:    newLogger(env, verbose, json),
				Transport: env.Transport,
				Reload:    hangup,
				Version:   env.Version,
			})
		}),
	}
	flags.register(cmd)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what is done, not only what matters")
	cmd.Flags().BoolVar(&json, "log-json", false, "log in JSON")
	return cmd
}

func newLogger(env Environment, verbose, json bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		options.Level = slog.LevelDebug
	}
	if json {
		return slog.New(slog.NewJSONHandler(env.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(env.Stderr, options))
}
