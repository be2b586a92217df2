package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/demo"
)

func newDemo(env Environment) *cobra.Command {
	options := demo.Options{Gateway: demo.Auto, Program: env.program(), Stdout: env.Stdout, Stderr: env.Stderr}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See UMA guard an API, in one process on this machine",
		Long: `Run a photo album, an authorization server, the control plane and a gateway on
loopback, and tell a story with them, each request and answer. Then everything stays
up, and commands to try are printed. Nothing is left when it ends.

With --mcp, what is protected is an MCP server, and who asks is an agent: a client of
the Go SDK that knows OAuth, and nothing of UMA.

The gateway is an Envoy, if one is found: in $ENVOY_BIN, PATH, umagate's cache or
func-e's folders. Otherwise the same module runs on wazero, in this process.

The authorization server is one for trying things. Its passwords are known, and
whoever can connect to this machine's loopback can administer it.

Exit codes: 0 all was as told, 1 it was not or failed, 64 wrong usage, 130 interrupted
before the story had ended.`,
		Example: `  umagate demo
  umagate demo --mcp
  umagate demo --once --gateway wazero`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			if options.Module == "" {
				found, err := env.module()
				if err != nil {
					return err
				}
				options.Module = found.Path
			}
			if options.Cache == "" {
				options.Cache = wazeroCache()
			}
			err := demo.Run(ctx, options)
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return &exitError{code: ExitInterrupted}
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&options.Once, "once", false, "end after the story, on free ports")
	cmd.Flags().BoolVar(&options.MCP, "mcp", false, "tell of an AI agent that asks for the tools of an MCP server, and of their owner")
	gateway := &choice[demo.Gateway]{&options.Gateway, "NAME", []demo.Gateway{demo.Auto, demo.Envoy, demo.Wazero}}
	cmd.Flags().Var(gateway, "gateway", "where the filter runs: auto (Envoy if there is one), envoy or wazero")
	_ = cmd.RegisterFlagCompletionFunc("gateway", cobra.FixedCompletions(gateway.names(), cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&options.Module, "wasm", "", "the filter's module, a `FILE` (default: the umagate.wasm that came with this program)")
	cmd.Flags().StringVar(&options.Cache, "cache", "", "the `FOLDER` where wazero keeps what it compiled (default: umagate/wazero in the user's cache folder)")
	cmd.Flags().BoolVar(&options.Verbose, "verbose", false, "print the log of the control plane on standard error")
	return cmd
}

// wazeroCache is in the user's cache folder, or "" where there is none.
func wazeroCache() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "umagate", "wazero")
}
