package istio_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/mesh/loadtest"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
	"github.com/umagate/umagate/e2e/mesh/pagetest"
)

// TestPage follows docs/istio.md.
func TestPage(t *testing.T) {
	w := newWorld(t)
	page := pagetest.Open(t, "istio.md", meshtest.Tools(t).Folder())
	page.Replace = strings.NewReplacer("registry.example.com", w.registry.Address, "https://as.example.com", issuer)
	page.Environment = []string{"KUBECONFIG=" + w.api.Kubeconfig, "HOME=" + page.Folder()}
	_, err := w.registry.PushModule(t.Context(), w.module, "release/module:v1")
	require.NoError(t, err)
	require.NoError(t, w.registry.Pull(t.Context(), "release/module:v1", filepath.Join(page.Folder(), "module-image")))

	page.Next() // push
	page.Next() // umagate.yaml
	// The certificate of this authorization server is a test's own.
	path := filepath.Join(page.Folder(), "umagate.yaml")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	ca := filepath.Join(w.plane.Dir, "ca.pem")
	text = []byte(strings.Replace(string(text), "    issuer: ", "    tls: {ca_file: "+ca+"}\n    issuer: ", 1))
	require.NoError(t, os.WriteFile(path, text, 0o600))
	require.Contains(t, page.Skip().Text, "umagate serve") // it runs already
	w.startGateway()
	page.Next() // render, validate, apply
	load := loadtest.Start(t)
	album := loadtest.Request{URL: gateway + "/albums/1", Host: "photos.example.com"}
	load.Add("anonymous", album, http.StatusOK, http.StatusUnauthorized, http.StatusNotFound, 0)
	load.Becomes("anonymous", http.StatusUnauthorized)
	load.May("anonymous", http.StatusUnauthorized, http.StatusTooManyRequests) // of so many tickets
	rpt := album
	rpt.Token = w.rpt(album)
	load.Add("alice", rpt, http.StatusOK)
	load.More(20)

	load.Phase("Istio authenticates as well")
	w.authenticates(page, load)
	page.Next() // crane digest
	load.May("anonymous", http.StatusOK, http.StatusUnauthorized, http.StatusTooManyRequests)
	page.Next() // removal
	load.Becomes("anonymous", http.StatusOK)
	page.End()
}

// authenticates applies the page's RequestAuthentication, with the keys of this
// authorization server in it: Istio refuses what is no JWT of it, lets a request without a
// token on to umagate, and hands on what it has checked.
func (w *world) authenticates(page *pagetest.Page, load *loadtest.Load) {
	w.t.Helper()
	keys := w.keys()
	page.Replace = strings.NewReplacer("registry.example.com", w.registry.Address, "jwksUri: https://as.example.com/jwks", "jwks: '"+keys+"'", "https://as.example.com", issuer)
	load.Add("forged", loadtest.Request{URL: gateway + "/healthz", Host: "photos.example.com", Token: "e30.e30.e30"}, http.StatusOK, http.StatusUnauthorized)
	page.Next()
	load.Becomes("forged", http.StatusUnauthorized) // on a public path as well: it is Istio who refuses
	load.More(20)
}
