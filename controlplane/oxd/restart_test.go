package oxd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

// TestRestart: sites and logins under way survive, and no secret of them can be
// read in the file.
func TestRestart(t *testing.T) {
	t.Parallel()
	op := startOP(t, devas.Options{})
	k := newKit(t, op, nil)
	id := k.register(t, nil)
	back := k.login(t, id)
	require.NoError(t, k.store.Close())

	again, err := oxd.New(oxd.Config{Store: openStore(t, k.path), OPs: []oxd.OP{{Host: op.Issuer()}}, DefaultOP: op.Issuer()})
	require.NoError(t, err)
	params := map[string]any{"oxd_id": id, "code": back.Get("code"), "state": back.Get("state")}
	status, data := callOn(t, again, "get_tokens_by_code", params)
	require.Equal(t, "ok", status, data)
	files, err := filepath.Glob(k.path + "*")
	require.NoError(t, err)
	for _, name := range files {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, member := range []string{"access_token", "refresh_token", "id_token"} {
			require.NotContains(t, string(content), data[member], name)
		}
	}
	logout := func() map[string]any {
		status, data := callOn(t, again, "get_logout_uri", map[string]any{"oxd_id": id})
		require.Equal(t, "ok", status)
		return data
	}()
	require.Contains(t, logout["uri"], "id_token_hint=ey")
}

// TestStateExpires: a login that takes too long is not finished.
func TestStateExpires(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	k := newKit(t, startOP(t, devas.Options{}), func(c *oxd.Config) {
		c.LoginLifetime = time.Minute
		c.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	id, other := k.register(t, nil), k.register(t, nil)
	back := k.login(t, id)
	params := map[string]any{"oxd_id": other, "code": back.Get("code"), "state": back.Get("state")}
	k.fails(t, "bad_request", "get_tokens_by_code", params) // another site's
	mu.Lock()
	now = now.Add(61 * time.Second)
	mu.Unlock()
	params["oxd_id"] = id
	k.fails(t, "bad_request", "get_tokens_by_code", params)
}

// TestReplicas: what one replica registers and begins, another finishes, and of two
// that finish at the same time one does.
func TestReplicas(t *testing.T) {
	t.Parallel()
	address := postgrestest.Database(t, postgrestest.Start(t))
	op := startOP(t, devas.Options{})
	replica := func() *kit {
		kept, err := store.OpenPostgres(t.Context(), secret.New(address), secret.New("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="))
		require.NoError(t, err)
		t.Cleanup(func() { _ = kept.Close() })
		s, err := oxd.New(oxd.Config{Store: kept, OPs: []oxd.OP{{Host: op.Issuer()}}, DefaultOP: op.Issuer(), Defaults: site.OXDDefaults{Scope: []string{"openid"}}})
		require.NoError(t, err)
		return &kit{Server: s, op: op, store: kept}
	}
	one, two := replica(), replica()
	lease, err := one.store.Lead(t.Context()) // the other does not lead, and serves all the same
	require.NoError(t, err)
	defer func() { require.NoError(t, lease.Release()) }()
	id := two.register(t, nil)
	back := one.login(t, id)
	params := map[string]any{"oxd_id": id, "code": back.Get("code"), "state": back.Get("state")}
	raw, err := json.Marshal(params)
	require.NoError(t, err)
	results := make(chan bool, 2)
	for _, k := range []*kit{one, two} {
		go func() { results <- k.Handle(t.Context(), "get_tokens_by_code", raw, secret.Text{}).OK() }()
	}
	require.ElementsMatch(t, []bool{true, false}, []bool{<-results, <-results})
	two.ok(t, "update_site", map[string]any{"oxd_id": id, "client_name": "by two"})
	require.Equal(t, "by two", one.ok(t, "get_rp", map[string]any{"oxd_id": id})["client_name"])
	one.ok(t, "update_site", map[string]any{"oxd_id": id, "client_name": "by one"})
	two.ok(t, "remove_site", map[string]any{"oxd_id": id})
	one.fails(t, "invalid_oxd_id", "get_rp", map[string]any{"oxd_id": id})
}
