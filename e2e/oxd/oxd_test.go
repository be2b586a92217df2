package oxd_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	oxdserve "github.com/umagate/umagate/controlplane/oxd/serve"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/e2e/oxd"
	"github.com/umagate/umagate/e2e/process/processtest"
)

// clients returns the published clients, or ends the test.
func clients(t *testing.T) oxd.Clients {
	t.Helper()
	return processtest.Require(t, "client of oxd", oxd.Find)
}

// serve runs `umagate serve` with the oxd API.
func serve(t *testing.T, opHost string, protect bool) target {
	t.Helper()
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(fmt.Sprintf(`
listen: {api: 127.0.0.1:0, xds: 127.0.0.1:0}
oxd:
  http: 127.0.0.1:0
  socket: 127.0.0.1:0
  protect_commands_with_access_token: %t
  op_hosts: [{url: %s, timeout: 30s}]
`, protect, opHost)), 0o600))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	started, done := make(chan target, 1), make(chan error, 1)
	go func() {
		done <- server.Run(ctx, server.Options{
			Path: path, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Sources: []server.OpenSource{oxdserve.Announce(func(web, socket string) {
				started <- target{http: "http://" + web, socket: socket, opHost: opHost}
			})},
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	select {
	case to := <-started:
		return to
	case err := <-done:
		done <- err
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "not started within a minute")
	}
	return target{}
}

// op is an OpenID provider that clients log in at.
type op struct {
	name, host, subject string
	// longTokens are longer than oxd-node can send over the socket.
	longTokens bool
}

func devOP(t *testing.T) op {
	t.Helper()
	as, err := devas.New(devas.Options{
		Users: []devas.User{{Name: "alice", ID: "alice-id", Password: "alice", Email: "alice@example.com"}}, Scopes: []string{"oxd"}, SkipConsent: true,
	})
	require.NoError(t, err)
	stop, err := as.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	return op{name: "dev AS", host: as.Issuer(), subject: "alice-id"}
}

// TestPublishedClients: every client, on both transports, protected and not.
func TestPublishedClients(t *testing.T) {
	t.Parallel()
	t.Run("dev AS", func(t *testing.T) {
		t.Parallel()
		everyClient(t, devOP(t))
	})
	t.Run("Keycloak", func(t *testing.T) {
		t.Parallel()
		clients(t) // before a Keycloak is started
		as := keycloaktest.Start(t)
		at := op{name: "Keycloak", host: as.Issuer(), longTokens: true}
		everyClient(t, at)
		everyClientProtects(t, umaOP{op: at, permit: func(t *testing.T, clientID string) {
			t.Helper()
			require.NoError(t, as.ImportPolicies(t.Context(), clientID, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"view"}}))
		}})
		to := serve(t, at.host, false)
		t.Run("every authentication", func(t *testing.T) { authentications(t, to) })
		t.Run("every parameter", func(t *testing.T) { everyParameter(t, to) })
	})
}

func everyClient(t *testing.T, at op) {
	t.Helper()
	found := clients(t)
	for _, protect := range []bool{true, false} {
		to := serve(t, at.host, protect)
		for _, web := range []bool{true, false} {
			one := target{socket: to.socket, opHost: to.opHost}
			name := fmt.Sprintf("socket, protected %t", protect)
			if web {
				one.http = to.http
				name = fmt.Sprintf("HTTP, protected %t", protect)
			}
			t.Run("oxdpython, "+name, func(t *testing.T) {
				interpreter, err := oxd.Python2(t.Context())
				if err != nil {
					t.Skip(err)
				}
				wholeWay(t, at, startPython(t, found, interpreter, one), protect, web, web || protect)
			})
			t.Run("oxd-node, "+name, func(t *testing.T) {
				if at.longTokens && !web && protect {
					t.Skip("oxd-node never sends a command of 1000 characters or more over the socket, and this OP's tokens are longer")
				}
				wholeWay(t, at, startNode(t, found, one), protect, web, web || protect)
			})
		}
	}
}

// wholeWay is what an application does with its client.
func wholeWay(t *testing.T, at op, c client, protect, web, authenticate bool) {
	t.Helper()
	_, isNode := c.(*node)
	if authenticate {
		c.authenticate(t)
	}
	id := c.site(t)
	require.NotEmpty(t, id)

	address := text(t, c.call(t, "get_authorization_url", map[string]any{}), "authorization_url")
	back := browser.New(t, http.DefaultTransport).Visit(t, address, callback, "alice", "alice")
	code := map[string]any{"code": back.Query().Get("code"), "state": back.Query().Get("state")}
	require.NotEmpty(t, code["code"], back)
	if isNode && !web && len(fmt.Sprint(code)) > 800 {
		t.Skip("the code is too long for oxd-node's socket")
	}
	got := c.call(t, "get_tokens_by_code", code)
	claims, _ := got["id_token_claims"].(map[string]any)
	require.Equal(t, at.host, claims["iss"])
	if at.subject != "" {
		require.Equal(t, at.subject, claims["sub"])
	}
	require.Positive(t, got["expires_in"])
	require.Contains(t, c.refused(t, "get_tokens_by_code", code), "bad_request", "a state is good once")

	if !isNode || web || !at.longTokens {
		info := c.call(t, "get_user_info", map[string]any{"access_token": got["access_token"]})
		if nested, ok := info["claims"].(map[string]any); ok { // oxdpython takes the claims out
			info = nested
		}
		require.Equal(t, []any{claims["sub"]}, info["sub"])
		said := c.call(t, "introspect_access_token", map[string]any{"access_token": got["access_token"]})
		require.Equal(t, true, said["active"])
		fresh := c.call(t, "get_access_token_by_refresh_token", map[string]any{"refresh_token": got["refresh_token"]})
		require.NotEmpty(t, fresh["access_token"])
	}

	logout := text(t, c.call(t, "get_logout_uri", map[string]any{"state": "bye-1"}), "uri")
	gone := browser.New(t, http.DefaultTransport).Visit(t, logout, goodbye, "", "")
	require.Equal(t, "bye-1", gone.Query().Get("state"))

	if isNode {
		c.call(t, "update_site", map[string]any{"authorization_redirect_uri": callback, "client_name": "renamed"})
	} else {
		c.call(t, "update_site", nil)
	}
	require.Equal(t, id, text(t, c.call(t, "remove_site", nil), "oxd_id"))
	require.Contains(t, c.refused(t, "get_authorization_url", nil), "invalid_oxd_id")
	_ = protect
}

// text is a member, or the value that oxdpython took out of it.
func text(t *testing.T, data map[string]any, member string) string {
	t.Helper()
	value := data[member]
	if taken, ok := data["value"]; ok {
		value = taken
	}
	s, ok := value.(string)
	require.True(t, ok, "%s in %v", member, data)
	if u, err := url.Parse(s); member != "oxd_id" {
		require.NoError(t, err)
		require.NotEmpty(t, u.Host)
	}
	return s
}
