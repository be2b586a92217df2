package server_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/keycloak"
)

// post calls the API with a body of JSON.
func (p *plane) post(method, path, body string) (int, revoke.Revocation) {
	p.T.Helper()
	req, err := http.NewRequestWithContext(p.T.Context(), method, "http://"+p.API+path, strings.NewReader(body))
	require.NoError(p.T, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	p.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.T, err)
	defer resp.Body.Close()
	var out revoke.Revocation
	if resp.StatusCode/100 == 2 && resp.StatusCode != http.StatusNoContent {
		require.NoError(p.T, json.NewDecoder(resp.Body).Decode(&out))
	}
	return resp.StatusCode, out
}

func (p *plane) revocations() []revoke.Revocation {
	p.T.Helper()
	code, body := p.Get("/v1/revocations?limit=1000")
	require.Equal(p.T, http.StatusOK, code)
	var page api.Page[revoke.Revocation]
	require.NoError(p.T, json.Unmarshal([]byte(body), &page))
	return page.Items
}

// TestRevocationIsPublished: what is revoked is part of what Envoys get, also
// after a restart, until it is taken back.
func TestRevocationIsPublished(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	before := p.Until("all is well", allWell)
	ecds := func(s server.Status) string { return s.Pushed[xds.ECDS] }
	code, made := p.post(http.MethodPost, "/v1/revocations", `{"subject":"bob","site":"photos"}`)
	require.Equal(t, http.StatusCreated, code)
	after := p.Until("it is published", func(s server.Status) bool { return s.OK && ecds(s) != ecds(before) })
	require.Equal(t, before.Revision, after.Revision, "the file and the AS are as they were")
	require.Equal(t, before.Pushed[xds.CDS], after.Pushed[xds.CDS])

	p.Stop()
	p.Start()
	again := p.Until("all is well", allWell)
	require.Equal(t, ecds(after), ecds(again), "the same is in force after a restart")
	require.Equal(t, made.ID, p.revocations()[0].ID)

	code, _ = p.post(http.MethodDelete, made.Location(), "")
	require.Equal(t, http.StatusNoContent, code)
	p.Until("it is taken back", func(s server.Status) bool { return s.OK && ecds(s) == ecds(before) })

	// An AS that lets the resource server revoke is told.
	code, made = p.post(http.MethodPost, "/v1/revocations", `{"token":"t","site":"photos","at_authorization_server":true}`)
	require.Equal(t, http.StatusCreated, code)
	require.NotEmpty(t, made.AtAuthorizationServer)
}

