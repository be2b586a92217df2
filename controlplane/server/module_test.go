package server_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
	"github.com/umagate/umagate/plugin/config"
)

// another writes the filter's module as that of another release: changes are pairs of
// texts of one length.
func another(t *testing.T, changes ...string) string {
	t.Helper()
	module, err := os.ReadFile(servertest.Module(t))
	require.NoError(t, err)
	for i := 0; i < len(changes); i += 2 {
		require.Len(t, changes[i+1], len(changes[i]))
		require.Contains(t, string(module), changes[i])
		module = bytes.ReplaceAll(module, []byte(changes[i]), []byte(changes[i+1]))
	}
	path := filepath.Join(t.TempDir(), "umagate.wasm")
	require.NoError(t, os.WriteFile(path, module, 0o600))
	return path
}

// TestModuleOfAnotherRelease: status names the build of the filter that an Envoy runs. If
// it is another than this release's, that is told, and it is the remedy where a setting is
// refused that the module does not know.
func TestModuleOfAnotherRelease(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	own, err := os.ReadFile(servertest.Module(t))
	require.NoError(t, err)
	_, after, _ := bytes.Cut(own, []byte(config.BuildMark))
	build := string(after[:config.BuildSize])
	const other = "feedfacecafe"
	older := strings.Replace(strings.Replace(config.StartsMetric, "000000000000", other, 1), fmt.Sprintf("%s%02d", config.LevelMark, config.Level), config.LevelMark+"00", 1)
	starts := strings.Replace(config.StartsMetric, "000000000000", build, 1)
	for _, tt := range []struct {
		name    string
		changes []string
		refused bool
		says    string
	}{
		{name: "this one's"},
		{name: "another of the same level", changes: []string{build, other}, says: "runs umagate.wasm of build " + other + ", and not " + build},
		{
			name: "an older one that does not know a setting", changes: []string{starts, older, `json:"unreported`, `json:"unrep0rted`}, refused: true,
			says: "which is older: it may refuse what this release writes",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{})
			p := newPlane(t)
			p.Options.Module = build
			p.Write(p.config(as.Issuer(), "albums") + "plugin: {wasm: \"" + another(t, tt.changes...) + "\"}\n")
			p.Start()
			e := p.protect(envoy.Options{Binary: binary})
			s := p.Until("it says what it runs", func(s server.Status) bool { return len(s.Envoys) == 1 && s.Envoys[0].Module != nil })
			if tt.says == "" {
				require.Equal(t, build, s.Envoys[0].Module.Build)
				require.Equal(t, config.Level, s.Envoys[0].Module.Level)
				p.Until("all is well", allWell)
				return
			}
			require.Equal(t, other, s.Envoys[0].Module.Build)
			require.Contains(t, said(s, health.EnvoyModuleDiffers), tt.says)
			require.False(t, has(s, health.EnvoyRefused))
			if !tt.refused {
				return
			}
			p.edit("envoy: {", `envoy: {access_log: "off", `) // the filter is told, too
			s = p.Until("it is refused", func(s server.Status) bool { return has(s, health.EnvoyRefused) })
			for _, c := range s.Conditions {
				if c.Name == health.EnvoyRefused.Name {
					require.Equal(t, health.EnvoyModuleDiffers.Remedy, c.Remedy)
				}
			}
			e.requireTicket("/albums/1") // what was there before is in force
		})
	}
}
