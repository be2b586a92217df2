package envoygateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/mesh"
	"github.com/umagate/umagate/e2e/mesh/loadtest"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
	"github.com/umagate/umagate/e2e/mesh/pagetest"
)

// TestPage follows docs/envoy-gateway.md: kubectl applies to the real API server, and
// Envoy Gateway, which is standalone here, gets the same objects.
func TestPage(t *testing.T) {
	w := newWorld(t)
	api := meshtest.StartAPIServer(t)
	require.NoError(t, api.Define(t.Context(), mesh.GatewayAPICRDs, mesh.EnvoyGatewayCRDs))
	require.NoError(t, api.Apply(t.Context(), `{apiVersion: v1, kind: Namespace, metadata: {name: edge}}`))
	page := pagetest.Open(t, "envoy-gateway.md", meshtest.Tools(t).Folder())
	page.Replace = strings.NewReplacer("registry.example.com", w.registry.Address, "https://as.example.com", issuer+"\n    insecure_http: true")
	page.Environment = []string{"KUBECONFIG=" + api.Kubeconfig, "HOME=" + page.Folder()}
	_, err := w.registry.PushModule(t.Context(), servertest.Module(t), "release/module:v1")
	require.NoError(t, err)
	require.NoError(t, w.registry.Pull(t.Context(), "release/module:v1", filepath.Join(page.Folder(), "module-image")))
	page.Next()                                            // push
	page.Next()                                            // umagate.yaml
	require.Contains(t, page.Skip().Text, "umagate serve") // it runs already
	page.Next()                                            // render and apply
	page.End()
	objects, err := os.ReadFile(filepath.Join(page.Folder(), "umagate-objects.yaml"))
	require.NoError(t, err)
	require.NoError(t, w.gateway.Apply("umagate", string(objects)))
	load := loadtest.Start(t)
	album := loadtest.Request{URL: frontend + "/albums/1", Host: "photos.example.com"}
	load.Add("anonymous", album, http.StatusOK, http.StatusNotFound, http.StatusUnauthorized, 0)
	load.Becomes("anonymous", http.StatusUnauthorized)
	load.May("anonymous", http.StatusUnauthorized, http.StatusTooManyRequests) // of so many tickets
	rpt := album
	rpt.Token = w.rpt(album)
	load.Add("alice", rpt, http.StatusOK)
	load.More(20)
}
