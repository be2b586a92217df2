package servertest

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// Module is the filter that `make wasm` builds.
func Module(t *testing.T) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", "..", "build", "umagate.wasm")
	_, err := os.Stat(path)
	require.NoError(t, err, "the filter is not built: make wasm")
	return path
}

// Protected is an Envoy that has everything from a control plane.
type Protected struct {
	*envoy.Process

	T    *testing.T
	Base string
}

// Protect runs an Envoy until the test's end.
func (p *Plane) Protect(options envoy.Options) *Protected {
	p.T.Helper()
	file, err := site.Load(p.Path())
	require.NoError(p.T, err)
	file.Envoy.XDS, file.Envoy.Listener = p.XDS, "127.0.0.1:0"
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(p.T, err)
	options.Bootstrap, err = protojson.Marshal(bootstrap)
	require.NoError(p.T, err)
	process := envoytest.Start(p.T, options)
	return &Protected{Process: process, T: p.T, Base: "http://" + envoytest.Address(p.T.Context(), p.T, process, "umagate")}
}

// Get asks photos.example.com for a path, with a token unless it is empty.
func (e *Protected) Get(path, token string) *http.Response {
	e.T.Helper()
	req, err := http.NewRequestWithContext(e.T.Context(), http.MethodGet, e.Base+path, http.NoBody)
	require.NoError(e.T, err)
	req.Host = "photos.example.com"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(e.T, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(e.T, resp.Body.Close())
	return resp
}
