package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
)

// person is config for a site whose resources are a person's.
func (p *plane) person(issuer, client string, resources ...string) string {
	return strings.Replace(p.config(issuer, resources...), "client: {register: {}}",
		"client: {"+client+"}\n    pat: {grant: authorization_code}", 1)
}

// login logs alice in, as "umagate login" does.
func (p *plane) login() {
	p.T.Helper()
	const redirect = "http://127.0.0.1:1/callback"
	m := p.operation()
	login, err := m.Login(p.T.Context(), redirect)
	require.NoError(p.T, err)
	back := browser.New(p.T, nil).Visit(p.T, login.Address(), redirect, "alice", "alice")
	person, err := m.FinishLogin(p.T.Context(), login, back.Query())
	require.NoError(p.T, err)
	require.Equal(p.T, "alice", person.Name)
}

// grants counts the calls of the token endpoint by grant type and status.
func grants(as *devas.Server, grant string, status int) int {
	n := 0
	for _, c := range as.Calls(devas.EndpointToken) {
		if c.Form.Get("grant_type") == grant && c.Status == status {
			n++
		}
	}
	return n
}

func owned() devas.Options {
	return devas.Options{Users: []devas.User{{Name: "alice", Password: "alice"}}}
}

func TestPATOfAPerson(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"register: {}", "register: {}, token_endpoint_auth_method: client_secret_jwt", "register: {}, token_endpoint_auth_method: private_key_jwt"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, owned())
			p := newPlane(t)
			p.Write(strings.Replace(p.person(as.Issuer(), client, "albums"), "    pat:", "    timeout: 1m\n    introspection: {credential: pat}\n    pat:", 1))
			p.Start()
			s := p.Until("somebody has to log in", func(s server.Status) bool {
				return s.Sites[0].Failure != nil && s.Sites[0].Phase == registration.GettingPAT
			})
			require.Contains(t, s.Sites[0].Failure.Remedy, "umagate login --site")
			require.Zero(t, as.Count(devas.EndpointToken), "nothing is asked of the AS for that")
			p.login()
			p.Until("the running control plane goes on", allWell)
			require.Equal(t, "alice", as.Resources()[0].Owner)
			require.Equal(t, []string{"albums"}, names(as))
			require.Equal(t, 1, grants(as, "authorization_code", http.StatusOK))

			// A PAT that is refused is renewed once, with a refresh token that is good once.
			for i := range 3 {
				refreshed, pushed := grants(as, "refresh_token", http.StatusOK), p.Status().Pushed["sds"]
				as.ExpirePATs()
				p.Until("another PAT is pushed", func(s server.Status) bool { return s.OK && s.Pushed["sds"] != pushed })
				require.Equal(t, refreshed+1, grants(as, "refresh_token", http.StatusOK), "round %d: renewed once", i)
			}
			// A plan leaves the refresh token alone.
			p.Stop()
			as.ExpirePATs()
			kept := p.store()
			pat, err := kept.PAT(t.Context(), p.key(as))
			require.NoError(t, err)
			pat.IssuedAt, pat.ExpiresAt = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
			require.NoError(t, kept.PutPAT(t.Context(), p.key(as), pat))
			refreshed := grants(as, "refresh_token", http.StatusOK)
			_, err = p.dryRun().Plan(t.Context())
			require.ErrorContains(t, err, "a plan does not renew it")
			require.Contains(t, registration.Remedy(err), "umagate serve")
			require.Equal(t, refreshed, grants(as, "refresh_token", http.StatusOK))
			// A restart goes on with the refresh token that came last.
			p.Start()
			p.Until("all is well after a restart", func(s server.Status) bool { return s.OK })
			require.Zero(t, grants(as, "refresh_token", http.StatusBadRequest), "each refresh token was used once")
			require.Equal(t, 1, as.Count(devas.EndpointRegistration))
			p.RequireNoSecrets(as)
			shown := p.Log.String()
			for _, c := range as.Calls(devas.EndpointToken) {
				for _, name := range []string{"refresh_token", "code", "code_verifier"} {
					if value := c.Form.Get(name); value != "" {
						require.NotContains(t, shown, value)
					}
				}
			}
		})
	}
}

