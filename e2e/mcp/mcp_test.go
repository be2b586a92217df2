package mcp_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// devAS is the dev AS with the scopes of the albums.
func devAS(t *testing.T) *devas.Server {
	t.Helper()
	return servertest.StartAS(t, devas.Options{
		Scopes: []string{"use", "delete"}, Users: []devas.User{{Name: "alice", Password: "alice"}},
	})
}

const scopes = `
  require: oauth_scopes
  resources:
  - name: albums
    conditions:
    - {paths: [/mcp], scopes: [use]}
`

// more asks for a scope that no client has asked the AS for.
var more = strings.Replace(scopes, "scopes: [use]", `scope_expression: {rule: {and: [{var: 0}, {var: 1}]}, data: [use, delete]}`, 1)

// stepUp has agents that are at work asked for more than they have: each sends its user to
// the AS once, loses nothing by it, and goes on.
func stepUp(t *testing.T, w *world) {
	t.Helper()
	at := map[string]agent{}
	for name, connect := range agents() {
		at[name] = connect(t.Context(), t, w)
		require.Len(t, at[name].asked(), 1, name)
	}
	w.change(more)
	for name, a := range at {
		text, problem := a.call(t, deleteAlbum)
		require.Empty(t, problem, name)
		require.Contains(t, text, "album 1 is deleted for ", name)
		require.Len(t, a.asked(), 2, name)
		page, err := url.Parse(a.asked()[1])
		require.NoError(t, err)
		require.Subset(t, strings.Fields(page.Query().Get("scope")), []string{"use", "delete"}, name)
	}
}

// TestStepUp is that at the dev AS, with a client that it has been told of. It has no
// refresh tokens: the TypeScript SDK uses one where it should ask for more, and gives up.
func TestStepUp(t *testing.T) {
	t.Parallel()
	as := devAS(t)
	require.NoError(t, as.AddClient(devas.Client{ID: "agent", Metadata: devas.Metadata{
		TokenEndpointAuthMethod: devas.AuthNone, RedirectURIs: []string{callback}, GrantTypes: []string{devas.GrantAuthorizationCode},
	}}))
	w := newWorld(t, reserve(t), as.Issuer(), "{register: {}}")
	w.clients = map[string]string{"go": "agent", "python": "agent", "typescript": "agent"}
	stepUp(t, w)
}

// TestClients: each client finds the AS by itself, registers there, logs in and calls a tool.
func TestClients(t *testing.T) {
	t.Parallel()
	as := devAS(t)
	w := newWorld(t, reserve(t), as.Issuer(), "{register: {}}")
	for name, connect := range agents() {
		t.Run(name, func(t *testing.T) {
			a := connect(t.Context(), t, w)
			require.Equal(t, toolsBut(), a.tools())
			require.Len(t, a.asked(), 1)
			page, err := url.Parse(a.asked()[0])
			require.NoError(t, err)
			require.Equal(t, []string{w.url}, page.Query()["resource"])
			require.Equal(t, "use", strings.Fields(page.Query().Get("scope"))[0]) // Python asks for offline_access, too
			text, problem := a.call(t, getAlbum)
			require.Empty(t, problem)
			require.Equal(t, "album 1 is shown for alice", text)
		})
	}
}

// oneTool has no condition for the other one.
const oneTool = `
  require: oauth_scopes
  resources:
  - name: albums
    conditions:
    - {paths: [/mcp], scopes: [use]}
    - {paths: [/mcp], mcp: {tools: ["get_*"]}, scopes: [use]}
`

// TestDenied: each client tells why a tool is denied, and goes on with its session.
func TestDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, reserve(t), devAS(t).Issuer(), "{register: {}}")
	w.change(oneTool)
	for name, connect := range agents() {
		t.Run(name, func(t *testing.T) {
			a := connect(t.Context(), t, w)
			_, problem := a.call(t, deleteAlbum)
			require.Contains(t, problem, "mcp_not_covered")
			text, problem := a.call(t, getAlbum)
			require.Empty(t, problem)
			require.Equal(t, "album 1 is shown for alice", text)
			require.Len(t, a.asked(), 1)
		})
	}
}

// TestOtherAudience: a token that is good, and for another API, opens nothing here.
func TestOtherAudience(t *testing.T) {
	t.Parallel()
	as := devAS(t)
	require.NoError(t, as.AddClient(devas.Client{ID: "other", Secret: "s", Metadata: devas.Metadata{TokenEndpointAuthMethod: devas.AuthPost}}))
	w := newWorld(t, reserve(t), as.Issuer(), "{register: {}}")
	for audience, want := range map[string]string{
		w.url:                   "",
		w.url + "/":             "wrong_audience",
		"https://other.example": "wrong_audience",
		"":                      "wrong_audience",
	} {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"other"}, "client_secret": {"s"}, "scope": {"use"}}
		if audience != "" {
			form.Set("resource", audience)
		}
		var token struct {
			Value string `json:"access_token"`
		}
		post(t, as.Issuer()+"/token", form, &token)
		require.NotEmpty(t, token.Value)
		code, challenge := initialize(t, w.url, token.Value)
		require.Equal(t, want, code, audience)
		if want != "" {
			require.Contains(t, challenge, `Bearer realm="albums", error="invalid_token", scope="use", resource_metadata="`)
		}
	}
}

func post(t *testing.T, to string, form url.Values, out any) {
	t.Helper()
	resp, err := http.PostForm(to, form) //nolint:noctx // the test's own AS
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(out))
}

// initialize begins a session by hand, and returns why it is refused.
func initialize(t *testing.T, to, token string) (code, challenge string) {
	t.Helper()
	const message = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(message))
	require.NoError(t, err)
	req.Header = http.Header{
		"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var problem struct{ Code string }
	if resp.StatusCode != http.StatusOK {
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&problem))
	}
	return problem.Code, resp.Header.Get("WWW-Authenticate")
}
