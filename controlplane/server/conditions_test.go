package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// probing is a plane that asks its AS what Envoys ask, many times a second.
func probing(t *testing.T) *plane {
	t.Helper()
	p := newPlane(t)
	p.Options.Intervals.Site.Health = 30 * time.Millisecond
	return p
}

// TestProbesOfTheAS: each way in which the AS fails Envoys has its name, and ends by itself.
func TestProbesOfTheAS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault devas.Fault
		want  health.Kind
	}{
		{"introspection is refused", devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultStatus, Status: 401}, health.IntrospectionRefused},
		{"introspection fails", devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultStatus, Status: 500}, health.IntrospectionFailing},
		{"introspection is a page", devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultHTML}, health.IntrospectionFailing},
		{"introspection is of wrong types", devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultWrongTypes}, health.IntrospectionFailing},
		{"introspection is away", devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultDown}, health.AuthorizationServerUnreachable},
		{"tickets are refused", devas.Fault{Endpoint: devas.EndpointPermission, Kind: devas.FaultStatus, Status: 401}, health.TicketsRefused},
		{"tickets fail", devas.Fault{Endpoint: devas.EndpointPermission, Kind: devas.FaultStatus, Status: 500}, health.TicketsFailing},
		{"tickets are half there", devas.Fault{Endpoint: devas.EndpointPermission, Kind: devas.FaultTruncated}, health.AuthorizationServerUnreachable},
		{"tickets are limited", devas.Fault{Endpoint: devas.EndpointPermission, Kind: devas.FaultRateLimit, RetryAfter: time.Nanosecond}, health.TicketsFailing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{})
			p := probing(t)
			p.Write(p.config(as.Issuer(), "albums"))
			p.Start()
			p.Until("all is well", allWell)
			require.NoError(t, as.SetFault(c.fault))
			s := p.Until("it is told", func(s server.Status) bool { return has(s, c.want) })
			require.False(t, s.OK)
			require.NotEmpty(t, said(s, c.want))
			_, metrics := p.Get("/metrics")
			require.Contains(t, metrics, "umagate_ok 0")
			require.Contains(t, metrics, fmt.Sprintf(`umagate_condition{condition=%q,site="photos"} 1`, c.want.Name))
			require.Contains(t, metrics, `umagate_condition{condition="StoreFull",site=""} 0`)
			var ready server.Readiness
			require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/readyz", &ready), "another replica would do no better")
			require.Contains(t, ready.Conditions, c.want.Name)
			as.ClearFaults(devas.EndpointAny)
			p.Until("all is well again", allWell)
			p.RequireNoSecrets(as)
		})
	}
}

// TestProbesLookAtEveryResource: in turns, and those that the AS lost are found among many.
func TestProbesLookAtEveryResource(t *testing.T) {
	t.Parallel()
	const many = 130
	as := servertest.StartAS(t, devas.Options{})
	p := probing(t)
	p.Options.Intervals.Site.Sync = time.Hour // so that only a probe finds out
	p.Options.Intervals.Site.Probe = time.Hour
	resources := make([]string, many)
	for i := range resources {
		resources[i] = fmt.Sprintf("r%03d", i)
	}
	p.Write(p.config(as.Issuer(), resources...))
	p.Start()
	p.Until("all is well", allWell)
	for _, lost := range []string{"r003", "r128"} {
		for _, r := range as.Resources() {
			if r.Name == lost {
				p.deleteAtAS(as, r.ID)
			}
		}
	}
	require.Eventually(t, func() bool { return len(as.Resources()) == many }, servertest.Within, 20*time.Millisecond, "registered anew")
	require.Contains(t, p.Log.String(), "condition=ResourceMissing")

	// Policies on those before do not count: somebody has to look at that.
	p.Until("it is told", func(s server.Status) bool { return said(s, health.PoliciesLost) == "r003, r128" })
	p.Stop()
	p.Start()
	p.Until("it is told after a restart", func(s server.Status) bool { return said(s, health.PoliciesLost) == "r003, r128" })
	for _, name := range []string{"r003", "r128"} {
		require.Equal(t, http.StatusNoContent, p.call(http.MethodDelete, "/v1/sites/photos/lost/"+name, nil))
	}
	require.Equal(t, http.StatusNotFound, p.call(http.MethodDelete, "/v1/sites/photos/lost/r003", nil))
	p.Until("all is well again", allWell)
}

// TestCandidateIsTried: another client or AS is not taken over before it works.
func TestCandidateIsTried(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{Clients: []devas.Client{{
		ID: "rs", Secret: "rs-secret-1", Metadata: devas.Metadata{GrantTypes: []string{"client_credentials"}, Scope: "uma_protection"},
	}}})
	p := probing(t)
	config := func(issuer, client string, resources ...string) string {
		return strings.Replace(p.config(issuer, resources...), "register: {}", client, 1)
	}
	p.Write(config(as.Issuer(), "id: rs, secret: rs-secret-1", "albums"))
	p.Start()
	first := p.Until("all is well", allWell)

	p.Write(config(as.Issuer(), "id: rs, secret: wrong-secret", "albums", "people"))
	refused := p.Until("it is told, and nothing else is the matter", func(s server.Status) bool {
		return slices.Equal(health.Names(s.Conditions), []string{health.CandidateRefused.Name})
	})
	require.Equal(t, first.Revision, refused.Revision)
	require.Equal(t, first.Pushed, refused.Pushed, "Envoys keep what works")
	require.Contains(t, refused.Conditions[0].Remedy, "authorization_server.client")
	require.NotContains(t, p.Log.String(), "wrong-secret")

	other := servertest.StartAS(t, devas.Options{})
	require.NoError(t, other.SetFault(devas.Fault{Endpoint: devas.EndpointPermission, Kind: devas.FaultStatus, Status: 500}))
	p.Write(config(other.Issuer(), "register: {}", "albums"))
	s := p.Until("it is told", func(s server.Status) bool {
		return strings.Contains(said(s, health.CandidateRefused), "permission ticket")
	})
	require.Equal(t, first.Pushed, s.Pushed)
	other.ClearFaults(devas.EndpointAny)
	p.Until("it works, and is taken over by itself", func(s server.Status) bool { return s.OK && s.Sites[0].Issuer == other.Issuer() })
	require.Equal(t, []string{"albums"}, names(other), "with what was registered in the trial")

	// Where what is in use is refused, there is nothing to lose.
	p.Write(config(as.Issuer(), "id: rs, secret: rs-secret-1", "albums"))
	p.Until("back", func(s server.Status) bool { return s.OK && s.Sites[0].Issuer == as.Issuer() })
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultStatus, Status: 401}))
	p.Until("it is refused", func(s server.Status) bool { return has(s, health.IntrospectionRefused) })
	p.Write(config(as.Issuer(), "id: rs, secret: wrong-secret", "albums"))
	p.Until("taken over", func(s server.Status) bool { return !has(s, health.CandidateRefused) && has(s, health.PATFailing) })
}
