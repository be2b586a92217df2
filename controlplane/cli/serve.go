package cli

import (
	"context"
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
		flags fileFlags
		log   logFlags
	)
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
			var sources []server.OpenSource
			for _, e := range extensions {
				sources = append(sources, e.source)
			}
			return server.Run(ctx, server.Options{
				Path:      flags.path,
				Load:      func(path string) (*site.File, error) { return site.LoadIn(path, flags.environment(env)) },
				Logger:    log.logger(env),
				Transport: env.Transport,
				Reload:    hangup,
				Version:   release(),
				Module:    ownModule(env),
				Sources:   sources,
			})
		}),
	}
	flags.register(cmd)
	log.register(cmd)
	return cmd
}
