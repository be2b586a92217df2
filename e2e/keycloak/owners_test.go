package keycloak_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// told is how long it may take until status says what users meet.
const told = 15 * time.Second

// follower does what docs/owners.md says, word by word.
type follower struct {
	*servertest.Plane

	as *keycloak.Server
}

// follow runs the blocks of a section of the page.
func (f *follower) follow(section string) {
	f.T.Helper()
	keycloaktest.Page{
		Root: filepath.Join("..", ".."), Document: "docs/owners.md", AS: f.as, Dir: f.Dir,
		Here: func(text string) string { return strings.ReplaceAll(text, "127.0.0.1:8090", f.API) },
		Configure: func(text string) {
			f.Write("listen: {api: \"127.0.0.1:0\", xds: \"127.0.0.1:0\", instances: \"127.0.0.1:0\"}\nplugin: {wasm: umagate.wasm}\n" + text)
		},
		Instead: map[string]func(){"umagate serve -c umagate.yaml\n": func() {
			f.Start()
			f.Until("it serves", allWell)
		}},
	}.Follow(f.T, section)
}

func allWell(s server.Status) bool { return s.OK && len(s.Sites) == 1 }

// admin calls the administration API of the page's realm.
func (f *follower) admin(method, path, body string) map[string]any {
	f.T.Helper()
	token, err := f.as.AdminToken(f.T.Context())
	require.NoError(f.T, err)
	status, answer := call(f.T.Context(), f.T, method, f.as.URL()+"/admin/realms/photos"+path, token, "application/json", body)
	require.Equal(f.T, 2, status/100, "%s %s: %v", method, path, answer)
	return answer
}

// api calls the control plane's.
func (f *follower) api(method, path, body string) (int, server.Instance) {
	f.T.Helper()
	req, err := http.NewRequestWithContext(f.T.Context(), method, "http://"+f.API+"/v1/sites/photos/"+path, strings.NewReader(body))
	require.NoError(f.T, err)
	req.Header.Set("Content-Type", "application/json")
	f.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(f.T, err)
	defer resp.Body.Close()
	var out server.Instance
	if resp.StatusCode != http.StatusNoContent {
		require.NoError(f.T, json.NewDecoder(resp.Body).Decode(&out))
	}
	return resp.StatusCode, out
}

func (f *follower) token(form url.Values, bearer string) (int, string) {
	f.T.Helper()
	status, answer := call(f.T.Context(), f.T, http.MethodPost, f.as.URL()+"/realms/photos/protocol/openid-connect/token", bearer, "application/x-www-form-urlencoded", form.Encode())
	token, _ := answer["access_token"].(string)
	return status, token
}

func (f *follower) person(name string) string {
	f.T.Helper()
	status, token := f.token(url.Values{"grant_type": {"password"}, "client_id": {"app"}, "username": {name}, "password": {name}}, "")
	require.Equal(f.T, http.StatusOK, status)
	return token
}

// share has alice let bob see a resource, as the account console does.
func (f *follower) share(id string) {
	f.T.Helper()
	status, answer := call(f.T.Context(), f.T, http.MethodPut, f.as.URL()+"/realms/photos/account/resources/"+id+"/permissions", f.person("alice"), "application/json",
		`[{"username":"bob","scopes":["view"]}]`)
	require.Equal(f.T, http.StatusNoContent, status, answer)
}

// getsIn reports whether a person gets an RPT for a resource.
func (f *follower) getsIn(name, id string) bool {
	f.T.Helper()
	status, pat := f.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {"photos-api"}, "client_secret": {"photos-api-secret"}}, "")
	require.Equal(f.T, http.StatusOK, status)
	status, answer := call(f.T.Context(), f.T, http.MethodPost, f.as.URL()+"/realms/photos/authz/protection/permission", pat, "application/json",
		`[{"resource_id":"`+id+`","resource_scopes":["view"]}]`)
	require.Equal(f.T, http.StatusCreated, status, answer)
	status, _ = f.token(url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "ticket": {answer["ticket"].(string)}}, f.person(name))
	return status == http.StatusOK
}

// tells waits for the conditions to be those, and gives how long that took.
func (f *follower) tells(kinds ...health.Kind) time.Duration {
	f.T.Helper()
	began := time.Now()
	names := []string{}
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	f.Until("status tells "+strings.Join(names, ", "), func(s server.Status) bool { return slices.Equal(health.Names(s.Conditions), names) })
	return time.Since(began)
}

