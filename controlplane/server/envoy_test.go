package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// protected is an Envoy that has everything from the plane.
type protected struct{ *servertest.Protected }

func (p *plane) protect(options envoy.Options, changes ...func(*bootstrapv3.Bootstrap)) *protected {
	return &protected{p.Protect(options, changes...)}
}

func (e *protected) requireTicket(path string) {
	e.T.Helper()
	resp := e.Get(path, "")
	require.Equal(e.T, http.StatusUnauthorized, resp.StatusCode, "%v", resp.Header)
	require.Contains(e.T, resp.Header.Get("WWW-Authenticate"), `ticket="`)
}

// requireNoSecret looks for every credential that the AS has seen.
func (e *protected) requireNoSecret(as *devas.Server) {
	e.T.Helper()
	dump, err := e.ConfigDump(e.T.Context())
	require.NoError(e.T, err)
	require.Contains(e.T, dump, "umagate/photos/pat", "the dump has the secrets section")
	found := 0
	for _, endpoint := range []devas.Endpoint{devas.EndpointToken, devas.EndpointResources, devas.EndpointPermission, devas.EndpointIntrospection} {
		for _, call := range as.Calls(endpoint) {
			if _, credential, ok := strings.Cut(call.Header.Get("Authorization"), " "); ok {
				found++
				require.NotContains(e.T, dump, credential)
			}
		}
	}
	require.Positive(e.T, found)
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
			as := servertest.StartAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			config := strings.Replace(p.config(as.Issuer(), "albums"), "http://127.0.0.1:1", upstream.URL, 1)
			good := config + "plugin: {wasm: \"" + servertest.Module(t) + "\"}\n"
			p.Write(good)
			p.Start()
			p.Until("all is well before any Envoy is there", allWell)
			e := p.protect(envoy.Options{Binary: binary})
			s := p.Until("Envoy has acknowledged everything", servertest.Acknowledged)
			require.Equal(t, "umagate-envoy", s.Envoys[0].NodeID)
			require.NotEmpty(t, s.Envoys[0].Version)

			e.requireTicket("/albums/1")
			require.Equal(t, http.StatusUnauthorized, e.Get("/albums/1", "no-token-of-this-server").StatusCode)
			require.Equal(t, 1, as.Count(devas.EndpointIntrospection))
			require.NotEmpty(t, credential(t, as, devas.EndpointIntrospection))
			require.Equal(t, http.StatusForbidden, e.Get("/elsewhere", "").StatusCode)
			e.requireNoSecret(as)

			// The AS forgets the PAT: another is in force without a new configuration.
			before := credential(t, as, devas.EndpointPermission)
			as.ExpirePATs()
			p.Until("another PAT is acknowledged", func(now server.Status) bool {
				return servertest.Acknowledged(now) && now.Pushed[xds.SDS] != s.Pushed[xds.SDS]
			})
			e.requireTicket("/albums/2")
			require.NotEqual(t, before, credential(t, as, devas.EndpointPermission))
			require.Equal(t, s.Pushed[xds.ECDS], p.Status().Pushed[xds.ECDS])
			e.requireNoSecret(as)

			// Envoy refuses what it cannot load, says so, and goes on as before.
			p.Write(config + "plugin: {wasm: /nowhere/umagate.wasm}\n")
			refused := p.Until("the refusal is told", func(now server.Status) bool { return now.Envoys[0].Types[xds.ECDS].Refused != "" })
			require.False(t, refused.OK)
			require.NotEmpty(t, refused.Envoys[0].Types[xds.ECDS].ErrorMessage)
			require.Equal(t, s.Pushed[xds.ECDS], refused.Envoys[0].Types[xds.ECDS].Acknowledged)
			t.Log(refused.Envoys[0].Types[xds.ECDS].ErrorMessage)
			e.requireTicket("/albums/3")
			p.Write(good)
			p.Until("mended", servertest.Acknowledged)
			e.requireTicket("/albums/4")

			// A restart of the control plane goes unnoticed, with the AS down too.
			address := strings.NewReplacer(`xds: "127.0.0.1:0"`, `xds: "`+p.XDS+`"`)
			p.Stop()
			e.requireTicket("/albums/5")
			p.Write(address.Replace(good))
			require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointDiscovery, Kind: devas.FaultDown}))
			p.Start()
			p.Until("Envoy is back", func(now server.Status) bool {
				return len(now.Envoys) == 1 && now.Envoys[0].Types[xds.SDS].Acknowledged == now.Pushed[xds.SDS] && now.Envoys[0].Types[xds.ECDS].Acknowledged == s.Pushed[xds.ECDS]
			})
			e.requireTicket("/albums/6")
			require.NotContains(t, p.Log.String(), strings.TrimPrefix(credential(t, as, devas.EndpointPermission), "Bearer "))
			p.RequireNoSecrets(as)
		})
	}
}
