package istio_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/umagate/umagate/e2e/mesh/loadtest"
)

// TestByUmagate is the same for a filter that comes from the control plane: what changes
// there is in force without Istio.
func TestByUmagate(t *testing.T) {
	w := newWorld(t)
	plugin := "plugin: {wasm: " + w.module + "}\n"
	w.plane.Write(file + plugin)
	w.startGateway()
	load := loadtest.Start(t)
	album := loadtest.Request{URL: gateway + "/albums/1", Host: "photos.example.com"}
	load.Phase("install")
	load.Add("anonymous", album, http.StatusOK, http.StatusUnauthorized, http.StatusNotFound, 0)
	objects := w.render("--way", "umagate")
	w.clean(objects)
	w.apply(objects)
	load.Becomes("anonymous", http.StatusUnauthorized)
	rpt := album
	rpt.Token = w.rpt(album)
	load.Add("alice", rpt, http.StatusOK)
	load.Add("public", loadtest.Request{URL: gateway + "/healthz", Host: album.Host}, http.StatusOK)
	load.Add("unlisted", loadtest.Request{URL: gateway + "/albums", Host: album.Host}, http.StatusForbidden)
	load.More(50)

	load.Phase("change")
	load.May("unlisted", http.StatusForbidden, http.StatusOK)
	w.plane.Write(strings.Replace(file, "paths: [/healthz]", "paths: [/healthz, /albums]", 1) + plugin)
	load.Becomes("unlisted", http.StatusOK)
	load.More(50)

	load.Phase("istiod down")
	w.istiod.Pause()
	load.More(50)

	load.Phase("revoked at umagate, while istiod is down")
	load.May("alice", http.StatusOK, http.StatusUnauthorized)
	w.umagate("revoke", "--token", rpt.Token, "-c", w.plane.Path(), "--server", "http://"+w.plane.API)
	load.Becomes("alice", http.StatusUnauthorized)
	load.More(50)

	load.Phase("umagate down")
	w.plane.Stop()
	load.More(50)
	w.startPlane()
	load.More(50)
}
