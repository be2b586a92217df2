package kube_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/mesh"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
)

// TestDocument follows docs/kubernetes.md from its first line to its last, with the real
// kubectl at a real API server.
func TestDocument(t *testing.T) {
	server := meshtest.StartAPIServer(t)
	require.NoError(t, server.Define(t.Context(), mesh.GatewayAPICRDs))
	text, err := os.ReadFile("../../docs/kubernetes.md")
	require.NoError(t, err)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	folder := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(root, "controlplane"), filepath.Join(folder, "controlplane")))
	bin := filepath.Join(folder, "bin")
	require.NoError(t, os.Mkdir(bin, 0o750))
	require.NoError(t, os.Symlink(meshtest.Tools(t, mesh.Kubectl).Path(mesh.Kubectl), filepath.Join(bin, "kubectl")))
	program, err := findHelm()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(program, filepath.Join(bin, "helm")))
	// It would run for ever; the tests of objects run it.
	require.NoError(t, os.WriteFile(filepath.Join(bin, "umagate-controller"), []byte("#!/bin/sh\ntest -s \"$2\"\n"), 0o700))
	found := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllSubmatch(text, -1)
	require.Len(t, found, 8)
	for _, block := range found {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", string(block[1]))
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "KUBECONFIG="+server.Kubeconfig, "HOME="+folder, "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", block[1], out)
		if regexp.MustCompile(`(crds|umagate-controller)$`).Match(block[1][:len(block[1])-1]) {
			_, err := server.Kubectl(t.Context(), "", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
			require.NoError(t, err)
		}
	}
}
