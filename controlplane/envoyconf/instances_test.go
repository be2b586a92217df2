package envoyconf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// TestInstances: the control plane is a cluster of its own, with a credential by SDS,
// and an Envoy that has none is refused.
func TestInstances(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
listen: {instances: "127.0.0.1:18009"}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:8080
  authorization_server: {issuer: "https://as.example.com", client: {register: {}}}
  resources:
  - {name: "album-{id}", conditions: [{paths: ["/albums/{id}"], scopes: [view]}]}
`), 0o600))
	in := input(t, path)
	text := func(in envoyconf.Input) string {
		clusters, err := envoyconf.Clusters(in)
		require.NoError(t, err)
		require.Len(t, clusters, 3)
		yaml, err := envoyconf.YAML(clusters[2])
		require.NoError(t, err)
		return string(yaml)
	}
	got := text(in)
	for _, want := range []string{site.InstancesCluster, "18009", "credential_injector", site.InstancesSecret} {
		require.Contains(t, got, want)
	}
	in.Instances = "127.0.0.1:4711"
	require.Contains(t, text(in), "4711", "where it listens, when the file leaves that open")
	in.File.Envoy.Instances, in.Instances = "control.example.com:18001", ""
	require.Contains(t, text(in), "control.example.com")
	require.NotContains(t, strings.ToLower(got), "bearer")
	require.Equal(t, "Bearer hush", envoyconf.InstancesSecret(secret.New("hush")).GetGenericSecret().GetSecret().GetInlineString())
	_, err := envoyconf.Static(in)
	require.ErrorIs(t, err, envoyconf.ErrInput)
	require.ErrorContains(t, err, "album-{id}")
}
