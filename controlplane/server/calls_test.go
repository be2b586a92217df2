package server_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// way leads from Envoy to the AS, and can be cut.
type way struct {
	address string
	target  *url.URL
	server  *httptest.Server
}

func (w *way) open(t *testing.T) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", w.address)
	require.NoError(t, err)
	w.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: httputil.NewSingleHostReverseProxy(w.target)}}
	w.server.Start()
}

func (w *way) cut(*testing.T) {
	w.server.CloseClientConnections()
	w.server.Close()
}

// TestEnvoyCannotReachTheAS: umagate reaches the AS, and Envoy does not.
func TestEnvoyCannotReachTheAS(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	dialect := devas.Keycloak()
	as := servertest.StartAS(t, devas.Options{Dialect: dialect})
	issuer, err := url.Parse(as.Issuer())
	require.NoError(t, err)
	target := &url.URL{Scheme: "http", Host: issuer.Host}
	address, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { _ = reservation.Close() })
	w := &way{address: address, target: target}
	w.open(t)
	t.Cleanup(func() { w.cut(t) })

	p := newPlane(t)
	// The same address leads umagate straight to the AS.
	var dialer net.Dialer
	p.Options.Transport = &http.Transport{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		if to == address {
			to = target.Host
		}
		return dialer.DialContext(ctx, network, to)
	}}
	p.Options.Intervals.Site.Health = time.Second
	p.Write(strings.Replace(p.config(as.Issuer(), "albums"), "client: {register: {}}", fmt.Sprintf(`client: {register: {}}
    endpoints: {introspection: "http://%[1]s%[2]s", permission: "http://%[1]s%[3]s"}`, address, issuer.Path+dialect.Paths.Introspection, issuer.Path+dialect.Paths.Permission), 1) +
		"plugin: {wasm: \"" + servertest.Module(t) + "\"}\n")
	p.Start()
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy reports", func(s server.Status) bool { return servertest.Acknowledged(s) && !s.Envoys[0].ReportedAt.IsZero() })

	require.Nil(t, p.Status().Envoys[0].Clock, "it is this host's")

	visit := func(ctx context.Context) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Base+"/albums/1", http.NoBody)
		if err != nil {
			return err.Error()
		}
		req.Host = "photos.example.com"
		req.Header.Set("Authorization", "Bearer "+rand.Text())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			return resp.Status
		}
		return ""
	}
	l := comeAgain(t, visit, p.names)
	l.try(t, fault{condition: health.EnvoyCannotReachAuthorizationServer, users: true, mendIt: w.open, breakIt: func(t *testing.T) {
		t.Helper()
		w.cut(t)
		s := p.Until("it is told", func(s server.Status) bool { return has(s, health.EnvoyCannotReachAuthorizationServer) })
		require.Equal(t, []string{health.EnvoyCannotReachAuthorizationServer.Name}, health.Names(s.Conditions), "umagate reaches it")
		require.Equal(t, "photos", s.Conditions[0].Site)
		require.Regexp(t, `^umagate-envoy \(127\.0\.0\.1:\d+\): \d+ of \d+ calls for (introspection|permission), unreachable`, s.Conditions[0].Message)
	}})
	// What the AS refuses is another condition.
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultHTML}))
	p.Until("it is told", func(s server.Status) bool { return has(s, health.EnvoyCallsRefused) })
	as.ClearFaults("")
	p.Until("all is well", allWell)
	l.stop()
}

// TestAnEnvoyWithoutTheSinkIsNotKnown: status does not claim to know of calls that nobody
// reports.
func TestAnEnvoyWithoutTheSinkIsNotKnown(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums") + "plugin: {wasm: \"" + servertest.Module(t) + "\"}\n")
	p.Start()
	e := p.protect(envoy.Options{Binary: binary}, func(b *bootstrapv3.Bootstrap) { b.StatsSinks = nil })
	s := p.Until("Envoy has everything", servertest.Acknowledged)
	require.True(t, s.Envoys[0].ReportedAt.IsZero())
	e.requireTicket("/albums/1")
}
