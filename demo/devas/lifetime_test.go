package devas_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

// clock is a time that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	c := newClock()
	k := newKit(t, devas.Options{Clock: c.Now, Lifetimes: devas.Lifetimes{
		AccessToken: 10 * time.Minute, PAT: time.Minute, RPT: 5 * time.Minute, Permission: 2 * time.Minute, Ticket: 30 * time.Second,
	}})
	id := k.resource(t, "album", "view")
	_, err := k.Permit(devas.Policy{Resource: id, Subjects: []string{"*"}})
	require.NoError(t, err)

	a := k.json(t, http.MethodPost, "/uma/permission", map[string]any{"resource_id": id, "resource_scopes": []string{"view"}})
	old, _ := a.body["ticket"].(string)
	rpt, bob := k.rpt(t, "alice", id, "view"), k.party(t, "bob")
	permissions := func() any { return k.introspect(t, rpt).body["permissions"] }

	c.advance(30 * time.Second)
	a = k.post(t, "/token", bob, url.Values{"grant_type": {devas.GrantUMA}, "ticket": {old}})
	require.Equal(t, "invalid_grant", a.body["error"], "the ticket is over")
	require.Equal(t, 200, k.json(t, http.MethodGet, "/uma/resources", nil).status)
	c.advance(30 * time.Second)
	require.Equal(t, 401, k.json(t, http.MethodGet, "/uma/resources", nil).status, "the PAT is over")
	require.NotEmpty(t, permissions())
	c.advance(time.Minute)
	require.Empty(t, permissions(), "the permission is over")
	require.Equal(t, true, k.introspect(t, rpt).body["active"], "the RPT is not")
	c.advance(3 * time.Minute)
	require.Equal(t, false, k.introspect(t, rpt).body["active"])
	require.Equal(t, true, k.introspect(t, bob).body["active"])
	c.advance(5 * time.Minute)
	require.Equal(t, false, k.introspect(t, bob).body["active"])
}

func TestLiveIntrospection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		live bool
	}{{"at the next grant", false}, {"at the next introspection", true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, devas.Options{LiveIntrospection: tt.live})
			id := k.resource(t, "album", "view")
			policy, err := k.Permit(devas.Policy{Resource: id, Subjects: []string{"alice"}})
			require.NoError(t, err)
			rpt := k.rpt(t, "alice", id, "view")
			require.True(t, k.Forbid(policy))
			require.Equal(t, 403, k.grant(t, "alice", id, "view").status)
			if tt.live {
				require.Empty(t, k.introspect(t, rpt).body["permissions"])
			} else {
				require.NotEmpty(t, k.introspect(t, rpt).body["permissions"])
			}
		})
	}
}

func TestClientSecretExpires(t *testing.T) {
	t.Parallel()
	c := newClock()
	k := &kit{Server: start(t, devas.Options{Clock: c.Now, Lifetimes: devas.Lifetimes{ClientSecret: time.Hour}})}
	a := k.register(t, "/register", `{"grant_types":["client_credentials"]}`)
	require.InDelta(t, c.Now().Add(time.Hour).Unix(), a.body["client_secret_expires_at"], 0)
	id, _ := a.body["client_id"].(string)
	secret, _ := a.body["client_secret"].(string)
	token := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.Issuer()+"/token", strings.NewReader("grant_type=client_credentials"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(id, secret)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, token())
	c.advance(time.Hour)
	require.Equal(t, 401, token())
}

func TestRefreshedRPTKeepsItsPermissions(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	id := k.resource(t, "album", "view")
	_, err := k.Permit(devas.Policy{Resource: id, Clients: []string{"rs"}})
	require.NoError(t, err)
	a := k.json(t, http.MethodPost, "/uma/permission", map[string]any{"resource_id": id, "resource_scopes": []string{"view"}})
	ticket, _ := a.body["ticket"].(string)
	// A client that is permitted by itself: no person is asked for.
	a = k.post(t, "/token", "", url.Values{"grant_type": {devas.GrantUMA}, "ticket": {ticket}})
	require.Equal(t, 200, a.status, a.raw)
	require.NotContains(t, a.body, "pct", "there is nobody to remember")
	refresh, _ := a.body["refresh_token"].(string)
	k.ForbidAll()
	a = k.post(t, "/token", "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	require.Equal(t, 200, a.status, a.raw)
	rpt, _ := a.body["access_token"].(string)
	require.NotEmpty(t, k.introspect(t, rpt).body["permissions"])
}

func TestAPersonsOwnPAT(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	mine := k.resource(t, "of the resource server", "view")
	a := k.post(t, "/token", "", url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice"}, "scope": {"uma_protection"}})
	require.Equal(t, 200, a.status, a.raw)
	k.pat, _ = a.body["access_token"].(string)
	hers := k.resource(t, "of alice", "view")
	require.Equal(t, []any{hers}, k.json(t, http.MethodGet, "/uma/resources", nil).list)
	require.Equal(t, 404, k.json(t, http.MethodGet, "/uma/resources/"+mine, nil).status)
	k.rpt(t, "alice", hers, "view") // The owner needs no policy.
	require.Equal(t, 403, k.grant(t, "bob", hers, "view").status)
}

func TestAnExpiredIDTokenSaysNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	k := newKit(t, devas.Options{Clock: c.Now, Lifetimes: devas.Lifetimes{PAT: time.Hour, IDToken: time.Minute}})
	id := k.resource(t, "album", "view")
	_, err := k.Permit(devas.Policy{Resource: id, Subjects: []string{"alice"}})
	require.NoError(t, err)
	a := k.post(t, "/token", "", url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice"}, "scope": {"openid"}})
	idToken, _ := a.body["id_token"].(string)
	require.NotEmpty(t, idToken)
	grant := func() answer {
		a := k.json(t, http.MethodPost, "/uma/permission", map[string]any{"resource_id": id, "resource_scopes": []string{"view"}})
		ticket, _ := a.body["ticket"].(string)
		return k.post(t, "/token", "", url.Values{
			"grant_type": {devas.GrantUMA}, "ticket": {ticket}, "claim_token": {idToken}, "claim_token_format": {devas.FormatIDToken},
		})
	}
	require.Equal(t, 200, grant().status)
	c.advance(time.Minute)
	require.Equal(t, "need_info", grant().body["error"])
}