// revokedByKeycloak lets a real Keycloak send what it sends when tokens are taken
// back, and asks it for what it does not send.
func revokedByKeycloak(t *testing.T, as *keycloak.Server, initial string) {
	t.Helper()
	p := newPlane(t)
	p.Write(strings.Replace(strings.Replace(p.config(as.Issuer(), "films"), "register: {}", `register: {initial_access_token: "`+initial+`"}`, 1),
		"  resources:", "  revocation: {client_ids: [app], not_before_every: 1s}\n  resources:", 1))
	p.Start()
	site := p.Until("all is well", allWell).Sites[0]
	base := "http://" + p.API + "/v1/sites/photos"
	has := func(what string, is func(r revoke.Revocation) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(p.revocations(), is)
		}, servertest.Within, 20*time.Millisecond, "%s: %v", what, p.revocations())
	}

	// A logout ends a session, which Keycloak tells the application's URL.
	logout := map[string]string{"backchannel.logout.url": base + "/backchannel-logout", "backchannel.logout.session.required": "true"}
	require.NoError(t, as.SetClientAttributes(t.Context(), keycloak.AppClient, logout))
	_, err := as.Token(t.Context(), "bob")
	require.NoError(t, err)
	require.NoError(t, as.Logout(t.Context(), "bob"))
	has("the session", func(r revoke.Revocation) bool { return r.Kind == revoke.Session && r.Source == revoke.FromLogout })
	logout["backchannel.logout.session.required"] = "false"
	require.NoError(t, as.SetClientAttributes(t.Context(), keycloak.AppClient, logout))
	_, err = as.Token(t.Context(), "bob")
	require.NoError(t, err)
	require.NoError(t, as.Logout(t.Context(), "bob"))
	has("the subject", func(r revoke.Revocation) bool { return r.Kind == revoke.Subject && !r.IssuedBefore.IsZero() })

	// A not-before of a client is pushed to its admin URL.
	setClient := func(clientID string, change map[string]any) string {
		t.Helper()
		var clients []map[string]any
		require.NoError(t, as.Admin(t.Context(), http.MethodGet, "/clients?clientId="+url.QueryEscape(clientID), nil, &clients))
		require.Len(t, clients, 1)
		maps.Copy(clients[0], change)
		path := "/clients/" + clients[0]["id"].(string)
		require.NoError(t, as.Admin(t.Context(), http.MethodPut, path, clients[0], nil))
		return path
	}
	at := time.Now().Add(-time.Minute).Unix()
	path := setClient(keycloak.AppClient, map[string]any{"adminUrl": base + "/keycloak", "notBefore": at})
	var answer map[string]any
	require.NoError(t, as.Admin(t.Context(), http.MethodPost, path+"/push-revocation", nil, &answer))
	require.NotContains(t, answer, "failedRequests")
	has("the application's not-before", func(r revoke.Revocation) bool {
		return r.Kind == revoke.Client && r.Value == keycloak.AppClient && r.IssuedBefore.Unix() == at
	})
	path = setClient(site.ClientID, map[string]any{"adminUrl": base + "/keycloak", "notBefore": at})
	require.NoError(t, as.Admin(t.Context(), http.MethodPost, path+"/push-revocation", nil, &answer))
	has("the site's not-before", func(r revoke.Revocation) bool { return r.Kind == revoke.Issued && r.IssuedBefore.Unix() == at })

	// The realm's not-before is pushed to nobody who has no admin URL: it is read.
	setClient(site.ClientID, map[string]any{"adminUrl": ""})
	setClient(keycloak.AppClient, map[string]any{"adminUrl": "", "notBefore": 0})
	require.NoError(t, as.Admin(t.Context(), http.MethodPut, "", map[string]any{"notBefore": at + 30}, nil))
	has("the realm's not-before", func(r revoke.Revocation) bool { return r.Kind == revoke.Issued && r.IssuedBefore.Unix() == at+30 })
	require.NoError(t, as.Admin(t.Context(), http.MethodPut, "", map[string]any{"notBefore": 0}, nil))

	// A key that signs from now on is known by the next message.
	require.NoError(t, as.RotateKeys(t.Context()))
	logout["backchannel.logout.session.required"] = "true"
	require.NoError(t, as.SetClientAttributes(t.Context(), keycloak.AppClient, logout))
	sessions := func() (n int) {
		for _, r := range p.revocations() {
			if r.Kind == revoke.Session {
				n++
			}
		}
		return n
	}
	known := sessions()
	_, err = as.Token(t.Context(), "bob")
	require.NoError(t, err)
	require.NoError(t, as.Logout(t.Context(), "bob"))
	require.Eventually(t, func() bool { return sessions() > known }, servertest.Within, 20*time.Millisecond)

	// Keycloak lets a client revoke only what it was issued itself, and says so.
	token, err := as.Token(t.Context(), "bob")
	require.NoError(t, err)
	body, err := json.Marshal(revoke.RevocationRequest{Token: token, AtAuthorizationServer: true})
	require.NoError(t, err)
	code, made := p.post(http.MethodPost, "/v1/revocations", string(body))
	require.Equal(t, http.StatusCreated, code)
	require.Contains(t, made.AtAuthorizationServer, "Unmatching clients")
	require.Less(t, time.Until(made.ExpiresAt), time.Hour, "as long as the token itself")
	require.NotContains(t, p.Log.String(), token)
	p.Stop()
}