func TestLoginThatEnds(t *testing.T) {
	t.Parallel()
	options := owned()
	options.Lifetimes.RefreshToken = time.Hour
	var late atomic.Bool
	options.Clock = func() time.Time {
		if late.Load() {
			return time.Now().Add(2 * time.Hour)
		}
		return time.Now()
	}
	as := servertest.StartAS(t, options)
	p := newPlane(t)
	p.Write(p.person(as.Issuer(), "register: {}", "albums"))
	p.Start()
	p.Until("registered", func(s server.Status) bool { return s.Sites[0].ClientID != "" })
	p.login()
	first := p.Until("all is well", allWell)
	late.Store(true) // the refresh token is old
	as.ExpirePATs()
	s := p.Until("it is told", func(s server.Status) bool {
		return s.Sites[0].Failure != nil && strings.Contains(s.Sites[0].Failure.Remedy, "umagate login")
	})
	require.Equal(t, first.Pushed["sds"], s.Pushed["sds"], "Envoys keep the last")
	refused := grants(as, "refresh_token", http.StatusBadRequest)
	require.Equal(t, 1, refused)
	attempts := s.Sites[0].Failure.Attempts
	p.Until("tried again, in vain", func(s server.Status) bool {
		return s.Sites[0].Failure != nil && s.Sites[0].Failure.Attempts > attempts+3
	})
	require.Equal(t, refused, grants(as, "refresh_token", http.StatusBadRequest), "the dead token is not sent again")
	p.login()
	p.Until("all is well again", allWell)
}

func TestLoginAnswersThatAreNotOurs(t *testing.T) {
	t.Parallel()
	server := servertest.StartAS(t, owned())
	p := newPlane(t)
	p.Write(p.person(server.Issuer(), "register: {}", "albums"))
	m := p.operation()
	const redirect = "http://127.0.0.1:1/callback"
	tests := []struct {
		name   string
		change func(url.Values)
		kind   error
	}{
		{"another state", func(q url.Values) { q.Set("state", "other") }, as.ErrMalformed},
		{"another AS", func(q url.Values) { q.Set("iss", "https://other.example.com") }, as.ErrIssuer},
		{"refused", func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, as.ErrInvalidGrant},
		{"no code", func(q url.Values) { q.Del("code") }, as.ErrMalformed},
		{"another code", func(q url.Values) { q.Set("code", "stolen") }, as.ErrInvalidGrant},
	}
	for _, tt := range tests {
		login, err := m.Login(t.Context(), redirect)
		require.NoError(t, err)
		answer := browser.New(t, nil).Visit(t, login.Address(), redirect, "alice", "alice").Query()
		tt.change(answer)
		_, err = m.FinishLogin(t.Context(), login, answer)
		require.ErrorIs(t, err, tt.kind, tt.name)
		_, err = p.store().Login(t.Context(), p.key(server))
		require.Error(t, err, "%s: nothing is stored", tt.name)
	}
	// The code of one login is of no use in another: PKCE.
	first, err := m.Login(t.Context(), redirect)
	require.NoError(t, err)
	second, err := m.Login(t.Context(), redirect)
	require.NoError(t, err)
	answer := browser.New(t, nil).Visit(t, first.Address(), redirect, "alice", "alice").Query()
	answer.Set("state", second.State())
	_, err = m.FinishLogin(t.Context(), second, answer)
	require.ErrorIs(t, err, as.ErrInvalidGrant)
}

func TestNobodyHasToLogIn(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	_, err := p.operation().Login(t.Context(), "http://127.0.0.1:1/callback")
	require.ErrorIs(t, err, registration.ErrNoLogin)
	require.Zero(t, as.Count(devas.EndpointRegistration))
}
