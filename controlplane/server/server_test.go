package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// plane is a control plane that a test starts and stops.
type plane struct {
	*servertest.Plane

	// reached is API for other goroutines than the test's.
	reached atomic.Value
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{Plane: servertest.New(t)}
	p.Started = func(api string) { p.reached.Store(api) }
	return p
}

// target is where the control plane's API is, for a handler that stands before it.
func (p *plane) target() *url.URL {
	host, _ := p.reached.Load().(string)
	return &url.URL{Scheme: "http", Host: host}
}

func allWell(s server.Status) bool { return s.OK }

// has reports whether a condition is told.
func has(s server.Status, kind health.Kind) bool {
	return slices.Contains(health.Names(s.Conditions), kind.Name)
}

// said is the message of a condition; empty for none.
func said(s server.Status, kind health.Kind) string {
	for _, c := range s.Conditions {
		if c.Name == kind.Name {
			return c.Message
		}
	}
	return ""
}

func (p *plane) config(issuer string, resources ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:1
  authorization_server:
    issuer: %s
    client: {register: {}}
  resources:
`, issuer)
	for _, r := range resources {
		fmt.Fprintf(&b, "  - {name: %s, type: \"https://example.com/%s\", conditions: [{paths: [\"/%s/**\"], scopes: [view, edit]}]}\n", r, r, r)
	}
	return b.String()
}

func names(as *devas.Server) []string {
	out := []string{}
	for _, r := range as.Resources() {
		out = append(out, r.Name)
	}
	return out
}

func TestFromNothingToServing(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			p.Write(p.config(as.Issuer(), "albums", "people"))
			p.Start()
			s := p.Until("all is well", allWell)
			require.Equal(t, name, s.Sites[0].Dialect)
			require.Equal(t, registration.Serving, s.Sites[0].Phase)
			require.True(t, s.Sites[0].Registered)
			require.NotEmpty(t, s.Sites[0].ClientID)
			require.Equal(t, 2, s.Sites[0].Resources.Registered)
			require.False(t, s.Sites[0].PATExpiresAt.IsZero())
			require.ElementsMatch(t, []string{"albums", "people"}, names(as))
			for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
				code, _ := p.Get(path)
				require.Equal(t, http.StatusOK, code, path)
			}
			_, metrics := p.Get("/metrics")
			require.Contains(t, metrics, `umagate_site_phase{phase="serving",site="photos"} 1`)
			require.Contains(t, metrics, `umagate_as_call_duration_seconds_count{code="201",method="POST",operation="registration",site="photos"}`)
			require.Contains(t, metrics, `umagate_as_call_duration_seconds_count{code="201",method="POST",operation="resource",site="photos"}`)
			require.NotContains(t, metrics, `operation="other"`)
			p.RequireNoSecrets(as)

			// The second start registers nothing twice, and gets no PAT while it has one.
			before := as.Count(devas.EndpointRegistration)
			tokens := as.Count(devas.EndpointToken)
			p.Stop()
			p.Start()
			again := p.Until("all is well", allWell)
			require.Equal(t, s.Sites[0].ClientID, again.Sites[0].ClientID)
			require.Equal(t, s.Revision, again.Revision)
			require.Equal(t, before, as.Count(devas.EndpointRegistration))
			require.Equal(t, tokens, as.Count(devas.EndpointToken))
			require.Len(t, as.Resources(), 2)
		})
	}
}

func TestASDownAtStart(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	stop, err := as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	stop() // the address is known now, and nobody is there
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	s := p.Until("a failure is told", func(s server.Status) bool { return s.Sites[0].Failure != nil })
	require.Equal(t, registration.Discovering, s.Sites[0].Phase)
	require.NotEmpty(t, s.Sites[0].Failure.Remedy)
	require.NotEmpty(t, s.Revision, "a configuration that denies is there for Envoys")
	stop, err = as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	s = p.Until("all is well", allWell)
	known := s.Revision

	// Started while the AS is down, it serves what it knew.
	p.Stop()
	stop()
	p.Start()
	require.Equal(t, known, p.Status().Revision)
	require.NotEmpty(t, p.Status().Pushed)
	require.Equal(t, 1, p.Status().Sites[0].Resources.Registered)
	stop, err = as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	defer stop()
	s = p.Until("all is well", allWell)
	require.Equal(t, known, s.Revision)
	require.Equal(t, 1, as.Count(devas.EndpointRegistration))
}

func TestFaultsOfTheAS(t *testing.T) {
	t.Parallel()
	every := []devas.Endpoint{devas.EndpointDiscovery, devas.EndpointRegistration, devas.EndpointToken, devas.EndpointResources}
	kinds := []devas.FaultKind{
		devas.FaultDown, devas.FaultStatus, devas.FaultHTML, devas.FaultEmpty, devas.FaultRateLimit, devas.FaultTruncated,
		devas.FaultOversized, devas.FaultWrongTypes, devas.FaultSlow,
	}
	for _, endpoint := range every {
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%s/%s", endpoint, kind), func(t *testing.T) {
				t.Parallel()
				as := servertest.StartAS(t, devas.Options{})
				require.NoError(t, as.SetFault(devas.Fault{
					Endpoint: endpoint, Kind: kind, Count: 2, Delay: time.Millisecond, RetryAfter: time.Nanosecond, Size: 2 << 20,
				}))
				p := newPlane(t)
				p.Write(p.config(as.Issuer(), "albums", "people"))
				p.Start()
				p.Until("all is well in the end", allWell)
				require.ElementsMatch(t, []string{"albums", "people"}, names(as), "nothing is registered twice")
				p.RequireNoSecrets(as)
			})
		}
	}
}

func TestForgottenByTheAS(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()} {
		t.Run(name+"/the PAT", func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			p.Write(p.config(as.Issuer(), "albums"))
			p.Start()
			first := p.Until("all is well", allWell)
			tokens := as.Count(devas.EndpointToken)
			as.ExpirePATs()
			p.Until("another PAT is pushed", func(s server.Status) bool { return s.OK && s.Pushed["sds"] != first.Pushed["sds"] })
			require.Equal(t, tokens+1, as.Count(devas.EndpointToken), "renewed once")
		})
		t.Run(name+"/the client", func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			p.Write(p.config(as.Issuer(), "albums"))
			p.Start()
			first := p.Until("all is well", allWell)
			as.ForgetClients()
			second := p.Until("registered anew", func(s server.Status) bool {
				return s.OK && s.Sites[0].ClientID != first.Sites[0].ClientID && s.Revision != first.Revision
			})
			require.Equal(t, []string{"albums"}, names(as))
			require.Equal(t, 1, second.Sites[0].Resources.Registered)
		})
	}
	t.Run("a resource", func(t *testing.T) {
		t.Parallel()
		as := servertest.StartAS(t, devas.Options{})
		p := newPlane(t)
		p.Write(p.config(as.Issuer(), "albums"))
		p.Start()
		first := p.Until("all is well", allWell)
		lost := as.Resources()[0].ID
		p.deleteAtAS(as, lost)
		p.Until("registered anew", func(s server.Status) bool { return s.OK && s.Revision != first.Revision })
		require.Equal(t, []string{"albums"}, names(as))
		require.NotEqual(t, lost, as.Resources()[0].ID)
	})
}

// deleteAtAS removes a resource with the PAT that the control plane used last.
func (p *plane) deleteAtAS(as *devas.Server, id string) {
	p.T.Helper()
	calls := as.Calls(devas.EndpointResources)
	last := calls[len(calls)-1]
	resp, err := http.Get(as.Issuer() + "/.well-known/uma2-configuration") //nolint:noctx // a test's own
	require.NoError(p.T, err)
	var metadata struct {
		Resources string `json:"resource_registration_endpoint"`
	}
	require.NoError(p.T, json.NewDecoder(resp.Body).Decode(&metadata))
	require.NoError(p.T, resp.Body.Close())
	req, err := http.NewRequestWithContext(p.T.Context(), http.MethodDelete, metadata.Resources+"/"+id, nil)
	require.NoError(p.T, err)
	req.Header.Set("Authorization", last.Header.Get("Authorization"))
	resp, err = http.DefaultClient.Do(req)
	require.NoError(p.T, err)
	require.NoError(p.T, resp.Body.Close())
	require.Less(p.T, resp.StatusCode, 300)
}

func TestReload(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums", "people"))
	p.Start()
	first := p.Until("all is well", allWell)

	p.Write("sites: [{name: photos, hots: [a]}]")
	s := p.Until("the bad file is told of", func(s server.Status) bool { return has(s, health.ConfigurationRefused) })
	require.False(t, s.OK)
	require.Equal(t, first.Revision, s.Revision)
	require.Equal(t, "photos", s.Sites[0].Name)

	p.Write(p.config(as.Issuer(), "people", "places"))
	p.Until("taken over", func(s server.Status) bool {
		return s.OK && s.Revision != first.Revision && s.Sites[0].Resources.Registered == 2 && len(as.Resources()) == 2
	})
	require.ElementsMatch(t, []string{"people", "places"}, names(as), "what is no longer declared is gone")
	require.Equal(t, 1, as.Count(devas.EndpointRegistration))
}

func TestPlaintextIsForLoopback(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.Write(strings.Replace(p.config("http://127.0.0.1:1", "albums"), `xds: "127.0.0.1:0"`, `xds: "0.0.0.0:0"`, 1))
	err := server.Run(t.Context(), server.Options{Path: p.Path(), Logger: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "listen.insecure_plaintext: true")
}

func TestAPIAnswersToLoopbackNamesOnly(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.Write(p.config("http://127.0.0.1:1", "albums"))
	p.Start()
	_, port, err := net.SplitHostPort(p.API)
	require.NoError(t, err)
	for host, code := range map[string]int{
		"localhost:" + port: 200, "127.0.0.1": 200, "[::1]:" + port: 200, "LOCALHOST": 200,
		"rebound.example.com:" + port: 421, "rebound.example.com": 421, "127.0.0.1.example.com": 421, "192.0.2.1:" + port: 421,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.API+"/v1/status", nil)
		require.NoError(t, err)
		req.Host = host
		p.Authorize(req)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, code, resp.StatusCode, host)
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
	}
}
