package cli

import (
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/server"
)

func newRefresh(env Environment) *cobra.Command {
	var (
		flags  controlFlags
		accept bool
	)
	cmd := &cobra.Command{
		Use:   "refresh SITE",
		Short: "Have umagate serve look at a site's authorization server at once",
		Long: `Have a running "umagate serve" compare the site's resources with its authorization
server at once. Of a site whose resources are kept there (resources_at_as), they are read,
and what comes of it is given to Envoys; nothing is changed there. It is not waited for:
umagate status tells how old what is in force is.

With --accept-removals, resources that are gone there are gone here, however many they are:
without, more than resources_at_as.max_removals stay as they were.

Exit codes: 0 asked for, 1 failed, 64 wrong usage.`,
		Example: `  umagate refresh photos
  umagate refresh photos --accept-removals     # after a look at umagate plan`,
		Args: cobra.ExactArgs(1),
		RunE: flags.withClient(env, func(ctx context.Context, control *client.Client, args []string) error {
			path := "/v1/sites/" + url.PathEscape(args[0]) + "/sync"
			if accept {
				path += "?accept_removals=true"
			}
			var asked server.SyncRequested
			if err := called(control.Do(ctx, http.MethodPost, path, nil, &asked)); err != nil {
				return err
			}
			return flags.form.show(env, asked, func(p *page) {
				p.printf("Site %s: asked for. umagate status tells what came of it.\n", printable(asked.Site))
			})
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	cmd.Flags().BoolVar(&accept, "accept-removals", false, "resources that are gone at the authorization server are, however many")
	return cmd
}
