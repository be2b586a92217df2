package server_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestRealEnvoyWithSitesOfOneHost: two tenants with an AS and an API each, and for one of
// them another AS whose tokens say so. Every request is judged by its own AS and led to
// its own API.
func TestRealEnvoyWithSitesOfOneHost(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	api := func(name string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Api", name)
			w.Header().Set("X-Path", r.URL.Path)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	a, b := servertest.StartAS(t, devas.Options{}), servertest.StartAS(t, devas.Options{})
	entry := func(name, settings, issuer string) string {
		return fmt.Sprintf(`
- name: %s
  hosts: [photos.example.com]
  ambiguous_paths: normalize
  %s
  authorization_server: {issuer: "%s", client: {register: {}}}
  resources:
  - {name: all-of-%s, conditions: [{paths: ["/{tenant}/photos/**"], scopes: [view]}]}
  - {name: open-of-%s, conditions: [{paths: ["/{tenant}/open/**"], public: true}]}
`, name, settings, issuer, name, name)
	}
	p := newPlane(t)
	p.Write(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
plugin: {wasm: "` + servertest.Module(t) + `"}
sites:` +
		entry("tenant-a", "path_prefixes: [/a]\n  upstream: "+api("a"), a.Issuer()) +
		entry("tenant-b", "path_prefixes: [/b]\n  upstream: "+api("b"), b.Issuer()) +
		entry("partners", "path_prefixes: [/a]\n  chosen_by: issuer", b.Issuer()))
	p.Start()
	p.Until("all is well before any Envoy is there", allWell)
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy has acknowledged everything", servertest.Acknowledged)

	for path, want := range map[string]string{
		"/a/open/1": "a /a/open/1", "/b/open/1": "b /b/open/1",
		// Rewritten by the filter, and led where the rewritten path belongs.
		"/a/../b/open/1": "b /b/open/1", "/b/photos/..;x/../a/../../a/open/1": "a /a/open/1", "//b//open/2": "b /b/open/2",
	} {
		resp := e.Get(path, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.Equal(t, want, resp.Header.Get("X-Api")+" "+resp.Header.Get("X-Path"), path)
	}
	require.Equal(t, http.StatusForbidden, e.Get("/c/open/1", "").StatusCode)
	require.Equal(t, http.StatusBadRequest, e.Get("/A/open/1", "").StatusCode)

	challenged := func(path, issuer string) string {
		t.Helper()
		token := ""
		if issuer != "" {
			token = "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuer+`"}`)) + ".c2ln"
		}
		resp := e.Get(path, token)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		_, uri, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `as_uri="`)
		uri, _, _ = strings.Cut(uri, `"`)
		return uri
	}
	asked := func() [2]int {
		return [2]int{a.Count(devas.EndpointIntrospection), b.Count(devas.EndpointIntrospection)}
	}
	require.Equal(t, a.Issuer(), challenged("/a/photos/1", ""))
	require.Equal(t, b.Issuer(), challenged("/b/photos/1", ""))
	require.Equal(t, [2]int{}, asked())
	require.Equal(t, a.Issuer(), challenged("/a/photos/1", a.Issuer()))
	require.Equal(t, [2]int{1, 0}, asked())
	require.Equal(t, b.Issuer(), challenged("/a/photos/1", b.Issuer()))
	require.Equal(t, [2]int{1, 1}, asked())
	require.Equal(t, a.Issuer(), challenged("/a/photos/1", "https://elsewhere.example.com"))
	require.Equal(t, [2]int{1, 1}, asked(), "a token of nobody here is shown to nobody")

	// One is down: the other's tokens go on.
	require.NoError(t, a.SetFault(devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultDown}))
	require.Equal(t, http.StatusServiceUnavailable, e.Get("/a/photos/2", "e30."+base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+a.Issuer()+`","n":2}`))+".c2ln").StatusCode)
	require.Equal(t, b.Issuer(), challenged("/a/photos/2", b.Issuer()))
}
