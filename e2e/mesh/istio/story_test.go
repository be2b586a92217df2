package istio_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/mesh/loadtest"
)

// TestByIstiod walks through the life of a site whose filter comes by istiod. Requests
// are sent all the time, and each answer is compared.
func TestByIstiod(t *testing.T) {
	w := newWorld(t)
	_, err := w.registry.PushModule(t.Context(), w.module, "umagate/module:v1")
	require.NoError(t, err)
	first := "oci://" + w.registry.Address + "/umagate/module:v1"
	w.startGateway()
	load := loadtest.Start(t)
	album := loadtest.Request{URL: gateway + "/albums/1", Host: "photos.example.com"}
	load.Phase("before")
	load.Add("anonymous", album, http.StatusOK, http.StatusNotFound, 0) // until the routes are there
	load.Becomes("anonymous", http.StatusOK)

	load.Phase("install")
	load.May("anonymous", http.StatusOK, http.StatusUnauthorized)
	objects := w.render("--wasm", first)
	w.clean(objects)
	w.apply(objects)
	load.Becomes("anonymous", http.StatusUnauthorized)
	rpt := album
	rpt.Token = w.rpt(album)
	load.Add("alice", rpt, http.StatusOK)
	forged := album
	forged.Token = "forged"
	load.Add("forged", forged, http.StatusUnauthorized)
	remove := rpt
	remove.Method = http.MethodDelete
	load.Add("alice deletes", remove, http.StatusUnauthorized)
	load.Add("public", loadtest.Request{URL: gateway + "/healthz", Host: album.Host}, http.StatusOK)
	unlisted := loadtest.Request{URL: gateway + "/albums", Host: album.Host}
	load.Add("unlisted", unlisted, http.StatusForbidden)
	load.More(50)

	load.Phase("change")
	w.plane.Write(strings.Replace(file, "paths: [/healthz]", "paths: [/healthz, /albums]", 1))
	load.May("unlisted", http.StatusForbidden, http.StatusOK)
	w.apply(w.render("--wasm", first))
	load.Becomes("unlisted", http.StatusOK)
	load.More(50)

	load.Phase("istiod down")
	w.istiod.Pause()
	load.More(100)
	require.NoError(t, w.istiod.Resume(t.Context()))
	load.More(100)

	load.Phase("umagate down")
	w.plane.Stop()
	load.More(100)
	w.startPlane()
	load.More(100)

	load.Phase("upgrade of the module")
	module, err := os.ReadFile(w.module)
	require.NoError(t, err)
	// A section that says nothing makes it another module.
	other := filepath.Join(t.TempDir(), "umagate.wasm")
	require.NoError(t, os.WriteFile(other, append(module, 0, 2, 1, 'v'), 0o600))
	_, err = w.registry.PushModule(t.Context(), other, "umagate/module:v2")
	require.NoError(t, err)
	before, second := w.runs(), "oci://"+w.registry.Address+"/umagate/module:v2"
	w.apply(w.render("--wasm", second))
	require.Eventually(t, func() bool { return w.runs() != before }, servertest.Within, 10*time.Millisecond)
	load.More(150)

	load.Phase("the authorization server is down")
	asks := []string{"anonymous", "forged", "alice deletes"}
	for _, name := range asks {
		load.May(name, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable)
	}
	load.May("alice", http.StatusOK, http.StatusServiceUnavailable)
	require.NoError(t, w.as.SetFault(devas.Fault{Kind: devas.FaultDown}))
	load.Becomes("anonymous", http.StatusForbidden)      // there is no ticket to give
	load.Becomes("alice", http.StatusServiceUnavailable) // her token's time is over, and nobody says more of it
	load.More(50)
	load.May("alice", http.StatusOK, http.StatusServiceUnavailable)
	load.May("anonymous", http.StatusUnauthorized, http.StatusForbidden)
	w.as.ClearFaults(devas.EndpointAny)
	for _, name := range asks {
		load.Becomes(name, http.StatusUnauthorized)
	}
	load.Becomes("alice", http.StatusOK)
	load.More(50)

	load.Phase("revoked at the authorization server")
	load.May("alice", http.StatusOK, http.StatusUnauthorized)
	w.as.ForbidAll()
	load.Becomes("alice", http.StatusUnauthorized)
	load.More(50)

	load.Phase("a module that is not there")
	for _, name := range []string{"anonymous", "alice", "forged", "alice deletes", "public", "unlisted"} {
		load.May(name, http.StatusOK, http.StatusUnauthorized, http.StatusForbidden)
	}
	for _, name := range []string{"anonymous", "alice", "forged", "alice deletes"} {
		load.May(name, http.StatusUnauthorized, http.StatusForbidden)
	}
	w.apply(w.render("--wasm", "oci://"+w.registry.Address+"/umagate/module:v3"))
	load.Becomes("public", http.StatusForbidden)
	load.More(50)
	load.May("public", http.StatusOK, http.StatusForbidden)
	w.apply(w.render("--wasm", second))
	load.Becomes("public", http.StatusOK)
	load.Becomes("anonymous", http.StatusUnauthorized)

	load.Phase("removal")
	load.May("anonymous", http.StatusOK, http.StatusUnauthorized)
	for _, name := range []string{"alice", "forged"} {
		load.May(name, http.StatusOK, http.StatusUnauthorized)
	}
	load.Remove("alice deletes") // nothing would keep the album
	load.More(1)
	load.May("unlisted", http.StatusOK)
	_, err = w.api.Kubectl(t.Context(), "", "delete", "-n", "edge", "wasmplugin", "umagate")
	require.NoError(t, err)
	load.Becomes("anonymous", http.StatusOK)
	_, err = w.api.Kubectl(t.Context(), "", "delete", "-n", "edge", "envoyfilter,destinationrule,serviceentry", "-l", "app.kubernetes.io/instance=umagate")
	require.NoError(t, err)
	load.More(50)
}
