package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/agent"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/seal"
)

func newAgent(env Environment) *cobra.Command {
	var (
		log                            logFlags
		form                           output
		bootstrap, node, cluster, file string
		maxAge                         time.Duration
		check                          bool
	)
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Keep what an Envoy needs to start while the control plane is down",
		Long: `Run beside an Envoy until it is stopped. The agent connects to "umagate serve" as that
Envoy, by what the Envoy's bootstrap says (node, address, certificate), and keeps what is
good for the Envoy's group in the file that envoy.last_good names: what an Envoy of the
group has in force. An Envoy that starts while the control plane is down gets it by a
socket beside that file, and goes back to the control plane as soon as that answers.

Run it as the user that Envoy runs as. The file has the credentials of the group's sites,
and is sealed with the key in FILE.key, which the agent makes, or with that of --key-file.

What is older than --max-age, damaged, or was kept for another Envoy is not served: an
Envoy that starts then waits for the control plane, and its /ready is 503.

With --check, it says what is kept, and whether an Envoy could start from it.

Exit codes: 0 stopped by SIGTERM or SIGINT, or what is kept can be used (--check); 1
failed, or it cannot; 64 wrong usage.`,
		Example: `  umagate agent --bootstrap /etc/envoy/envoy.yaml
  umagate agent --bootstrap /etc/envoy/envoy.yaml --check`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			options := agent.Options{MaxAge: maxAge, Version: release(), Logger: log.logger(env)}
			if maxAge <= 0 {
				return &exitError{code: ExitUsage, err: errors.New("--max-age must be more than 0s")}
			}
			text, err := os.ReadFile(bootstrap) //nolint:gosec // the operator names it
			if err != nil {
				return fmt.Errorf("%w; name Envoy's bootstrap with --bootstrap FILE", err)
			}
			if options.Beside, err = envoyconf.ReadBeside(text, node, cluster); err != nil {
				return fmt.Errorf("%s: %w", bootstrap, err)
			}
			if file != "" {
				if options.Key, err = seal.ReadKey(file); err != nil {
					return err
				}
			}
			if !check {
				return agent.Run(ctx, options)
			}
			held, err := agent.Check(options)
			if err != nil {
				return err
			}
			return form.show(env, held, func(p *page) {
				p.printf("%s can be used: group %s, version %s, right until %s (%s ago)\n", options.Beside.Path, held.Group, held.Version,
					held.AsOf.UTC().Format(time.RFC3339), since(held.AsOf, time.Now()))
			})
		}),
	}
	outputFlag(cmd, &form, outputText, outputJSON)
	log.register(cmd)
	cmd.Flags().StringVar(&bootstrap, "bootstrap", "/etc/envoy/envoy.yaml", "the `FILE` that Envoy is started with, from umagate render bootstrap")
	cmd.Flags().StringVar(&node, "service-node", "", "the `ID` instead of the bootstrap's node.id, where Envoy is started with the same flag")
	cmd.Flags().StringVar(&cluster, "service-cluster", "", "the `NAME` instead of the bootstrap's node.cluster, where Envoy is started with the same flag")
	cmd.Flags().StringVar(&file, "key-file", "", "`FILE` with the key that seals, 32 bytes in base64, instead of one that is made beside what is kept")
	cmd.Flags().DurationVar(&maxAge, "max-age", agent.DefaultMaxAge, "how long the control plane may be away: what is older is not served")
	cmd.Flags().BoolVar(&check, "check", false, "say what is kept, and whether an Envoy could start from it")
	_ = cmd.MarkFlagFilename("bootstrap", "yaml", "yml", "json")
	return cmd
}
