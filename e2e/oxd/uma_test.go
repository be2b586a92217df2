package oxd_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
	"github.com/umagate/umagate/e2e/oxd"
)

// TestPublishedClientsProtect: the clients as resource servers and as clients of
// UMA, each on both transports. Keycloak's turn is in TestPublishedClients.
func TestPublishedClientsProtect(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{
		Users: []devas.User{{Name: "alice", ID: "alice-id", Password: "alice"}}, Scopes: []string{"oxd"}, SkipConsent: true,
	})
	require.NoError(t, err)
	stop, err := as.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	everyClientProtects(t, umaOP{op: op{host: as.Issuer()}, needInfo: true, permit: func(t *testing.T, _ string) {
		t.Helper()
		_, err := as.Permit(devas.Policy{Resource: "[GET] /photo", Subjects: []string{"alice"}})
		require.NoError(t, err)
	}})
}

// umaOP is an OP that is an authorization server, too.
type umaOP struct {
	op

	// needInfo: it says so where it does not know who asks.
	needInfo bool
	// permit lets alice see the photo of that client.
	permit func(t *testing.T, clientID string)
}

func everyClientProtects(t *testing.T, at umaOP) {
	t.Helper()
	found := clients(t)
	to := serve(t, at.host, true)
	for _, web := range []bool{true, false} {
		one := target{socket: to.socket, opHost: to.opHost, uma: true}
		name := "socket"
		if web {
			one.http, name = to.http, "HTTP"
		}
		t.Run("oxdpython, "+name, func(t *testing.T) {
			interpreter, err := oxd.Python2(t.Context())
			if err != nil {
				t.Skip(err)
			}
			protects(t, at, startPython(t, found, interpreter, one))
		})
		t.Run("oxd-node, "+name, func(t *testing.T) {
			if at.longTokens && !web {
				t.Skip("oxd-node never sends a command of 1000 characters or more over the socket, and this OP's tokens are longer")
			}
			protects(t, at, startNode(t, found, one))
		})
	}
}

var photos = []any{map[string]any{"path": "/photo", "conditions": []any{
	map[string]any{"httpMethods": []string{"GET"}, "scopes": []string{"view"}},
	map[string]any{"httpMethods": []string{"PUT", "POST"}, "scopes": []string{"all", "add"}, "ticketScopes": []string{"add"}},
}}}

// protects is what an application does that protects, and one that asks.
func protects(t *testing.T, at umaOP, c client) {
	t.Helper()
	c.authenticate(t)
	require.NotEmpty(t, c.site(t))
	check := func(rpt any, method string) map[string]any {
		t.Helper()
		return c.call(t, "uma_rs_check_access", map[string]any{"rpt": rpt, "path": "/photo", "http_method": method})
	}
	require.NotEmpty(t, c.call(t, "uma_rs_protect", map[string]any{"resources": photos}))
	require.Contains(t, c.refused(t, "uma_rs_protect", map[string]any{"resources": photos}), "uma_protection_exists")
	require.NotEmpty(t, c.call(t, "uma_rs_protect", map[string]any{"resources": photos, "overwrite": true}))

	address := text(t, c.call(t, "get_authorization_url", map[string]any{}), "authorization_url")
	u, err := url.Parse(address)
	require.NoError(t, err)
	at.permit(t, u.Query().Get("client_id"))
	back := browser.New(t, http.DefaultTransport).Visit(t, address, callback, "alice", "alice").Query()
	got := c.call(t, "get_tokens_by_code", map[string]any{"code": back.Get("code"), "state": back.Get("state")})

	denied := check("", "GET")
	require.Equal(t, "denied", denied["access"])
	require.NotEmpty(t, denied["ticket"])
	require.Equal(t, fmt.Sprintf(`UMA realm="rs",as_uri="%s",error="insufficient_scope",ticket="%s"`, at.host, denied["ticket"]), denied["www-authenticate_header"])
	var given map[string]any
	if n, ok := c.(*node); ok && n.to.http == "" {
		given = gathered(t, at, c, denied["ticket"]) // an ID token is too long for its socket
	} else {
		given = c.call(t, "uma_rp_get_rpt", map[string]any{
			"ticket": denied["ticket"], "claim_token": got["id_token"], "claim_token_format": "http://openid.net/specs/openid-connect-core-1_0.html#IDToken",
		})
	}
	rpt := given["access_token"]
	require.NotEmpty(t, rpt)
	require.Contains(t, given, "upgraded")
	require.Equal(t, map[string]any{"access": "granted"}, check(rpt, "GET"))
	require.Equal(t, "denied", check(rpt, "PUT")["access"])
	said := c.call(t, "introspect_rpt", map[string]any{"rpt": rpt})
	require.Equal(t, true, said["active"])
	require.Len(t, said["permissions"], 1)

	// The failures, as each client tells them.
	python, isPython := c.(*python)
	if !isPython {
		require.Equal(t, "invalid_request", c.refused(t, "uma_rs_check_access", map[string]any{"rpt": rpt, "path": "/none", "http_method": "GET"}))
		require.Equal(t, "invalid_ticket", c.refused(t, "uma_rp_get_rpt", map[string]any{"ticket": "nobody-gave-this"}))
	} else {
		require.Equal(t, "InvalidRequestError", python.ask(t, "uma_rs_check_access", map[string]any{"rpt": rpt, "path": "/none", "http_method": "GET"}).Failure)
		require.Equal(t, "InvalidTicketError", python.ask(t, "uma_rp_get_rpt", map[string]any{"ticket": "nobody-gave-this"}).Failure)
	}
	if at.needInfo {
		given = gathered(t, at, c, check("", "GET")["ticket"])
		require.Equal(t, map[string]any{"access": "granted"}, check(given["access_token"], "GET"))
	}
}

// gathered gets an RPT for alice, whom the AS asks who she is.
func gathered(t *testing.T, at umaOP, c client, ticket any) map[string]any {
	t.Helper()
	var data map[string]any
	if n, ok := c.(*node); ok {
		_, data = n.envelope(t, "uma_rp_get_rpt", map[string]any{"ticket": ticket})
	} else {
		data = c.call(t, "uma_rp_get_rpt", map[string]any{"ticket": ticket}) // oxdpython gives a need_info to its caller
	}
	require.Equal(t, "need_info", data["error"])
	details, _ := data["details"].(map[string]any)
	require.NotEmpty(t, details["ticket"])
	gather := map[string]any{"ticket": details["ticket"]}
	if _, ok := c.(*node); ok {
		gather["claims_redirect_uri"] = callback
	}
	gathering := c.call(t, "uma_rp_get_claims_gathering_url", gather)
	where, _ := gathering["url"].(string)
	if value, ok := gathering["value"].(string); ok {
		where = value
	}
	require.True(t, strings.HasPrefix(where, at.host), where)
	came := browser.New(t, http.DefaultTransport).Visit(t, where, callback, "alice", "alice").Query()
	return c.call(t, "uma_rp_get_rpt", map[string]any{"ticket": came.Get("ticket"), "state": came.Get("state")})
}
