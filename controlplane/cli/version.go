package cli

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/module"
	"github.com/umagate/umagate/plugin/config"
)

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // the commit
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Contract is the version of the filter's configuration that this release writes.
	// Level counts what has been added to it.
	Contract int `json:"contract"`
	Level    int `json:"contract_level"`
	// Module is the filter that came with this program, if one did.
	Module *module.Module `json:"module,omitempty"`
}

func newVersion(env Environment) *cobra.Command {
	var form output
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print which umagate this is",
		Long: `Print the version and commit of this program, and the filter's module that came with
it: umagate.wasm beside it, or in ../share/umagate.`,
		Example: "  umagate version --output json",
		Args:    cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			return printVersion(env, form)
		}),
	}
	outputFlag(cmd, &form, outputText, outputJSON)
	return cmd
}

func printVersion(env Environment, form output) error {
	v := buildVersion()
	found, err := env.module()
	switch {
	case err == nil:
		v.Module = &found
	case !errors.Is(err, module.ErrNotFound):
		return err
	}
	return form.show(env, v, v.print)
}

func (v versionInfo) print(p *page) {
	commit, filter := "unknown", "none came with this program"
	if v.Revision != "" {
		commit = v.Revision + " of " + v.Time
	}
	if v.Modified {
		commit += ", modified"
	}
	if v.Module != nil {
		filter = v.Module.Path + ", sha256 " + v.Module.SHA256 + ", build " + dash(v.Module.Build)
	}
	p.printf("umagate %s\n  commit    %s\n  built by  %s, %s\n  module    %s\n  contract  %d, level %d\n",
		v.Version, commit, v.Go, v.Platform, filter, v.Contract, v.Level)
}

// release names this build in what it writes and reports.
func release() string { return buildVersion().Version }

// buildVersion is what Go stamped into this program: the tag or pseudo-version of
// the commit.
func buildVersion() versionInfo {
	v := versionInfo{
		Version:  "unknown",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Contract: config.Version,
		Level:    config.Level,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(info.Main.Version, v.Version)
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
	return v
}

// ownModule is the build of the filter's module that came with this program; empty for
// none. That one cannot be read is told by "umagate version".
func ownModule(env Environment) string {
	found, err := env.module()
	if err != nil {
		return ""
	}
	return found.Build
}
