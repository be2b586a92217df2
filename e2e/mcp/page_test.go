package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// alice is before the account console of the page's realm, at a resource that is hers.
type alice struct {
	t        *testing.T
	as       *keycloak.Server
	resource string
}

// console sends what the account console sends.
func (a *alice) console(method, path, body string, out any) {
	a.t.Helper()
	token, err := a.as.TokenIn(a.t.Context(), "tools", "console", "alice")
	require.NoError(a.t, err)
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.as.URL()+"/realms/tools/account/resources"+path, strings.NewReader(body))
	require.NoError(a.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(a.t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(a.t, err)
	require.Equal(a.t, 2, resp.StatusCode/100, "%s %s: %s %s", method, path, resp.Status, answer)
	if out != nil {
		require.NoError(a.t, json.NewDecoder(bytes.NewReader(answer)).Decode(out))
	}
}

// asked are the scopes that bob waits for.
func (a *alice) asked() []string {
	a.t.Helper()
	var waiting []struct {
		Username string
		Scopes   []any
	}
	a.console(http.MethodGet, "/"+a.resource+"/permissions/requests", "", &waiting)
	var scopes []string
	for _, w := range waiting {
		require.Equal(a.t, "bob", w.Username)
		for _, s := range w.Scopes {
			if object, ok := s.(map[string]any); ok {
				s = object["name"]
			}
			scopes = append(scopes, s.(string))
		}
	}
	return scopes
}

// lets has bob have these scopes, and no others.
func (a *alice) lets(scopes string) {
	a.t.Helper()
	a.console(http.MethodPut, "/"+a.resource+"/permissions", `[{"username":"bob","scopes":[`+scopes+`]}]`, nil)
}

// TestPage follows "Ten minutes" of docs/mcp.md with a real Keycloak and a real Envoy, and then
// does what its table says, with an agent of the Go SDK.
func TestPage(t *testing.T) {
	t.Setenv("API_SECRET", "api-secret")
	binary := envoytest.Binary(t)
	albums := newAlbums()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.TrimSuffix(r.URL.Path, "/alice")
		albums.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	address := reserve(t)
	as := keycloaktest.Start(t)
	w := &world{t: t, plane: servertest.New(t), url: "http://" + address + "/mcp/alice", person: "bob", clients: map[string]string{"go": "agent"}}
	page := keycloaktest.Page{
		Root: filepath.Join("..", ".."), Document: "docs/mcp.md", AS: as, Dir: w.plane.Dir,
		Here: func(text string) string {
			return strings.NewReplacer("http://127.0.0.1:3000", api.URL, "127.0.0.1:10000", address, "127.0.0.1:8090", w.plane.API).Replace(text)
		},
		Configure: func(text string) {
			w.plane.Write("listen: {api: \"127.0.0.1:0\", xds: \"127.0.0.1:0\", instances: \"127.0.0.1:0\"}\nenvoy: {listener: \"" + address + "\"}\n" +
				"plugin: {wasm: \"" + servertest.Module(t) + "\"}\n" + text)
		},
		Instead: map[string]func(){
			"umagate serve -c umagate.yaml\n": func() {
				w.plane.Start()
				w.plane.Until("it serves", func(s server.Status) bool { return s.OK && len(s.Sites) == 1 })
			},
			"umagate render bootstrap -c umagate.yaml > envoy.yaml && envoy -c envoy.yaml\n": func() {
				w.plane.Protect(envoy.Options{Binary: binary})
				w.plane.Until("Envoy has acknowledged everything", servertest.Acknowledged)
			},
			"umagate status -c umagate.yaml\n": func() {
				w.plane.Until("all is well", func(s server.Status) bool { return s.OK && servertest.Acknowledged(s) })
			},
		},
	}
	page.Follow(t, "Ten minutes, with Keycloak, from an empty realm")

	require.NoError(t, as.AdminIn(t.Context(), "tools", http.MethodPost, "/clients", map[string]any{"clientId": "console", "publicClient": true, "directAccessGrantsEnabled": true}, nil))
	owner := &alice{t: t, as: as}
	var hers []struct {
		ID   string `json:"_id"`
		Name string
	}
	owner.console(http.MethodGet, "", "", &hers)
	require.Len(t, hers, 1)
	require.Equal(t, "tools-alice", hers[0].Name)
	owner.resource = hers[0].ID

	ctx, cancel := context.WithTimeout(t.Context(), servertest.Within)
	defer cancel()
	agent := connectGo(ctx, t, w)
	require.Equal(t, toolsBut(), agent.tools())
	_, problem := agent.call(t, getAlbum)
	require.Contains(t, problem, "request_submitted")
	require.Equal(t, []string{"view"}, owner.asked())

	until := func(passes bool) time.Duration {
		began := time.Now()
		require.Eventually(t, func() bool {
			_, problem := agent.call(t, getAlbum)
			return (problem == "") == passes
		}, servertest.Within, 20*time.Millisecond)
		return time.Since(began)
	}
	owner.lets(`"view"`)
	t.Logf("the call passes %s after alice has approved", until(true).Round(time.Millisecond))
	_, problem = agent.call(t, deleteAlbum)
	require.NotEmpty(t, problem, "that is another scope")
	owner.lets("")
	t.Logf("it is refused %s after she has taken it back", until(false).Round(time.Millisecond))
	require.Len(t, agent.asked(), 1, "bob has logged in once")
}
