package meshtest_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/mesh/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

// The tests' program is alone: loopback is its only network, and nothing of the machine
// is in /var/lib.
func TestNamespaces(t *testing.T) {
	meshtest.RequireIsolation(t)
	interfaces, err := net.Interfaces()
	require.NoError(t, err)
	require.Len(t, interfaces, 1)
	require.Equal(t, net.FlagUp|net.FlagLoopback|net.FlagRunning, interfaces[0].Flags)
	listener, err := net.Listen("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	entries, err := os.ReadDir("/var/lib")
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Equal(t, 1, os.Getpid())
}

// An object is refused or kept by the real rules, and is still there when the server
// comes back.
func TestAPIServer(t *testing.T) {
	server := meshtest.StartAPIServer(t)
	const namespace = `{apiVersion: v1, kind: Namespace, metadata: {name: photos}}`
	require.NoError(t, server.Apply(t.Context(), namespace))
	require.ErrorContains(t, server.Apply(t.Context(), strings.Replace(namespace, "photos", "Photos", 1)), "RFC 1123")
	server.Pause()
	_, err := server.Kubectl(t.Context(), "", "get", "namespace", "photos")
	require.Error(t, err)
	require.NoError(t, server.Resume(t.Context()))
	out, err := server.Kubectl(t.Context(), "", "get", "namespace", "photos", "-o", "jsonpath={.status.phase}")
	require.NoError(t, err)
	require.Equal(t, "Active", out)
}
