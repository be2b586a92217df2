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
	)
	cmd := &cobra.Command{
		Use:   "acknowledge NAME...",
		Short: "Say that a registration that the authorization server lost has been looked after",
		Long: `Take names out of the conditions PoliciesLost and InstanceGone of "umagate status".

The first is about resources that were registered anew, so that policies on the ones before
do not count: give the rights again, and acknowledge. The second is about instances that are
gone at the authorization server: register them again, which ends it by itself, or acknowledge
that it was meant.

Exit codes: 0 done, 1 it failed or nothing answers, 64 wrong usage.`,
		Example: `  umagate acknowledge -c umagate.yaml --site photos albums`,
		Args:    cobra.MinimumNArgs(1),
		RunE: flags.withClient(env, func(ctx context.Context, control *client.Client, args []string) error {
			for _, name := range args {
				path := "/v1/sites/" + url.PathEscape(site) + "/lost/" + url.PathEscape(name)
				if err := control.Do(ctx, http.MethodDelete, path, nil, nil); err != nil {
					return fmt.Errorf("%s: %w", name, called(err))
				}
			}
			return nil
		}),
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&site, "site", "", "the `SITE` whose registrations they are")
	_ = cmd.MarkFlagRequired("site") // it is there
	return cmd
}
