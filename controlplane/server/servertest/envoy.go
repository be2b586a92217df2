package servertest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
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

// Protect runs an Envoy until the test's end, with the bootstrap that umagate renders
// for it, changed. umagate.yaml says what it listens on: take 127.0.0.1:0.
func (p *Plane) Protect(options envoy.Options, changes ...func(*bootstrapv3.Bootstrap)) *Protected {
	p.T.Helper()
	environment := site.OSEnvironment(p.Dir)
	environment.SitesElsewhere = true // a source may have them all
	file, err := site.LoadIn(p.Path(), environment)
	require.NoError(p.T, err)
	file.Envoy.XDS = p.XDS
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(p.T, err)
	for _, change := range changes {
		change(bootstrap)
	}
	options.Bootstrap, err = protojson.Marshal(bootstrap)
	require.NoError(p.T, err)
	options.ReadyTimeout = 2 * Within // it compiles the filter
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

// RPT gets one for an album, as client app with the secret app-secret.
func (e *Protected) RPT(as *devas.Server) string {
	e.T.Helper()
	_, ticket, ok := strings.Cut(e.Get("/albums/1", "").Header.Get("WWW-Authenticate"), `ticket="`) //nolint:bodyclose // Get has closed it
	require.True(e.T, ok)
	ticket, _, _ = strings.Cut(ticket, `"`)
	form := url.Values{"grant_type": {devas.GrantUMA}, "ticket": {ticket}}
	req, err := http.NewRequestWithContext(e.T.Context(), http.MethodPost, as.Issuer()+"/token", strings.NewReader(form.Encode()))
	require.NoError(e.T, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("app", "app-secret")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(e.T, err)
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
	}
	require.NoError(e.T, json.NewDecoder(resp.Body).Decode(&answer))
	require.NotEmpty(e.T, answer.Token, "%d", resp.StatusCode)
	return answer.Token
}
