package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// TestRealKeycloak lets a real Keycloak judge registration, PAT and resources.
func TestRealKeycloak(t *testing.T) {
	t.Parallel()
	as := keycloaktest.Start(t)
	token, err := as.InitialAccessToken(t.Context(), 2)
	require.NoError(t, err)
	t.Run("revocation", func(t *testing.T) { revokedByKeycloak(t, as, token) })
	p := newPlane(t)
	config := func(resources ...string) string {
		return strings.Replace(p.config(as.Issuer(), resources...), "register: {}",
			`register: {initial_access_token: "`+token+`"}`, 1)
	}
	p.Write(config("albums", "people"))
	p.Start()
	first := p.Until("all is well", allWell)
	require.Equal(t, "keycloak", first.Sites[0].Dialect)
	require.Equal(t, 2, first.Sites[0].Resources.Registered)
	clientID := first.Sites[0].ClientID

	var clients []struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	require.NoError(t, as.Admin(t.Context(), http.MethodGet, "/clients?clientId="+clientID, nil, &clients))
	require.Len(t, clients, 1)
	type resource struct {
		ID                 string `json:"_id"`
		Name               string `json:"name"`
		Type               string `json:"type"`
		OwnerManagedAccess bool   `json:"ownerManagedAccess"`
		Scopes             []struct {
			Name string `json:"name"`
		} `json:"scopes"`
	}
	path := "/clients/" + clients[0].ID + "/authz/resource-server/resource"
	list := func() map[string]resource {
		t.Helper()
		var found []resource
		require.NoError(t, as.Admin(t.Context(), http.MethodGet, path, nil, &found))
		out := map[string]resource{}
		for _, r := range found {
			require.NotContains(t, out, r.Name, "registered twice")
			out[r.Name] = r
		}
		return out
	}
	require.Len(t, list(), 2)
	require.Equal(t, "https://example.com/albums", list()["albums"].Type)
	require.Len(t, list()["albums"].Scopes, 2)

	// A second start registers nothing twice; the initial access token is used up.
	p.Stop()
	p.Start()
	again := p.Until("all is well", allWell)
	require.Equal(t, clientID, again.Sites[0].ClientID)
	require.Len(t, list(), 2)

	// Drift is repaired, and what is Keycloak's own in a resource is kept.
	drifted := list()["albums"]
	require.NoError(t, as.Admin(t.Context(), http.MethodPut, path+"/"+drifted.ID, map[string]any{
		"_id": drifted.ID, "name": "albums", "type": "https://example.com/other", "ownerManagedAccess": true, "uris": []string{"/albums"},
		"scopes": []map[string]string{{"name": "view"}},
	}, nil))
	require.Eventually(t, func() bool {
		r := list()["albums"]
		return r.Type == "https://example.com/albums" && len(r.Scopes) == 2
	}, servertest.Within, 20*time.Millisecond)
	require.True(t, list()["albums"].OwnerManagedAccess)
	require.Equal(t, drifted.ID, list()["albums"].ID)

	// A lost resource is registered anew, under its new id.
	require.NoError(t, as.Admin(t.Context(), http.MethodDelete, path+"/"+drifted.ID, nil, nil))
	require.Eventually(t, func() bool { r, ok := list()["albums"]; return ok && r.ID != drifted.ID }, servertest.Within, 20*time.Millisecond)

	p.Write(config("people"))
	p.Until("what is no longer declared is gone", func(s server.Status) bool { return s.OK && s.Sites[0].Resources.Declared == 1 && len(list()) == 1 })

	// Another site of the same client neither takes over nor deletes what this one has,
	// also when this one stands in no file for the moment.
	have := list()["people"]
	shared := strings.NewReplacer("name: photos\n", "name: films\n", "photos.example.com", "films.example.com",
		"type: \"https://example.com/people\"", "type: \"https://example.com/films\", adopt: true",
		"register: {}", `id: "`+clientID+`", secret: "`+clients[0].Secret+`"`)
	p.Write(shared.Replace(p.config(as.Issuer(), "people")))
	taken := p.Until("it is told", func(s server.Status) bool { return s.Sites[0].Name == "films" && s.Sites[0].Failure != nil })
	require.Contains(t, taken.Sites[0].Failure.Message, "site photos: the AS has a resource of that name that another site has registered")
	p.Write(shared.Replace(p.config(as.Issuer(), "films")))
	p.Until("it has one of its own", func(s server.Status) bool { return s.OK && s.Sites[0].Resources.Registered == 1 })
	require.Equal(t, have, list()["people"], "it is as it was")
	p.Write(config("people"))
	p.Until("the first goes on", func(s server.Status) bool {
		return s.OK && s.Sites[0].Name == "photos" && s.Sites[0].Resources.Registered == 1
	})
	require.Equal(t, have, list()["people"])

	// An administrator deletes the client: without the right to register another,
	// that is told, with what to do.
	require.NoError(t, as.DeleteClient(t.Context(), clientID))
	failed := p.Until("it is told", func(s server.Status) bool {
		return s.Sites[0].Failure != nil && s.Sites[0].Phase == registration.Registering
	})
	require.Contains(t, failed.Sites[0].Failure.Remedy, "initial_access_token")
	second, err := as.InitialAccessToken(t.Context(), 1)
	require.NoError(t, err)
	p.Write(strings.Replace(config("people"), token, second, 1))
	p.Until("registered anew", func(s server.Status) bool { return s.OK && s.Sites[0].ClientID != clientID })
	shown := p.Log.String()
	require.NotContains(t, shown, token)
	require.NotContains(t, shown, second)
	require.NotContains(t, shown, clients[0].Secret)
}
