package istio_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/mesh"
	"github.com/umagate/umagate/e2e/mesh/loadtest"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
)

// sidecar has the proxy of a pod take requests at a port of its own: there is nothing here
// that captures them.
const sidecar = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: plain, namespace: edge}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: photos, namespace: edge}
spec:
  workloadSelector: {labels: {app: photos}}
  ingress:
  - port: {number: 9080, protocol: HTTP, name: http}
    bind: 127.0.0.1
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:3000
`

// TestSidecar guards what arrives at a workload, in both ways.
func TestSidecar(t *testing.T) {
	w := newWorld(t)
	w.apply(sidecar)
	_, err := w.registry.PushModule(t.Context(), w.module, "umagate/module:v1")
	require.NoError(t, err)
	render := func(args ...string) string {
		return w.umagate(append([]string{"render", "istio", "-c", w.plane.Path(), "-n", "edge", "--selector", "app=photos"}, args...)...)
	}
	w.proxy = meshtest.StartProxy(t, w.istiod, mesh.ProxyOptions{
		Role: "sidecar", Namespace: "edge", Labels: `{"app":"photos"}`, Registry: w.registry.Address,
		Metadata: []string{"ISTIO_META_INTERCEPTION_MODE=NONE"},
	})
	load := loadtest.Start(t)
	in := loadtest.Request{URL: "http://127.0.0.1:9080/albums/1", Host: "photos.example.com"}
	load.Add("arrives", in, http.StatusOK, http.StatusNotFound, 0)
	load.Becomes("arrives", http.StatusOK)
	load.Phase("by istiod")
	load.May("arrives", http.StatusOK, http.StatusUnauthorized)
	objects := render("--wasm", "oci://"+w.registry.Address+"/umagate/module:v1")
	w.clean(objects)
	w.apply(objects)
	load.Becomes("arrives", http.StatusUnauthorized)
	rpt := in
	rpt.Token = w.rpt(in)
	load.Add("alice", rpt, http.StatusOK)
	load.More(50)

	load.Phase("by umagate as well")
	w.plane.Write(file + "plugin: {wasm: " + w.module + "}\n")
	objects = render("--way", "umagate", "--name", "second")
	w.clean(objects)
	w.apply(objects)
	load.More(100)
}
