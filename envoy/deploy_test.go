package envoy_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/envoy/envoytest"
)

var update = flag.Bool("update", false, "write bootstrap.yaml anew")

const bootstrapHeader = `# A plain Envoy bootstrap for docker-compose.yaml, and to copy from into an Envoy
# that is already running. There is no secret in it: the filter comes by ECDS, the
# authorization server's clusters by CDS and their credentials by SDS, all over one
# stream to "umagate serve". Until the filter is there, Envoy takes no connection,
# and its /ready answers 503: nothing passes unguarded.
#
# Printed by "umagate render bootstrap -c docker-umagate.yaml". After a change:
# go test ./envoy -run TestBootstrapIsCurrent -update
`

// bootstrap.yaml is what the control plane renders for docker-umagate.yaml.
func TestBootstrapIsCurrent(t *testing.T) {
	var out, problems bytes.Buffer
	code := cli.Run(t.Context(), cli.Environment{
		Stdin: bytes.NewReader(nil), Stdout: &out, Stderr: &problems,
		LookupEnv:   func(name string) (string, bool) { return "secret", name == "PHOTOS_API_SECRET" },
		OpenBrowser: func(context.Context, string) error { return nil },
	}, []string{"render", "bootstrap", "-c", "docker-umagate.yaml"})
	require.Zero(t, code, problems.String())
	want := bootstrapHeader + out.String()
	if *update {
		require.NoError(t, os.WriteFile("bootstrap.yaml", []byte(want), 0o600))
		require.NoError(t, os.Chmod("bootstrap.yaml", 0o644))
	}
	have, err := os.ReadFile("bootstrap.yaml")
	require.NoError(t, err)
	require.Equal(t, want, string(have), "run go test ./envoy -run TestBootstrapIsCurrent -update")
}

// A real Envoy takes bootstrap.yaml.
func TestBootstrapIsValid(t *testing.T) {
	binary := envoytest.Binary(t)
	out, err := exec.CommandContext(t.Context(), binary.Path, "--mode", "validate", "--disable-hot-restart", "-c", "bootstrap.yaml").CombinedOutput()
	require.NoError(t, err, string(out))
}
