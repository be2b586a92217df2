package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

// call makes a call with the local token and decodes the answer.
func (p *plane) call(method, path string, out any) int {
	p.T.Helper()
	req, err := http.NewRequestWithContext(p.T.Context(), method, "http://"+p.API+path, nil)
	require.NoError(p.T, err)
	p.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.T, err)
	defer resp.Body.Close()
	if out != nil {
		require.NoError(p.T, json.NewDecoder(resp.Body).Decode(out))
	}
	return resp.StatusCode
}

func (p *plane) audited(query string) []server.AuditEvent {
	p.T.Helper()
	var page api.Page[server.AuditEvent]
	require.Equal(p.T, http.StatusOK, p.call(http.MethodGet, "/v1/audit?"+query, &page))
	return page.Items
}

func TestOperations(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Options.Intervals.Site.Sync, p.Options.Intervals.Site.Probe = 1<<40, 1<<40 // only when asked
	p.Write(p.config(as.Issuer(), "albums", "people"))
	p.Start()
	p.Until("all is well", allWell)

	code, text := p.Get(api.DocumentPath)
	require.Equal(t, http.StatusOK, code)
	document, err := openapi3.NewLoader().LoadFromData([]byte(text))
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()))

	var sites api.Page[server.SiteStatus]
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/v1/sites", &sites))
	require.Len(t, sites.Items, 1)
	require.Equal(t, server.ResourceStatus{Declared: 2, Registered: 2, SyncedAt: sites.Items[0].Resources.SyncedAt}, sites.Items[0].Resources)
	var site server.SiteStatus
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/v1/sites/photos", &site))
	require.Equal(t, registration.Serving, site.Phase)
	var problem api.Problem
	require.Equal(t, http.StatusNotFound, p.call(http.MethodGet, "/v1/sites/music", &problem))
	require.Equal(t, api.CodeNotFound, problem.Code)
	require.Equal(t, http.StatusNotFound, p.call(http.MethodGet, "/v1/envoys/nobody", &problem))

	var plan server.SitePlan
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/v1/sites/photos/plan", &plan))
	require.True(t, plan.InStep)
	p.deleteAtAS(as, as.Resources()[0].ID)
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/v1/sites/photos/plan", &plan))
	require.False(t, plan.InStep)
	require.Len(t, plan.Changes, 1)
	require.Len(t, as.Resources(), 1, "a plan changes nothing")

	before := site.Resources.SyncedAt
	var requested server.SyncRequested
	require.Equal(t, http.StatusAccepted, p.call(http.MethodPost, "/v1/sites/photos/sync", &requested))
	p.Until("synchronised", func(s server.Status) bool {
		return s.Sites[0].Resources.SyncedAt.After(before) && len(as.Resources()) == 2
	})

	synced := p.audited("action=site.sync")
	require.Len(t, synced, 1)
	require.Equal(t, audit.Actor{Kind: audit.KindAPI, Name: "local", Address: "127.0.0.1"}, synced[0].Actor)
	require.Equal(t, "photos", synced[0].Site)
	require.NotEmpty(t, synced[0].RequestID)
	created := p.audited("action=resource.create&site=photos")
	require.Len(t, created, 3, "two, and the one that was lost")
	require.Equal(t, audit.KindServe, created[0].Actor.Kind)
	registered := p.audited("action=client.register")
	require.Len(t, registered, 1)
	require.Equal(t, site.ClientID, registered[0].Target)
	require.Len(t, p.audited("limit=1"), 1)
	require.Empty(t, p.audited("site=music"))
	require.Empty(t, p.audited("until="+url.QueryEscape("2020-01-01T00:00:00Z")))

	// A page at a time, every event is told once, the newest first.
	all := p.audited("")
	var paged []server.AuditEvent
	for query := "limit=2"; ; {
		var page api.Page[server.AuditEvent]
		require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/v1/audit?"+query, &page))
		paged = append(paged, page.Items...)
		if page.NextCursor == "" {
			break
		}
		query = "limit=2&cursor=" + page.NextCursor
	}
	require.Equal(t, all, paged)

	// What a reload changed is told by key, never by value.
	p.Write(p.config(as.Issuer(), "albums"))
	p.Until("taken over", func(s server.Status) bool { return s.OK && s.Sites[0].Resources.Declared == 1 })
	reloads := p.audited("action=config.reload")
	require.Equal(t, "photos (resources)", reloads[0].Detail["changed"])
	p.Write("sites: [{name: photos, hots: [a]}]")
	p.Until("refused", func(s server.Status) bool { return has(s, health.ConfigurationRefused) })
	refused := p.audited("action=config.refused")
	require.Len(t, refused, 1)
	require.Equal(t, audit.Failed, refused[0].Outcome)
	p.RequireNoSecrets(as)
}

func TestRolesOfTokens(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	config := func(role string) string {
		return "api: {tokens: [{name: monitoring, token: {file: token}, role: " + role + "}]}\n" + p.config("http://127.0.0.1:1", "albums")
	}
	p.Beside("token", "monitoring-0123456789\n")
	p.Write(config("read"))
	p.Start()
	as := func(token, method, path string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.API+path, nil)
		require.NoError(t, err)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 200, as("monitoring-0123456789", "GET", "/v1/status"))
	require.Equal(t, 403, as("monitoring-0123456789", "POST", "/v1/sites/photos/sync"))
	require.Equal(t, 401, as("other-0123456789", "GET", "/v1/status"))
	require.Equal(t, 401, as("", "GET", "/v1/status"))
	for _, path := range []string{"/healthz", "/readyz", "/metrics", api.DocumentPath} {
		require.Equal(t, 200, as("", "GET", path), path)
	}

	// The token's file is watched like umagate.yaml.
	p.Beside("token", "another-0123456789\n")
	require.Eventually(t, func() bool { return as("another-0123456789", "GET", "/v1/status") == 200 }, servertest.Within, 5*time.Millisecond)
	require.Equal(t, 401, as("monitoring-0123456789", "GET", "/v1/status"))
	p.Write(config("write"))
	require.Eventually(t, func() bool { return as("another-0123456789", "POST", "/v1/sites/photos/sync") == 202 }, servertest.Within, 5*time.Millisecond)
	require.NotContains(t, p.Log.String(), "0123456789")
}

func TestProbes(t *testing.T) {
	t.Parallel()
	database := postgrestest.Start(t)
	silent := httptest.NewServer(http.NotFoundHandler())
	issuer := silent.URL
	silent.Close() // the AS is down from the start
	p := newPlane(t)
	p.Write(`store: "` + postgrestest.Database(t, database) + "\"\nstore_key: " + strings.Repeat("A", 43) + "=\n" + p.config(issuer, "albums"))
	p.Start()
	p.Until("the AS is missed", func(s server.Status) bool { return s.Sites[0].Failure != nil })
	var ready server.Readiness
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/readyz", &ready), "an AS that is down does not make it unready")
	require.Equal(t, "leader", ready.Role)
	require.NotEmpty(t, ready.Revision)

	database.Stop()
	var problem api.Problem
	require.Eventually(t, func() bool { return p.call(http.MethodGet, "/readyz", &problem) == http.StatusServiceUnavailable }, 3*servertest.Within, 5*time.Millisecond)
	require.Equal(t, api.CodeUnavailable, problem.Code)
	require.Contains(t, problem.Detail, "store")
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, "/healthz", nil), "a restart would not bring the store back")
}
