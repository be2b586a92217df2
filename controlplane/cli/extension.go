package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// extension is a protocol beside umagate's own: where its sites come from, and the
// command that takes over what another server of it has.
type extension struct {
	source server.OpenSource
	// sites are those that applications have made by it.
	sites         func(ctx context.Context, kept *store.SQL, file *site.File) ([]site.Site, error)
	importCommand func(Environment) *cobra.Command
}

// extensions are those that are built in. A file for each adds it in init, so that an
// extension is left out by leaving out its file.
var extensions []extension
