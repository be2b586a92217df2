package oxd_test

import (
	"maps"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
)

func (k *umaKit) ticket(t *testing.T, id, method, path string) string {
	t.Helper()
	ticket, _ := k.check(t, id, method, path, "")["ticket"].(string)
	require.NotEmpty(t, ticket)
	return ticket
}

func TestGetRPT(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, nil)
	k.protect(t, id, photo, nil)
	k.permit(t, "[GET] /photo")
	k.permit(t, "[PUT, POST] /photo", "add")
	get := func(more map[string]any) map[string]any {
		params := map[string]any{"oxd_id": id, "claim_token": k.claim(t, id), "claim_token_format": idTokenFormat}
		maps.Copy(params, more)
		return params
	}

	first := k.ticket(t, id, "GET", "/photo")
	got := k.ok(t, "uma_rp_get_rpt", get(map[string]any{"ticket": first}))
	require.ElementsMatch(t, []string{"access_token", "token_type", "pct", "upgraded", "updated"}, keysOf(got))
	require.Equal(t, "Bearer", got["token_type"])
	require.Equal(t, false, got["upgraded"])
	require.NotEmpty(t, got["pct"])

	// The same exchange again gives the same, with no call: the ticket is used.
	calls := len(k.op.Calls(devas.EndpointToken))
	require.Equal(t, got, k.ok(t, "uma_rp_get_rpt", get(map[string]any{"ticket": first})))
	require.Len(t, k.op.Calls(devas.EndpointToken), calls)
	// An RPT is never reused for a ticket that it was not given for.
	second := k.ok(t, "uma_rp_get_rpt", get(map[string]any{"ticket": k.ticket(t, id, "GET", "/photo")}))
	require.NotEqual(t, got["access_token"], second["access_token"])
	require.NotEqual(t, "granted", k.check(t, id, "POST", "/photo", mustText(t, second["access_token"]))["access"])
	// Nor with other parameters: then the AS decides, and it has seen the ticket.
	k.fails(t, "invalid_ticket", "uma_rp_get_rpt", get(map[string]any{"ticket": first, "scope": []string{"view"}}))
	// Nor for another application.
	other := k.register(t, nil)
	k.fails(t, "invalid_ticket", "uma_rp_get_rpt", map[string]any{"oxd_id": other, "ticket": first, "claim_token": k.claim(t, id), "claim_token_format": idTokenFormat})

	// The PCT stands for alice; with the RPT, it is upgraded.
	upgraded := k.ok(t, "uma_rp_get_rpt", map[string]any{
		"oxd_id": id, "ticket": k.ticket(t, id, "POST", "/photo"), "pct": got["pct"], "rpt": got["access_token"],
	})
	require.Equal(t, true, upgraded["upgraded"])
	require.Equal(t, true, upgraded["updated"])
	for _, method := range []string{"GET", "PUT"} {
		require.Equal(t, "granted", k.check(t, id, method, "/photo", mustText(t, upgraded["access_token"]))["access"])
	}
	// scope asks for more than the ticket names.
	k.ok(t, "uma_rp_get_rpt", get(map[string]any{"ticket": k.ticket(t, id, "GET", "/photo"), "scope": "view"}))

	k.fails(t, "invalid_ticket", "uma_rp_get_rpt", get(map[string]any{"ticket": "016f84e8-f9b9-11e0-bd6f-0021cc6004de"}))
	k.fails(t, "invalid_ticket_parameter", "uma_rp_get_rpt", get(map[string]any{"ticket": " "}))
	k.fails(t, "invalid_claim_token_or_claim_token_form", "uma_rp_get_rpt", get(map[string]any{"ticket": "x", "claim_token_format": ""}))
	k.fails(t, "bad_request", "uma_rp_get_rpt", get(map[string]any{"ticket": "x", "state": "never-given"}))
	refused := k.fails(t, "http_status_403", "uma_rp_get_rpt", get(map[string]any{"ticket": k.ticket(t, id, "GET", "/albums/1")}))
	details, _ := refused["details"].(map[string]any)
	require.Equal(t, "request_denied", details["error"])
}

// TestGetRPTSurvivesTheAS: what is no RPT is none.
func TestGetRPTSurvivesTheAS(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, nil)
	k.protect(t, id, photo, nil)
	k.permit(t, "[GET] /photo")
	claim := k.claim(t, id)
	for kind, code := range map[devas.FaultKind]string{
		devas.FaultDown: "internal_error", devas.FaultStatus: "http_status_500", devas.FaultHTML: "internal_error", devas.FaultEmpty: "internal_error",
		devas.FaultRateLimit: "http_status_429", devas.FaultTruncated: "internal_error", devas.FaultOversized: "internal_error", devas.FaultWrongTypes: "internal_error",
	} {
		ticket := k.ticket(t, id, "GET", "/photo")
		require.NoError(t, k.op.SetFault(devas.Fault{Endpoint: devas.EndpointToken, Kind: kind}))
		k.fails(t, code, "uma_rp_get_rpt", map[string]any{"oxd_id": id, "ticket": ticket, "claim_token": claim, "claim_token_format": idTokenFormat})
		k.op.ClearFaults("")
	}
}

