package oxd_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
)

const callback = "https://app.example.com/cb"

// kit is a server beside a dev AS.
type kit struct {
	*oxd.Server

	op    *devas.Server
	store *store.SQL
	path  string
}

func startOP(t *testing.T, options devas.Options) *devas.Server {
	t.Helper()
	options.Users = append(options.Users, devas.User{Name: "alice", ID: "alice-id", Password: "alice", Email: "alice@example.com", FullName: "Alice Ü"})
	options.Scopes = append(options.Scopes, "oxd")
	options.SkipConsent = true
	op, err := devas.New(options)
	require.NoError(t, err)
	stop, err := op.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	return op
}

func openStore(t *testing.T, path string) *store.SQL {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path, secret.Text{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newKit(t *testing.T, op *devas.Server, change func(*oxd.Config)) *kit {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	kept := openStore(t, path)
	cfg := oxd.Config{
		Store: kept, OPs: []oxd.OP{{Host: op.Issuer(), Timeout: 30 * time.Second}}, DefaultOP: op.Issuer(),
		Defaults: site.OXDDefaults{Scope: []string{"openid"}},
	}
	if change != nil {
		change(&cfg)
	}
	server, err := oxd.New(cfg)
	require.NoError(t, err)
	return &kit{Server: server, op: op, store: kept, path: path}
}

// call runs a command and gives the whole envelope as a client reads it.
func (k *kit) call(t *testing.T, command string, params map[string]any) (status string, data map[string]any) {
	t.Helper()
	return callOn(t, k.Server, command, params)
}

func callOn(t *testing.T, s *oxd.Server, command string, params map[string]any) (status string, data map[string]any) {
	t.Helper()
	raw, err := json.Marshal(params)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	encoded, err := json.Marshal(s.Handle(ctx, command, raw, secret.Text{}))
	require.NoError(t, err)
	var envelope struct {
		Status string         `json:"status"`
		Data   map[string]any `json:"data"`
	}
	require.NoError(t, json.Unmarshal(encoded, &envelope))
	return envelope.Status, envelope.Data
}

func (k *kit) ok(t *testing.T, command string, params map[string]any) map[string]any {
	t.Helper()
	status, data := k.call(t, command, params)
	require.Equal(t, "ok", status, "%s: %v", command, data)
	return data
}

func (k *kit) fails(t *testing.T, code, command string, params map[string]any) map[string]any {
	t.Helper()
	status, data := k.call(t, command, params)
	require.Equal(t, "error", status, "%s: %v", command, data)
	require.Equal(t, code, data["error"], data)
	require.Contains(t, data, "details")
	require.NotEmpty(t, data["error_description"])
	return data
}

// register returns the oxd_id of a site.
func (k *kit) register(t *testing.T, more map[string]any) string {
	t.Helper()
	params := map[string]any{"authorization_redirect_uri": callback}
	maps.Copy(params, more)
	id, _ := k.ok(t, "register_site", params)["oxd_id"].(string)
	return id
}

// login goes to the OP as alice and gives what the site is called back with.
func (k *kit) login(t *testing.T, id string) url.Values {
	t.Helper()
	address, _ := k.ok(t, "get_authorization_url", map[string]any{"oxd_id": id})["authorization_url"].(string)
	back := browser.New(t, http.DefaultTransport).Visit(t, address, callback, "alice", "alice")
	return back.Query()
}

func (k *kit) tokens(t *testing.T, id string) map[string]any {
	t.Helper()
	back := k.login(t, id)
	return k.ok(t, "get_tokens_by_code", map[string]any{"oxd_id": id, "code": back.Get("code"), "state": back.Get("state")})
}
