package cli

import (
	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/server"
)

// extension is a protocol beside umagate's own: where its sites come from, and the
// command that takes over what another server of it has.
type extension struct {
	source        server.OpenSource
	importCommand func(Environment) *cobra.Command
}

// extensions are those that are built in. A file for each adds it in init, so that an
// extension is left out by leaving out its file.
var extensions []extension
