package cli

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/plugin/config"
)

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Contract is the version of the filter's configuration that this release writes.
	Contract int `json:"contract"`
}

func newVersion(env Environment) *cobra.Command {
	var form output
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print which umagate this is",
		Example: "  umagate version --output json",
		Args:    cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			v := buildVersion(env.Version)
			return form.show(env, v, func(p *page) {
				p.printf("umagate %s (contract %d, %s, %s)\n", v.Version, v.Contract, v.Go, v.Platform)
			})
		}),
	}
	outputFlag(cmd, &form, outputText, outputJSON)
	return cmd
}

// buildVersion is the release that was built in, or what Go's own build
// information says.
func buildVersion(release string) versionInfo {
	v := versionInfo{
		Version:  release,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Contract: config.Version,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	return v
}
