package devas_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	id := k.resource(t, "album-1", "view", "edit")

	t.Run("alice may view album-1", func(t *testing.T) {
		require.Equal(t, 403, k.grant(t, "alice", id, "view").status)
		a := k.admin(t, "POST", "/policies", map[string]any{"resource": "album-1", "scopes": []string{"view"}, "subjects": []string{"alice"}})
		require.Equal(t, 201, a.status, a.raw)
		k.rpt(t, "alice", id, "view")
		require.Equal(t, 403, k.grant(t, "alice", id, "edit").status)
		require.Len(t, k.admin(t, "GET", "/policies", nil).list, 1)
		require.Equal(t, 204, k.admin(t, "DELETE", fmt.Sprint("/policies/", a.body["id"]), nil).status)
		require.Equal(t, 403, k.grant(t, "alice", id, "view").status)
		require.Equal(t, 404, k.admin(t, "DELETE", "/policies/none", nil).status)
	})
	t.Run("alice owns it, and bob waits for her", func(t *testing.T) {
		require.Equal(t, 204, k.admin(t, "PUT", "/resources/album-1", map[string]any{"owner": "alice", "ask_owner": true}).status)
		require.Equal(t, "alice", k.admin(t, "GET", "/resources/"+id, nil).body["owner"])
		k.rpt(t, "alice", id, "view", "edit")
		a := k.grant(t, "bob", id, "view")
		require.Equal(t, "request_submitted", a.body["error"])
		waiting := k.admin(t, "GET", "/requests", nil).list
		require.Len(t, waiting, 1)
		request, _ := waiting[0].(map[string]any)
		require.Equal(t, "bob", request["subject"])
		require.Equal(t, 204, k.admin(t, "POST", fmt.Sprint("/requests/", request["id"], "/approve"), nil).status)
		k.rpt(t, "bob", id, "view")
		require.Equal(t, 400, k.admin(t, "PUT", "/resources/album-1", map[string]any{"owner": "nobody"}).status)
	})
	t.Run("a new person", func(t *testing.T) {
		require.Equal(t, 204, k.admin(t, "POST", "/users", map[string]any{"name": "carol", "password": "carol"}).status)
		k.party(t, "carol")
		require.Equal(t, 400, k.admin(t, "POST", "/users", map[string]any{"name": "dave"}).status)
	})
	t.Run("faults and calls", func(t *testing.T) {
		a := k.admin(t, "POST", "/faults", map[string]any{"endpoint": "introspection", "kind": "status", "status": 599, "count": 1})
		require.Equal(t, 204, a.status, a.raw)
		require.Len(t, k.admin(t, "GET", "/faults", nil).list, 1)
		require.Equal(t, 204, k.admin(t, "DELETE", "/calls", nil).status)
		require.Equal(t, 599, k.introspect(t, "x").status)
		require.Equal(t, 200, k.introspect(t, "x").status)
		require.InDelta(t, 2, k.admin(t, "GET", "/calls", nil).body["introspection"], 0)
		require.Len(t, k.admin(t, "GET", "/calls/introspection", nil).list, 2)
		require.Equal(t, 400, k.admin(t, "POST", "/faults", map[string]any{"kind": "no-such"}).status)
		require.Equal(t, 400, k.admin(t, "POST", "/faults", map[string]any{"knd": "down"}).status)
		k.admin(t, "POST", "/faults", map[string]any{"kind": "down"})
		require.Equal(t, 204, k.admin(t, "DELETE", "/faults", nil).status)
		require.Empty(t, k.Faults())
	})
	t.Run("actions", func(t *testing.T) {
		rpt := k.rpt(t, "alice", id, "view")
		require.Equal(t, 204, k.admin(t, "POST", "/actions/expire-pats", nil).status)
		require.Equal(t, 401, k.json(t, "GET", "/uma/resources", nil).status)
		require.Equal(t, true, k.introspect(t, rpt).body["active"], "only PATs have expired")
		k.pat = k.newPAT(t)
		require.Equal(t, 204, k.admin(t, "POST", "/actions/expire-tokens", nil).status)
		require.Equal(t, false, k.introspect(t, rpt).body["active"])
		before := k.admin(t, "GET", "/../jwks", nil).raw
		require.Equal(t, 204, k.admin(t, "POST", "/actions/rotate-keys", nil).status)
		after := k.admin(t, "GET", "/../jwks", nil)
		require.Len(t, after.body["keys"], 4, "the old keys stay for those who still hold their signatures")
		require.Equal(t, 204, k.admin(t, "POST", "/actions/forget-keys", nil).status)
		require.NotEqual(t, before, k.admin(t, "GET", "/../jwks", nil).raw)
		require.Equal(t, 404, k.admin(t, "POST", "/actions/no-such", nil).status)
	})
	t.Run("a resource removed by an administrator", func(t *testing.T) {
		k.pat = k.newPAT(t)
		require.Equal(t, 204, k.admin(t, "DELETE", "/resources/album-1", nil).status)
		require.Equal(t, 404, k.json(t, "GET", "/uma/resources/"+id, nil).status)
		require.Equal(t, 404, k.admin(t, "GET", "/resources/album-1", nil).status)
	})
}

func TestForgottenClients(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	a := k.register(t, "/register", `{"grant_types":["client_credentials"]}`)
	require.Equal(t, 201, a.status, a.raw)
	uri, _ := a.body["registration_client_uri"].(string)
	token, _ := a.body["registration_access_token"].(string)
	path := strings.TrimPrefix(uri, k.Issuer())
	a, err := k.send(t, "GET", path, token, "", "")
	require.NoError(t, err)
	require.Equal(t, 200, a.status)
	k.ForgetClients()
	a, err = k.send(t, "GET", path, token, "", "")
	require.NoError(t, err)
	require.Equal(t, 401, a.status)
	k.newPAT(t) // "rs" was configured, not registered, and stays.
}

func TestAdminAnswersProgramsOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{Issuer: "https://as.example"})
	require.NoError(t, err)
	for _, tt := range []struct {
		name, remote, header, value string
		status                      int
	}{
		{"loopback", "127.0.0.1:4711", "", "", 200},
		{"IPv6 loopback", "[::1]:4711", "", "", 200},
		{"another machine", "192.0.2.7:4711", "", "", 403},
		{"no address", "", "", "", 403},
		{"a page of another origin", "127.0.0.1:4711", "Origin", "https://evil.example", 403},
		{"a browser", "127.0.0.1:4711", "Sec-Fetch-Site", "cross-site", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/admin/policies", nil)
			r.RemoteAddr = tt.remote
			if tt.header != "" {
				r.Header.Set(tt.header, tt.value)
			}
			w := httptest.NewRecorder()
			as.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
		})
	}
}

func TestSecretsRedact(t *testing.T) {
	t.Parallel()
	const secret = "the-secret-value"
	c := devas.Client{ID: "rs", Secret: secret}
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, c.Secret), fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c))
	}
	b, err := json.Marshal(c)
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("secret", c.Secret), slog.Any("client", c))
	for _, text := range append(texts, string(b), log.String()) {
		require.NotContains(t, text, secret)
		require.NotContains(t, text, fmt.Sprintf("%x", secret))
	}
	require.Equal(t, secret, c.Secret.Reveal())
}
