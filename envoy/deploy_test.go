package envoy_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/envoy/envoytest"
)

var update = flag.Bool("update", false, "write bootstrap.yaml and own-listener.yaml anew")

const bootstrapHeader = `# The bootstrap of docker-compose.yaml's Envoy. There is no secret in it: listener,
# routes, upstreams, the filter, the authorization server's clusters and their
# credentials come over one stream from "umagate serve", and follow its file.
#
# Printed by "umagate render bootstrap -c docker-umagate.yaml". After a change:
# go test ./envoy -run TestBootstrapIsCurrent -update
`

const ownListenerHeader = `# To copy from into an Envoy whose listener is its own, with TLS and other filters: the
# stream to "umagate serve" (ads_config, cds_config, the cluster umagate/xds), the
# filter umagate by config_discovery, and the routes by rds. The filter comes before any
# route to what it guards. Leave rds out, with routes and clusters of your own, and
# upstream in umagate.yaml is without effect. Until filter and routes are there, Envoy
# takes no connection, and its /ready answers 503: nothing passes unguarded.
#
# After a change: go test ./envoy -run TestOwnListenerIsCurrent -update
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
	current(t, "bootstrap.yaml", bootstrapHeader+out.String())
}

// own-listener.yaml is the same with the listener in it.
func TestOwnListenerIsCurrent(t *testing.T) {
	file, err := site.LoadIn("docker-umagate.yaml", site.Environment{
		LookupEnv: func(name string) (string, bool) { return "secret", name == "PHOTOS_API_SECRET" }, ReadFile: os.ReadFile,
	})
	require.NoError(t, err)
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(t, err)
	listener, err := envoyconf.Listener(file)
	require.NoError(t, err)
	bootstrap.Node.Metadata, bootstrap.DynamicResources.LdsConfig = nil, nil
	bootstrap.StaticResources.Listeners = []*listenerv3.Listener{listener}
	text, err := envoyconf.YAML(bootstrap)
	require.NoError(t, err)
	current(t, "own-listener.yaml", ownListenerHeader+string(text))
}

func current(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(want), 0o600))
		require.NoError(t, os.Chmod(name, 0o644))
	}
	have, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "run go test ./envoy -run IsCurrent -update")
}

// A real Envoy takes both.
func TestBootstrapIsValid(t *testing.T) {
	binary := envoytest.Binary(t)
	for _, name := range []string{"bootstrap.yaml", "own-listener.yaml"} {
		out, err := exec.CommandContext(t.Context(), binary.Path, "--mode", "validate", "--disable-hot-restart", "-c", name).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}
