package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/e2e/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// module is the filter that `make wasm` builds.
func module(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "build", "umagate.wasm"))
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "the filter is not built: make wasm")
	return path
}

// protected is an Envoy that has everything from the plane.
type protected struct {
	*envoy.Process

	t    *testing.T
	base string
}

func (p *plane) protect(options envoy.Options) *protected {
	p.t.Helper()
	file, err := site.Load(p.path())
	require.NoError(p.t, err)
	file.Envoy.XDS = p.xds
	file.Envoy.Listener = "127.0.0.1:0"
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(p.t, err)
	options.Bootstrap, err = protojson.Marshal(bootstrap)
	require.NoError(p.t, err)
	process := envoytest.Start(p.t, options)
	return &protected{Process: process, t: p.t, base: "http://" + envoytest.Address(p.t.Context(), p.t, process, "umagate")}
}

func (e *protected) get(path, token string) *http.Response {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.base+path, nil)
	require.NoError(e.t, err)
	req.Host = "photos.example.com"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(e.t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(e.t, resp.Body.Close())
	return resp
}

func (e *protected) requireTicket(path string) {
	e.t.Helper()
	resp := e.get(path, "")
	require.Equal(e.t, http.StatusUnauthorized, resp.StatusCode, "%v", resp.Header)
	require.Contains(e.t, resp.Header.Get("WWW-Authenticate"), `ticket="`)
}

// requireNoSecret looks for every credential that the AS has seen.
func (e *protected) requireNoSecret(as *devas.Server) {
	e.t.Helper()
	dump, err := e.ConfigDump(e.t.Context())
	require.NoError(e.t, err)
	require.Contains(e.t, dump, "umagate/photos/pat", "the dump has the secrets section")
	found := 0
	for _, endpoint := range []devas.Endpoint{devas.EndpointToken, devas.EndpointResources, devas.EndpointPermission, devas.EndpointIntrospection} {
		for _, call := range as.Calls(endpoint) {
			if _, credential, ok := strings.Cut(call.Header.Get("Authorization"), " "); ok {
				found++
				require.NotContains(e.t, dump, credential)
			}
		}
	}
	require.Positive(e.t, found)
}

func credential(t *testing.T, as *devas.Server, endpoint devas.Endpoint) string {
	t.Helper()
	calls := as.Calls(endpoint)
	require.NotEmpty(t, calls)
	return calls[len(calls)-1].Header.Get("Authorization")
}

func TestRealEnvoyIsConfigured(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(upstream.Close)
	for name, dialect := range map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()} {
		t.Run(name, func(t *testing.T) {
			as := startAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			config := strings.Replace(p.config(as.Issuer(), "albums"), "http://127.0.0.1:1", upstream.URL, 1)
			good := config + "plugin: {wasm: \"" + module(t) + "\"}\n"
			p.write(good)
			p.start()
			p.until("all is well before any Envoy is there", allWell)
			e := p.protect(envoy.Options{Binary: binary})
			s := p.until("Envoy has acknowledged everything", acknowledged)
			require.Equal(t, "umagate-envoy", s.Envoys[0].NodeID)
			require.NotEmpty(t, s.Envoys[0].Version)

			e.requireTicket("/albums/1")
			require.Equal(t, http.StatusUnauthorized, e.get("/albums/1", "no-token-of-this-server").StatusCode)
			require.Equal(t, 1, as.Count(devas.EndpointIntrospection))
			require.NotEmpty(t, credential(t, as, devas.EndpointIntrospection))
			require.Equal(t, http.StatusForbidden, e.get("/elsewhere", "").StatusCode)
			e.requireNoSecret(as)

			// The AS forgets the PAT: another is in force without a new configuration.
			before := credential(t, as, devas.EndpointPermission)
			as.ExpirePATs()
			p.until("another PAT is acknowledged", func(now server.Status) bool {
				return acknowledged(now) && now.Pushed[xds.SDS] != s.Pushed[xds.SDS]
			})
			e.requireTicket("/albums/2")
			require.NotEqual(t, before, credential(t, as, devas.EndpointPermission))
			require.Equal(t, s.Pushed[xds.ECDS], p.status().Pushed[xds.ECDS])
			e.requireNoSecret(as)

			// Envoy refuses what it cannot load, says so, and goes on as before.
			p.write(config + "plugin: {wasm: /nowhere/umagate.wasm}\n")
			refused := p.until("the refusal is told", func(now server.Status) bool { return now.Envoys[0].Types[xds.ECDS].Refused != "" })
			require.False(t, refused.OK)
			require.NotEmpty(t, refused.Envoys[0].Types[xds.ECDS].ErrorMessage)
			require.Equal(t, s.Pushed[xds.ECDS], refused.Envoys[0].Types[xds.ECDS].Acknowledged)
			t.Log(refused.Envoys[0].Types[xds.ECDS].ErrorMessage)
			e.requireTicket("/albums/3")
			p.write(good)
			p.until("mended", acknowledged)
			e.requireTicket("/albums/4")

			// A restart of the control plane goes unnoticed, with the AS down too.
			address := strings.NewReplacer(`xds: "127.0.0.1:0"`, `xds: "`+p.xds+`"`)
			p.stop()
			e.requireTicket("/albums/5")
			p.write(address.Replace(good))
			require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointDiscovery, Kind: devas.FaultDown}))
			p.start()
			p.until("Envoy is back", func(now server.Status) bool {
				return len(now.Envoys) == 1 && now.Envoys[0].Types[xds.SDS].Acknowledged == now.Pushed[xds.SDS] && now.Envoys[0].Types[xds.ECDS].Acknowledged == s.Pushed[xds.ECDS]
			})
			e.requireTicket("/albums/6")
			require.NotContains(t, p.log.String(), strings.TrimPrefix(credential(t, as, devas.EndpointPermission), "Bearer "))
			p.requireNoSecrets(as)
		})
	}
}

func acknowledged(s server.Status) bool {
	if !s.OK || len(s.Envoys) != 1 {
		return false
	}
	for _, kind := range xds.Types() {
		if s.Envoys[0].Types[kind].Acknowledged != s.Pushed[kind] {
			return false
		}
	}
	return true
}
