package server

import (
	"fmt"

	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/config"
)

// otherModule says how the filter's module that an Envoy runs differs from the one that
// came with this release; empty where it does not, or is not known.
func otherModule(e *xds.Envoy, own string) string {
	has := e.Module
	switch {
	case has == nil || has.Build == "":
		return ""
	case has.Level < config.Level:
		return fmt.Sprintf("runs umagate.wasm of build %s, which is older: it may refuse what this release writes (level %d, and not %d)", has.Build, has.Level, config.Level)
	case has.Level > config.Level:
		return fmt.Sprintf("runs umagate.wasm of build %s, which is newer (level %d, and not %d)", has.Build, has.Level, config.Level)
	case own != "" && has.Build != own:
		return fmt.Sprintf("runs umagate.wasm of build %s, and not %s", has.Build, own)
	}
	return ""
}
