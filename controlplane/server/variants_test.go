package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

func TestGivenClient(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{Registration: devas.RegistrationOff, Clients: []devas.Client{{
		ID: "rs", Secret: "rs-secret-1", Metadata: devas.Metadata{GrantTypes: []string{"client_credentials"}, Scope: "uma_protection"},
	}}})
	p := newPlane(t)
	given := strings.Replace(p.config(as.Issuer(), "albums"), "register: {}", "id: rs, secret: rs-secret-1", 1)
	p.Write(strings.Replace(given, "rs-secret-1", "wrong-secret", 1))
	p.Start()
	s := p.Until("the refusal is told", func(s server.Status) bool { return s.Sites[0].Failure != nil })
	require.Equal(t, registration.GettingPAT, s.Sites[0].Phase)
	require.Contains(t, s.Sites[0].Failure.Remedy, "authorization_server.client")
	p.Write(given)
	s = p.Until("all is well", allWell)
	require.Equal(t, "rs", s.Sites[0].ClientID)
	require.False(t, s.Sites[0].Registered)
	require.Zero(t, as.Count(devas.EndpointRegistration))
	require.NotContains(t, p.Log.String(), "wrong-secret")
	p.RequireNoSecrets(as)
}

func TestRegistrationNeedsAToken(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{
		Registration: devas.RegistrationToken, InitialAccessTokens: []devas.InitialAccessToken{{Token: "initial-token-1", Uses: 1}},
	})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	s := p.Until("the refusal is told", func(s server.Status) bool { return s.Sites[0].Failure != nil })
	require.Equal(t, registration.Registering, s.Sites[0].Phase)
	require.Contains(t, s.Sites[0].Failure.Remedy, "initial_access_token")
	p.Write(strings.Replace(p.config(as.Issuer(), "albums"), "register: {}", "register: {initial_access_token: initial-token-1}", 1))
	p.Until("all is well", allWell)
	p.RequireNoSecrets(as)
	require.NotContains(t, p.Log.String(), "a registration was begun and its answer is not known", "a refusal leaves nothing behind")
}

func TestOAuthScopesNeedNeitherPATNorResources(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(strings.Replace(p.config(as.Issuer(), "albums"), "  resources:\n", "  require: oauth_scopes\n  token: {audiences: [photos]}\n  resources:\n", 1))
	p.Start()
	s := p.Until("all is well", allWell)
	require.True(t, s.Sites[0].PATExpiresAt.IsZero())
	require.Zero(t, s.Sites[0].Resources.Declared)
	require.Empty(t, as.Resources())
	require.Zero(t, as.Count(devas.EndpointToken))
}

func TestManyResources(t *testing.T) {
	t.Parallel()
	const many = 300
	as := servertest.StartAS(t, devas.Options{Dialect: devas.Keycloak()})
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultStatus, Status: 503, Skip: 40, Count: 5}))
	p := newPlane(t)
	resources := make([]string, many)
	for i := range resources {
		resources[i] = fmt.Sprintf("r%03d", i)
	}
	p.Write(p.config(as.Issuer(), resources...))
	p.Start()
	s := p.Until("all is well", allWell)
	require.Equal(t, many, s.Sites[0].Resources.Registered)
	require.ElementsMatch(t, resources, names(as))
}

func TestOneSiteDoesNotWaitForAnother(t *testing.T) {
	t.Parallel()
	up := servertest.StartAS(t, devas.Options{})
	down := servertest.StartAS(t, devas.Options{})
	require.NoError(t, down.SetFault(devas.Fault{Endpoint: devas.EndpointAny, Kind: devas.FaultHang}))
	p := newPlane(t)
	first := p.config(up.Issuer(), "albums")
	_, second, _ := strings.Cut(strings.NewReplacer("name: photos", "name: films", "photos.example.com", "films.example.com").Replace(p.config(down.Issuer(), "reels")), "sites:\n")
	p.Write(first + second)
	p.Start()
	s := p.Until("the one serves", func(s server.Status) bool { return s.Sites[0].Phase == registration.Serving })
	require.Equal(t, registration.Discovering, s.Sites[1].Phase)
	require.False(t, s.OK)
	down.ClearFaults(devas.EndpointAny)
	p.Until("both serve", allWell)
}

func TestSecretThatExpiresAtOnce(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{Lifetimes: devas.Lifetimes{ClientSecret: time.Second}})
	p := newPlane(t)
	p.Options.Intervals.Site.Forgotten = time.Hour
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	s := p.Until("registered", func(s server.Status) bool { return s.Sites[0].ClientID != "" })
	checks := as.Count(devas.EndpointResources)
	p.Until("at work", func(server.Status) bool { return as.Count(devas.EndpointResources) > checks+5 })
	require.Equal(t, s.Sites[0].ClientID, p.Status().Sites[0].ClientID)
	require.Equal(t, 1, as.Count(devas.EndpointRegistration), "one client, whatever its secret's lifetime")
}

func TestRefusedReregistrationLosesNothing(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	// For a while, the AS refuses everything of ours: its own database is gone.
	for _, e := range []devas.Endpoint{devas.EndpointToken, devas.EndpointRegistration, devas.EndpointResources} {
		require.NoError(t, as.SetFault(devas.Fault{Endpoint: e, Kind: devas.FaultStatus, Status: 401}))
	}
	refused := as.Count(devas.EndpointRegistration)
	p.Until("a new registration is refused", func(server.Status) bool { return as.Count(devas.EndpointRegistration) > refused+2 })
	p.Stop()
	as.ClearFaults(devas.EndpointAny)
	p.Start()
	again := p.Until("all is well again", allWell)
	require.Equal(t, first.Sites[0].ClientID, again.Sites[0].ClientID, "the client of before")
	require.Equal(t, []string{"albums"}, names(as))
}

func TestMetadataThatGetsWorseStopsNothing(t *testing.T) {
	t.Parallel()
	var worse atomic.Bool
	var as *devas.Server // set before anything is asked
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if worse.Load() && strings.Contains(r.URL.Path, "/.well-known/") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, as.Issuer(), as.Issuer()+"/token")
			return
		}
		as.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	var err error
	as, err = devas.New(devas.Options{Issuer: front.URL, Lifetimes: devas.Lifetimes{AccessToken: 2 * time.Second}})
	require.NoError(t, err)
	p := newPlane(t)
	p.Options.Intervals.Site.Discover = 10 * time.Millisecond
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	worse.Store(true)
	tokens := as.Count(devas.EndpointToken)
	s := p.Until("the PAT is renewed all the same", func(server.Status) bool { return as.Count(devas.EndpointToken) > tokens })
	require.Equal(t, first.Revision, s.Revision)
	require.Contains(t, p.Log.String(), "the endpoints known so far stay in use")
}

func TestSiteThatNeedsNoPATAnyMore(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	require.False(t, first.Sites[0].PATExpiresAt.IsZero())
	p.Write(strings.Replace(p.config(as.Issuer(), "albums"), "  resources:\n", "  require: oauth_scopes\n  token: {audiences: [photos]}\n  resources:\n", 1))
	p.Until("the PAT is given up", func(s server.Status) bool {
		return s.OK && s.Revision != first.Revision && s.Sites[0].PATExpiresAt.IsZero() && s.Sites[0].PATRenewsAt.IsZero() && s.Pushed["sds"] != first.Pushed["sds"]
	})
}