// TestOwnersPage follows the page on owners from an empty realm, and then does what the page
// says of failures and losses.
func TestOwnersPage(t *testing.T) {
	t.Setenv("PHOTOS_API_SECRET", "photos-api-secret")
	f := &follower{Plane: servertest.New(t), as: keycloaktest.Start(t)}
	f.Options.Intervals = server.Intervals{} // those of production
	f.follow("On Keycloak, from an empty realm")
	f.admin(http.MethodPost, "/clients", `{"clientId":"app","publicClient":true,"directAccessGrantsEnabled":true}`)
	f.admin(http.MethodPost, "/users", `{"username":"bob","enabled":true,"email":"bob@example.com","firstName":"B","lastName":"B","credentials":[{"type":"password","value":"bob"}]}`)

	f.follow("Register albums that exist already") // whose last call removes it again
	_, gone := f.api(http.MethodGet, "resources/album-7", "")
	require.Empty(t, gone.Name)
	const album = `{"resource":"album-{id}","path":"/albums/7","owner":"alice"}`
	status, first := f.api(http.MethodPost, "resources", album)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, store.InstanceRegistered, first.State, first.Failure)
	require.Len(t, first.Owner, 36, "her id")
	status, again := f.api(http.MethodPost, "resources", album)
	require.Equal(t, http.StatusCreated, status, "idempotent, by the user name, too")
	require.Equal(t, first.ResourceID, again.ResourceID)
	require.False(t, f.getsIn("bob", first.ResourceID))
	f.share(first.ResourceID)
	require.True(t, f.getsIn("bob", first.ResourceID))
	require.True(t, f.getsIn("alice", first.ResourceID))

	// What Keycloak does not take stays, is told with what to do, and outlives a start.
	status, refused := f.api(http.MethodPost, "resources", `{"resource":"album-{id}","path":"/albums/8","owner":"carol"}`)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, store.InstancePending, refused.State)
	require.Contains(t, refused.Failure, "not by the e-mail address")
	require.LessOrEqual(t, f.tells(health.InstancePending), told)
	f.Stop()
	f.Start()
	require.LessOrEqual(t, f.tells(health.InstancePending), told)
	require.Contains(t, f.Status().Conditions[0].Message, "carol")
	f.admin(http.MethodPost, "/users", `{"username":"carol","enabled":true}`)
	f.tells() // it is tried again

	// An album that is gone at Keycloak is told, and made again for its owner; nobody gets in
	// by what she had shared.
	began := time.Now()
	f.admin(http.MethodDelete, "/clients/"+f.clientID()+"/authz/resource-server/resource/"+first.ResourceID, "")
	f.Until("it is told", func(s server.Status) bool { return len(s.Conditions) > 0 })
	require.LessOrEqual(t, time.Since(began), told)
	t.Logf("told after %s", time.Since(began).Round(time.Millisecond))
	f.tells(health.PoliciesLost)
	t.Logf("made again after %s", time.Since(began).Round(time.Millisecond))
	_, made := f.api(http.MethodGet, "resources/album-7", "")
	require.Equal(t, store.InstanceRegistered, made.State)
	require.NotEqual(t, first.ResourceID, made.ResourceID)
	require.Equal(t, first.Owner, made.Owner)
	require.False(t, f.getsIn("bob", made.ResourceID))
	f.share(made.ResourceID)
	require.True(t, f.getsIn("bob", made.ResourceID))
	status, _ = f.api(http.MethodDelete, "lost/album-7", "")
	require.Equal(t, http.StatusNoContent, status)
	f.tells()

	// Its tokens have the rights that the page gives, and no other.
	_, pat := f.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {"photos-api"}, "client_secret": {"photos-api-secret"}}, "")
	for _, path := range []string{"/users", "/clients"} {
		status, answer := call(t.Context(), t, http.MethodGet, f.as.URL()+"/admin/realms/photos"+path, pat, "application/json", "")
		require.Equal(t, http.StatusForbidden, status, "%s: %v", path, answer)
	}
}

// clientID is Keycloak's own id of the page's client.
func (f *follower) clientID() string {
	f.T.Helper()
	token, err := f.as.AdminToken(f.T.Context())
	require.NoError(f.T, err)
	req, err := http.NewRequestWithContext(f.T.Context(), http.MethodGet, f.as.URL()+"/admin/realms/photos/clients?clientId=photos-api", http.NoBody)
	require.NoError(f.T, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(f.T, err)
	defer resp.Body.Close()
	var found []struct {
		ID string `json:"id"`
	}
	require.NoError(f.T, json.NewDecoder(resp.Body).Decode(&found))
	require.Len(f.T, found, 1)
	return found[0].ID
}