// TestClaimsGathering: need_info, the person at the AS, and back with a new ticket.
func TestClaimsGathering(t *testing.T) {
	t.Parallel()
	const back = "https://app.example.com/claims?a=b&c=d e"
	redirect := url.URL{Scheme: "https", Host: "app.example.com", Path: "/claims", RawQuery: "a=b&c=d"}
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, map[string]any{"claims_redirect_uri": []string{redirect.String()}})
	k.protect(t, id, photo, nil)
	k.permit(t, "[GET] /photo")
	refused := k.fails(t, "need_info", "uma_rp_get_rpt", map[string]any{"oxd_id": id, "ticket": k.ticket(t, id, "GET", "/photo")})
	details, _ := refused["details"].(map[string]any)
	require.Equal(t, "need_info", details["error"])
	require.NotEmpty(t, details["required_claims"])
	require.NotEmpty(t, details["redirect_user"])

	params := map[string]any{"oxd_id": id, "ticket": details["ticket"], "claims_redirect_uri": redirect.String()}
	got := k.ok(t, "uma_rp_get_claims_gathering_url", params)
	address, state := mustText(t, got["url"]), mustText(t, got["state"])
	query := rawQuery(t, address)
	require.Equal(t, url.Values{
		"client_id": {k.clientID(t, id)}, "ticket": {mustText(t, details["ticket"])}, "claims_redirect_uri": {redirect.String()}, "state": {state},
	}, query)

	came := browser.New(t, nil).Visit(t, address, redirect.String(), "alice", "alice").Query()
	require.Equal(t, state, came.Get("state"))
	require.Equal(t, "b", came.Get("a"), "the redirect's own query is kept")
	exchange := map[string]any{"oxd_id": id, "ticket": came.Get("ticket"), "state": state}
	rpt := mustText(t, k.ok(t, "uma_rp_get_rpt", exchange)["access_token"])
	require.Equal(t, "granted", k.check(t, id, "GET", "/photo", rpt)["access"])

	// A state is good once, and for its own application.
	exchange["ticket"] = "another"
	k.fails(t, "bad_request", "uma_rp_get_rpt", exchange)

	for code, change := range map[string]map[string]any{
		"invalid_ticket_parameter":              {"ticket": ""},
		"invalid_claims_redirect_uri_parameter": {"claims_redirect_uri": "https://elsewhere.example.com/"},
	} {
		wrong := maps.Clone(params)
		maps.Copy(wrong, change)
		k.fails(t, code, "uma_rp_get_claims_gathering_url", wrong)
	}
	for _, wrong := range []any{"", "/cb", back, "https://app.example.com/#f", []string{redirect.String(), "https://app.example.com/"}} {
		params["claims_redirect_uri"] = wrong
		k.fails(t, "invalid_claims_redirect_uri_parameter", "uma_rp_get_claims_gathering_url", params)
	}
	// An AS without the endpoint says so.
	keycloak := newUMAKit(t, devas.Options{Dialect: devas.Keycloak()})
	params["oxd_id"], params["claims_redirect_uri"] = keycloak.register(t, map[string]any{"scope": []string{"openid"}}), redirect.String()
	keycloak.fails(t, "no_uma_discovery_response", "uma_rp_get_claims_gathering_url", params)
}

func TestIntrospectRPT(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options devas.Options
		scope   []string
	}{
		"opaque":   {devas.Options{}, []string{"openid", "uma_protection"}},
		"jwt":      {devas.Options{RPTFormat: devas.FormatJWT}, []string{"openid", "uma_protection"}},
		"keycloak": {devas.Options{Dialect: devas.Keycloak()}, []string{"openid"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newUMAKit(t, tt.options)
			id := k.register(t, map[string]any{"scope": tt.scope})
			k.protect(t, id, photo, nil)
			k.permit(t, "[GET] /photo")
			rpt := k.rpt(t, id, "GET", "/photo")
			got := k.ok(t, "introspect_rpt", map[string]any{"oxd_id": id, "rpt": rpt})
			require.Equal(t, true, got["active"])
			require.IsType(t, 0.0, got["exp"])
			require.IsType(t, 0.0, got["iat"])
			permissions, _ := got["permissions"].([]any)
			require.Len(t, permissions, 1)
			permission, _ := permissions[0].(map[string]any)
			require.Equal(t, k.records(t, id)["[GET] /photo"], permission["resource_id"])
			require.Equal(t, []any{"view"}, permission["resource_scopes"])
			inactive := k.ok(t, "introspect_rpt", map[string]any{"oxd_id": id, "rpt": "016f84e8"})
			require.Equal(t, false, inactive["active"])
			require.Empty(t, inactive["permissions"])
			k.fails(t, "invalid_rpt_parameter", "introspect_rpt", map[string]any{"oxd_id": id})
			require.NoError(t, k.op.SetFault(devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultActiveString}))
			k.fails(t, "internal_error", "introspect_rpt", map[string]any{"oxd_id": id, "rpt": rpt})
		})
	}
}

func keysOf(m map[string]any) []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	return out
}

func mustText(t *testing.T, v any) string {
	t.Helper()
	s, ok := v.(string)
	require.True(t, ok, "%v", v)
	require.NotEmpty(t, s)
	return s
}
