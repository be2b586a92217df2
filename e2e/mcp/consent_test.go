package mcp_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// consent asks the AS for each tool, and shows what it permits.
const consent = `
  challenge: bearer
  mcp_lists: permitted
  token: {evaluate: at_as, max_ttl: 1s, negative_ttl: 1s, audiences: ["URL"]}
  resources:
  - name: albums
    conditions:
    - {paths: [/mcp], scopes: [open]}
    - {paths: [/mcp], mcp: {tools: [get_album]}, scopes: [get_album]}
    - {paths: [/mcp], mcp: {tools: [delete_album]}, scopes: [delete_album]}
    - {paths: [/mcp], mcp: {tools: [print_album]}, scopes: [print_album]}
    - {paths: [/mcp], mcp: {tools: ["*_album"]}, scopes: [change_album]}
`

// consentScopes are all that it asks for.
var consentScopes = []string{"open", getAlbum, deleteAlbum, "print_album", "change_album"}

// askConsent has the world ask for consent.
func (w *world) askConsent() {
	w.t.Helper()
	w.file = strings.Replace(w.file, "name: Albums}", "name: Albums, scopes: [openid]}", 1)
	w.change(strings.Replace(consent, "URL", w.url, 1))
}

// owner gives bob scopes on the albums, each by itself, and takes one back.
type owner struct {
	permit   func(t *testing.T)
	takeBack func(t *testing.T, scope string)
	// byTicket tells that the AS is asked by tickets, and so not because of a list.
	byTicket bool
}

// await calls until what it returns is true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New(what+": not so"))
	defer cancel()
	for !done() {
		require.NoError(t, context.Cause(ctx))
	}
}

// takenBack has each agent try every tool after one was taken back: that one is refused, and
// not shown, and the others are as before.
func takenBack(t *testing.T, w *world, o owner) {
	t.Helper()
	w.person = "bob"
	w.askConsent()
	for name, connect := range agents() {
		t.Run(name, func(t *testing.T) {
			o.permit(t)
			a := connect(t.Context(), t, w)
			if !o.byTicket {
				await(t, "all are shown", func() bool { return slices.Equal(a.list(t), toolsBut()) })
			}
			for _, tool := range toolsBut() {
				await(t, tool+" is permitted", func() bool {
					text, _ := a.call(t, tool)
					return strings.Contains(text, everyTool[tool])
				})
			}
			o.takeBack(t, deleteAlbum)
			took := time.Now()
			await(t, "it is refused", func() bool {
				_, problem := a.call(t, deleteAlbum)
				return problem != ""
			})
			t.Logf("refused %.2f s after it was taken back", time.Since(took).Seconds())
			for _, tool := range toolsBut() {
				text, problem := a.call(t, tool)
				if tool == deleteAlbum {
					require.Contains(t, problem, "insufficient_permission", tool)
					continue
				}
				require.Empty(t, problem, tool)
				require.Contains(t, text, everyTool[tool])
			}
			require.NotContains(t, a.list(t), deleteAlbum)
			if !o.byTicket {
				await(t, "the others are shown", func() bool { return slices.Equal(a.list(t), toolsBut(deleteAlbum)) })
			}
			require.Len(t, a.asked(), 1, "nobody logs in again")
		})
	}
}

// TestTakenBack is that with the dev AS.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{
		Scopes: append([]string{"openid"}, consentScopes...), Users: []devas.User{{Name: "bob", Password: "bob"}},
	})
	w := newWorld(t, reserve(t), as.Issuer(), "{register: {}}")
	takenBack(t, w, owner{
		byTicket: true,
		permit: func(t *testing.T) {
			t.Helper()
			for _, scope := range consentScopes {
				_, err := as.Permit(devas.Policy{ID: scope, Resource: "albums", Scopes: []string{scope}, Subjects: []string{"bob"}})
				require.NoError(t, err)
			}
		},
		takeBack: func(t *testing.T, scope string) {
			t.Helper()
			require.True(t, as.Forbid(scope))
		},
	})
}

// TestTakenBackAtKeycloak is that with a real Keycloak.
func TestTakenBackAtKeycloak(t *testing.T) {
	t.Parallel()
	as := keycloaktest.Start(t)
	address := reserve(t)
	admin := func(t *testing.T, method, path string, in, out any) {
		t.Helper()
		require.NoError(t, as.Admin(t.Context(), method, path, in, out))
	}
	admin(t, http.MethodPost, "/clients", map[string]any{
		"clientId": "albums-api", "secret": "albums-secret", "serviceAccountsEnabled": true, "standardFlowEnabled": false, "authorizationServicesEnabled": true,
	}, nil)
	audience := func(name, member, value string) map[string]any {
		return map[string]any{
			"name": name, "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
			"config": map[string]string{member: value, "access.token.claim": "true", "introspection.token.claim": "true"},
		}
	}
	admin(t, http.MethodPost, "/clients", map[string]any{
		"clientId": "agent", "publicClient": true, "redirectUris": []string{callback}, "optionalClientScopes": []string{"offline_access"},
		"attributes": map[string]string{"pkce.code.challenge.method": "S256"},
		"protocolMappers": []map[string]any{
			audience("resource", "included.custom.audience", "http://"+address+serverPath), audience("api", "included.client.audience", "albums-api"),
		},
	}, nil)
	w := newWorld(t, address, as.Issuer(), "{id: albums-api, secret: albums-secret}")
	w.clients = map[string]string{"go": "agent", "python": "agent", "typescript": "agent"}
	id, err := as.ClientIn(t.Context(), keycloak.Realm, "albums-api")
	require.NoError(t, err)
	authorization := "/clients/" + id + "/authz/resource-server"
	takenBack(t, w, owner{
		permit: func(t *testing.T) {
			t.Helper()
			grants := make([]keycloak.Grant, len(consentScopes))
			for i, scope := range consentScopes {
				grants[i] = keycloak.Grant{Persons: []string{"bob"}, Scopes: []string{scope}}
			}
			require.NoError(t, as.ImportPolicies(t.Context(), "albums-api", grants...))
		},
		takeBack: func(t *testing.T, scope string) {
			t.Helper()
			var found []struct{ ID, Name string }
			admin(t, http.MethodGet, authorization+"/permission?scope="+url.QueryEscape(scope), nil, &found)
			require.Len(t, found, 1)
			admin(t, http.MethodDelete, authorization+"/policy/"+found[0].ID, nil, nil)
		},
	})
}
