package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/api/client"
)

func newAcknowledge(env Environment) *cobra.Command {
	var (
		flags controlFlags
		site  string
		envoy bool
	)
	cmd := &cobra.Command{
		Use:   "acknowledge NAME...",
		Short: "Say that what was lost has been looked after, or was meant",
		Long: `Take names out of conditions of "umagate status": with --site, of PoliciesLost and
InstanceGone; with --envoy, of EnvoyGone.

The first is about resources that were registered anew, so that policies on the ones before
do not count: give the rights again, and acknowledge. The second is about instances that are
gone at the authorization server: register them again, which ends it by itself, or acknowledge
that it was meant. The third is about Envoys that are gone: acknowledge those that were taken
away on purpose, by their node ids, at each replica that shows them. They are forgotten after
an hour without it.

Exit codes: 0 done, 1 it failed or nothing answers, 64 wrong usage.`,
		Example: `  umagate acknowledge -c umagate.yaml --site photos albums
  umagate acknowledge -c umagate.yaml --envoy edge-7`,
		Args: cobra.MinimumNArgs(1),
		RunE: flags.withClient(env, func(ctx context.Context, control *client.Client, args []string) error {
			for _, name := range args {
				path := "/v1/sites/" + url.PathEscape(site) + "/lost/" + url.PathEscape(name)
				if envoy {
					path = "/v1/envoys/" + url.PathEscape(name)
				}
				if err := control.Do(ctx, http.MethodDelete, path, nil, nil); err != nil {
					return fmt.Errorf("%s: %w", name, called(err))
				}
			}
			return nil
		}),
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&site, "site", "", "the `SITE` whose registrations they are")
	cmd.Flags().BoolVar(&envoy, "envoy", false, "the names are node ids of Envoys that were taken away on purpose")
	cmd.MarkFlagsOneRequired("site", "envoy")
	cmd.MarkFlagsMutuallyExclusive("site", "envoy")
	return cmd
}
