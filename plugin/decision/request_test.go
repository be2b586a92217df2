package decision_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestRequests has every way a request is decided before its token is looked at,
// and every attack on that. The token, where there is one, may view albums.
func TestRequests(t *testing.T) {
	normalize := siteOf(func(s *config.Site) { s.AmbiguousPaths = config.PathsNormalize })
	unmatchedAllowed := siteOf(func(s *config.Site) { s.Unmatched = config.UnmatchedAllow })
	unmatchedAuthenticated := siteOf(func(s *config.Site) { s.Unmatched = config.UnmatchedAuthenticated })
	denied := siteOf(func(s *config.Site) {
		s.Unmatched = config.UnmatchedAllow
		s.Resources[4].Conditions = append(s.Resources[4].Conditions, config.Condition{Paths: []string{"/open/safe/**"}, Deny: true})
	})
	insensitive := siteOf(func(s *config.Site) { s.Case = config.CaseInsensitive })
	preflight := siteOf(func(s *config.Site) { s.CORSPreflight = config.VerdictAllow })
	monitor := siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor })
	off := siteOf(func(s *config.Site) { s.Mode = config.ModeOff })
	tests := []struct {
		name    string
		change  func(*config.Config)
		request *decision.Request
		want    string
	}{
		{"permitted", nil, ask("GET", "/albums/1", "token"), "allow permitted"},
		{"query", nil, ask("GET", "/albums/1?x=/../..%2f", "token"), "allow permitted"},
		{"public", nil, ask("GET", "/healthz", ""), "allow public"},
		{"public looks at no token", nil, ask("GET", "/healthz", "token"), "allow public"},
		{"public in a query opens nothing", nil, ask("GET", "/secret?/healthz", ""), "403 unmatched_path"},
		{"public behind a number sign", nil, ask("GET", "/secret#/healthz", ""), "400 ambiguous_path"},
		{"unmatched", nil, ask("GET", "/nothing", "token"), "403 unmatched_path"},
		{"unmatched is allowed", unmatchedAllowed, ask("GET", "/nothing", ""), "allow unmatched_allowed"},
		{"method not covered is not unmatched", unmatchedAllowed, ask("POST", "/albums/1", ""), "403 method_not_covered"},
		{"unmatched needs a token", unmatchedAuthenticated, ask("GET", "/nothing", ""), "401 no_token"},
		{"unmatched has a token", unmatchedAuthenticated, ask("GET", "/nothing", "token"), "allow unmatched_authenticated"},
		{"method not covered whatever the token", unmatchedAuthenticated, ask("POST", "/albums/1", "token"), "403 method_not_covered"},
		{"unmatched with two credentials", unmatchedAuthenticated, ask("GET", "/nothing", "a", "authorization", "Bearer b"), "400 invalid_request"},
		{"what a condition denies", denied, ask("GET", "/open/safe/1", "token"), "403 denied"},
		{"what a condition denies, without a token", denied, ask("GET", "/open/safe", ""), "403 denied"},
		{"what is beside it", denied, ask("GET", "/open/other", ""), "allow public"},
		{"method not covered", nil, ask("PATCH", "/albums/1", "token"), "403 method_not_covered"},

		{"HEAD needs what GET needs", nil, ask("HEAD", "/albums/1", "token"), "allow permitted"},
		{"HEAD without a token", nil, ask("HEAD", "/albums/1", ""), "401 no_token"},
		{"TRACE", nil, ask("TRACE", "/albums/1", "token"), "403 method_not_covered"},
		{"OPTIONS", nil, ask("OPTIONS", "/albums/1", ""), "403 method_not_covered"},
		{"lower case", nil, ask("get", "/albums/1", "token"), "405 method_not_forwarded"},
		{"lower case of a covered method", nil, ask("put", "/albums/1", "token"), "405 method_not_forwarded"},
		{"lower case where every method is covered", nil, ask("get", "/healthz", ""), "405 method_not_forwarded"},
		{"mixed case", nil, ask("GeT", "/albums/1", "token"), "405 method_not_forwarded"},
		{"method with a space", nil, ask("GET ", "/albums/1", "token"), "405 method_not_forwarded"},
		{"no method", nil, ask("", "/albums/1", "token"), "405 method_not_forwarded"},
		{"CONNECT", nil, ask("CONNECT", "/albums/1", "token"), "405 method_not_forwarded"},
		{"CONNECT without a path", nil, with(ask("CONNECT", "", ""), ":path", ""), "405 method_not_forwarded"},
		{"OPTIONS *", nil, ask("OPTIONS", "*", ""), "405 method_not_forwarded"},
		{"GET *", nil, ask("GET", "*", ""), "400 ambiguous_path"},
		{"method override", nil, ask("GET", "/albums/1", "token", "x-http-method-override", "DELETE"), "allow permitted"},

		{"preflight", preflight, ask("OPTIONS", "/albums/1", "", "origin", "https://app", "access-control-request-method", "PUT"), "allow cors_preflight"},
		{"preflight is denied", nil, ask("OPTIONS", "/albums/1", "", "origin", "https://app", "access-control-request-method", "PUT"), "403 method_not_covered"},
		{"preflight without an origin", preflight, ask("OPTIONS", "/albums/1", "", "access-control-request-method", "PUT"), "403 method_not_covered"},
		{"preflight without a method", preflight, ask("OPTIONS", "/albums/1", "", "origin", "https://app"), "403 method_not_covered"},
		{"GET is no preflight", preflight, ask("GET", "/albums/1", "", "origin", "https://app", "access-control-request-method", "PUT"), "401 no_token"},
		{"preflight of an ambiguous path", preflight, ask("OPTIONS", "/a/../b", "", "origin", "https://app", "access-control-request-method", "PUT"), "400 ambiguous_path"},

		{"trailing slash, one condition", nil, ask("GET", "/albums/1/", "token"), "allow permitted"},
		{"trailing slash, two readings", nil, ask("PUT", "/albums/1/", "token"), "400 ambiguous_path"},
		{"other case", nil, ask("GET", "/ALBUMS/1", "token"), "403 unmatched_path"},
		{"other case does not count", insensitive, ask("GET", "/ALBUMS/1", "token"), "allow permitted"},
		{"dot segments", nil, ask("GET", "/open/../albums/1", ""), "400 ambiguous_path"},
		{"dot segments are resolved first", normalize, ask("GET", "/open/../albums/1", ""), "401 no_token"},
		{"encoded", normalize, ask("GET", "/open/%2e%2E/%61lbums/1", ""), "401 no_token"},
		{"matrix parameter", normalize, ask("GET", "/open/..;/albums/1", ""), "401 no_token"},
		{"encoded slash", normalize, ask("GET", "/open%2f..%2falbums/1", ""), "401 no_token"},
		{"backslash", normalize, ask("GET", `/open\..\albums\1`, ""), "401 no_token"},
		{"empty segments", normalize, ask("GET", "//albums//1", ""), "401 no_token"},
		{"encoded semicolon", normalize, ask("GET", "/open/..%3B/albums/1", ""), "400 ambiguous_path"},
		{"double encoding", normalize, ask("GET", "/open/%252e%252e/albums/1", ""), "400 ambiguous_path"},
		{"overlong", normalize, ask("GET", "/open/%c0%ae%c0%ae/albums/1", ""), "400 ambiguous_path"},
		{"NUL", normalize, ask("GET", "/open%00/../albums/1", ""), "400 ambiguous_path"},
		{"rewritten", normalize, ask("GET", "/open/./a//b?c", ""), "allow public /open/a/b?c"},
		{"rewritten on a condition that watches", normalize, ask("GET", "/albums/../watched/1", ""), "monitor no_token /watched/1"},
		{"rewritten on a condition that is off", normalize, ask("GET", "/albums/1/../../loose/1", ""), "allow off /loose/1"},
		{"rewritten where nothing matches", func(c *config.Config) { normalize(c); unmatchedAllowed(c) }, ask("GET", "/albums/../x", ""), "allow unmatched_allowed /x"},
		{"not rewritten by a site that watches", func(c *config.Config) { normalize(c); monitor(c) }, ask("GET", "/open/./a", ""), "allow public"},
		{"rewritten for a condition that is enforced in a site that watches", func(c *config.Config) {
			normalize(c)
			monitor(c)
			c.Sites[0].Resources[0].Conditions[0].Mode = config.ModeEnforce
		}, ask("GET", "/open/../albums/1", "token"), "allow permitted /albums/1"},
		{"absolute form", nil, ask("GET", "https://photos.example.com/healthz", ""), "400 ambiguous_path"},
		{"absolute form of this host", normalize, ask("GET", "https://photos.example.com/albums/1", ""), "401 no_token"},
		{"absolute form of another host", normalize, ask("GET", "https://other.example.com/healthz", ""), "400 ambiguous_path"},
		{"X-Original-URL", nil, ask("GET", "/albums/1", "", "x-original-url", "/healthz"), "401 no_token"},
		{"X-Forwarded-Uri and the rest", nil, ask(
			"GET", "/albums/1", "", "x-forwarded-uri", "/healthz", "x-envoy-original-path", "/healthz", "x-forwarded-host", "open.example.com",
			"user-agent", "kube-probe/1.0", "x-forwarded-for", "127.0.0.1"), "401 no_token"},

		{"host with a port", nil, with(ask("GET", "/healthz", ""), ":authority", "PHOTOS.example.com:8443"), "allow public"},
		{"unknown host", nil, with(ask("GET", "/healthz", ""), ":authority", "other.example.com"), "403 unknown_host"},
		{"unknown host is allowed", func(c *config.Config) { c.UnknownHosts = config.VerdictAllow }, with(ask("GET", "/x/../y", ""), ":authority", "other.example.com"), "allow unknown_host_allowed"},
		{"no host", nil, with(ask("GET", "/healthz", ""), ":authority", ""), "400 invalid_host"},
		{"two hosts", nil, with(ask("GET", "/healthz", ""), ":authority", "photos.example.com,other.example.com"), "400 invalid_host"},
		{"trailing dot", nil, with(ask("GET", "/healthz", ""), ":authority", "photos.example.com."), "400 invalid_host"},
		{"userinfo", nil, with(ask("GET", "/healthz", ""), ":authority", "a@photos.example.com"), "400 invalid_host"},
		{"malformed host where unknown ones are allowed", func(c *config.Config) { c.UnknownHosts = config.VerdictAllow }, with(ask("GET", "/albums/1", ""), ":authority", "photos.example.com."), "400 invalid_host"},
		{"Host header is not :authority", nil, ask("GET", "/albums/1", "", "host", "other.example.com"), "401 no_token"},

		{"Expect", nil, ask("GET", "/albums/1", "token", "expect", "100-Continue"), "allow permitted"},
		{"unknown Expect", nil, ask("GET", "/albums/1", "token", "expect", "foo"), "417 expectation_failed"},
		{"two of Expect", nil, ask("GET", "/albums/1", "token", "expect", "foo", "expect", "100-continue"), "417 expectation_failed"},
		{"unknown Expect on a public path", nil, ask("GET", "/healthz", "", "expect", "100-continue, foo"), "417 expectation_failed"},

		{"two Authorization headers", nil, ask("GET", "/albums/1", "token", "authorization", "Bearer token"), "400 invalid_request"},
		{"three Authorization headers", nil, ask("GET", "/albums/1", "token", "authorization", "x", "authorization", "Bearer token"), "400 invalid_request"},
		{"joined by Envoy", nil, ask("GET", "/albums/1", "token,Bearer other"), "400 invalid_request"},
		{"Basic and Bearer", nil, ask("GET", "/albums/1", "", "authorization", "Basic dTpw", "authorization", "Bearer token"), "400 invalid_request"},
		{"Basic and Bearer joined", nil, ask("GET", "/albums/1", "", "authorization", "Basic dTpw,Bearer token"), "400 invalid_request"},
		{"malformed", nil, ask("GET", "/albums/1", "a b"), "400 invalid_request"},
		{"empty", nil, ask("GET", "/albums/1", "", "authorization", ""), "400 invalid_request"},
		{"another scheme", nil, ask("GET", "/albums/1", "", "authorization", "Basic dTpw"), "401 no_token"},
		{"DPoP", nil, ask("GET", "/albums/1", "", "authorization", "DPoP token"), "401 no_token"},
		{"token in the query", nil, ask("GET", "/albums/1?access_token=token", ""), "401 no_token"},
		{"malformed on a public path", nil, ask("GET", "/healthz", "a b"), "allow public"},

		{"condition that watches", nil, ask("GET", "/watched/1", ""), "monitor no_token"},
		{"condition that watches, malformed", nil, ask("GET", "/watched/1", "a b"), "monitor invalid_request"},
		{"condition that watches, token lacks it", nil, ask("GET", "/watched/1", "token"), "monitor insufficient_permission"},
		{"condition that is off", nil, ask("GET", "/loose/1", "token"), "allow off"},
		{"ambiguous before a condition that is off", nil, ask("GET", "/albums/../loose/1", "token"), "400 ambiguous_path"},
		{"site that watches", monitor, ask("GET", "/albums/1", ""), "monitor no_token"},
		{"site that watches, permitted", monitor, ask("GET", "/albums/1", "token"), "allow permitted"},
		{"site that watches, ambiguous", monitor, ask("GET", "/albums/../1", ""), "monitor ambiguous_path"},
		{"site that watches, unmatched", monitor, ask("GET", "/nothing", ""), "monitor unmatched_path"},
		{"site that watches, unmatched needs a token", func(c *config.Config) { monitor(c); unmatchedAuthenticated(c) }, ask("GET", "/nothing", ""), "monitor no_token"},
		{"site that watches, unmatched needs a token where a condition is enforced", func(c *config.Config) {
			monitor(c)
			unmatchedAuthenticated(c)
			c.Sites[0].Resources[0].Conditions[0].Mode = config.ModeEnforce
		}, ask("GET", "/nothing", ""), "401 no_token"},
		{"site that watches, what a condition denies", func(c *config.Config) { denied(c); monitor(c) }, ask("GET", "/open/safe/1", ""), "monitor denied"},
		{"site that watches, CONNECT", monitor, ask("CONNECT", "", ""), "405 method_not_forwarded"},
		{"site that watches, a condition that does not", func(c *config.Config) {
			monitor(c)
			c.Sites[0].Resources[0].Conditions[0].Mode = config.ModeEnforce
		}, ask("GET", "/albums/1", ""), "401 no_token"},
		{"site that is off", off, ask("GET", "/albums/../1", "a b"), "allow off"},
		{"site that is off, a condition that is not", func(c *config.Config) {
			off(c)
			c.Sites[0].Resources[0].Conditions[0].Mode = config.ModeEnforce
		}, ask("GET", "/albums/1", ""), "allow off"},

		{"AS not known yet", siteOf(func(s *config.Site) { s.AuthorizationServer = config.AuthorizationServer{Unknown: true} }), ask("GET", "/albums/1", "token"), "503 as_unreachable"},
		{"AS not known yet, no token", siteOf(func(s *config.Site) { s.AuthorizationServer = config.AuthorizationServer{Unknown: true} }), ask("GET", "/albums/1", ""), "403 no_ticket"},
		{"AS not known yet, public", siteOf(func(s *config.Site) { s.AuthorizationServer = config.AuthorizationServer{Unknown: true} }), ask("GET", "/healthz", ""), "allow public"},
		{"resource not registered", nil, ask("GET", "/drafts", ""), "403 resource_not_registered"},
		{"resource not registered, with a token", nil, ask("GET", "/drafts", "token"), "403 resource_not_registered"},
		{"nothing at all", nil, &decision.Request{}, "400 invalid_host"},
		{"a header without a name", nil, ask("GET", "/healthz", "", "", "x"), "allow public"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*config.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			h := newHarness(t, change...)
			x, step := h.decide(tt.request, viewR1)
			require.Equal(t, tt.want, outcome(x, step))
			if step.Kind == decision.KindDeny {
				requireProblem(t, x, step)
			}
		})
	}
}

// with replaces a header.
func with(r *decision.Request, name, value string) *decision.Request {
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			r.Headers[i].Value = value
		}
	}
	return r
}

// requireProblem looks at what every denial has.
func requireProblem(t *testing.T, x *decision.Exchange, step decision.Step) {
	t.Helper()
	require.Equal(t, "no-store", value(t, step.Deny.Headers, "cache-control"))
	require.Equal(t, "application/problem+json", value(t, step.Deny.Headers, "content-type"))
	require.Equal(t, int32(-1), step.Deny.GRPCStatus)
	var body struct {
		Type, Title, Code, Detail string
		Status                    int
	}
	decodeStrictly(t, step.Deny.Body, &body)
	require.Equal(t, step.Deny.Status, body.Status)
	require.Equal(t, x.Decision().Status, body.Status)
	require.Equal(t, x.Decision().Reason.String(), body.Code)
	require.NotEmpty(t, body.Title)
	require.NotEmpty(t, body.Detail)
	for _, h := range step.Deny.Headers {
		require.Equal(t, strings.ToLower(h.Name), h.Name)
		require.False(t, strings.ContainsAny(h.Value, "\r\n\x00"))
	}
}

// forged has a spelling of every header that an API may take for one of ours.
var forged = []string{
	"x-uma-subject", "X-Uma-Subject", "x_uma_subject", "x.uma.subject", "X_UMA-Subject", "x-uma-anything", "x-uma-", "x!uma~client-id", "x uma subject",
	"content_length", "Content.Length", "transfer_encoding", "Transfer_Encoding",
}

var overriding = []string{
	"x-http-method-override", "x_http_method_override", "x-http-method", "x-method-override", "x-original-url", "X.Original.URL", "x-rewrite-url",
	"x-original-uri", "x-forwarded-uri", "x-forwarded-path", "x-original-method", "x-forwarded-method", "x-envoy-original-path", "x-envoy-original-method",
	"x-override-url", "x-original-path",
	"forwarded", "Forwarded", "x-forwarded-host", "X_Forwarded_Host", "x-forwarded-prefix", "x-forwarded-port", "x-forwarded-server", "x-forwarded-scheme",
	"x-original-host", "x-host", "x-http-host-override", "x-script-name", "x-forwarded-script-name", "x-original-pathbase", "x-scheme", "x-rewrite-uri",
	"x-envoy-original-host",
}

// TestForgedHeaders: whatever lets a request pass, what a client must not send
// is removed.
func TestForgedHeaders(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*config.Config)
		request func() *decision.Request
		reason  decision.Reason
	}{
		{"permitted", nil, func() *decision.Request { return ask("GET", "/albums/1", "token") }, decision.ReasonPermitted},
		{"public", nil, func() *decision.Request { return ask("GET", "/healthz", "") }, decision.ReasonPublic},
		{
			"unmatched", siteOf(func(s *config.Site) { s.Unmatched = config.UnmatchedAllow }),
			func() *decision.Request { return ask("GET", "/nothing", "") }, decision.ReasonUnmatchedAllowed,
		},
		{
			"preflight", siteOf(func(s *config.Site) { s.CORSPreflight = config.VerdictAllow }),
			func() *decision.Request {
				return ask("OPTIONS", "/albums/1", "", "origin", "a", "access-control-request-method", "PUT")
			}, decision.ReasonPreflight,
		},
		{"condition that watches", nil, func() *decision.Request { return ask("GET", "/watched/1", "") }, decision.ReasonNoToken},
		{"condition that is off", nil, func() *decision.Request { return ask("GET", "/loose/1", "") }, decision.ReasonOff},
		{"site that watches", siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor }), func() *decision.Request { return ask("GET", "/a/../b", "") }, decision.ReasonAmbiguousPath},
		{"site that is off", siteOf(func(s *config.Site) { s.Mode = config.ModeOff }), func() *decision.Request { return ask("GET", "/albums/1", "") }, decision.ReasonOff},
		{
			"unknown host", func(c *config.Config) { c.UnknownHosts = config.VerdictAllow },
			func() *decision.Request { return with(ask("GET", "/", ""), ":authority", "other") }, decision.ReasonUnknownHostAllowed,
		},
	}
	for _, tt := range tests {
		for _, keep := range []bool{false, true} {
			name := tt.name + ", overrides stripped"
			if keep {
				name = tt.name + ", overrides kept"
			}
			t.Run(name, func(t *testing.T) {
				change := []func(*config.Config){siteOf(func(s *config.Site) {
					if keep {
						s.OverrideHeaders = config.HeaderKeep
					}
				})}
				if tt.change != nil {
					change = append(change, tt.change)
				}
				h := newHarness(t, change...)
				r := tt.request()
				for _, name := range slices.Concat(forged, overriding, []string{"x-umami", "x-request-id", "uma-subject", "x-um"}) {
					r.Headers = append(r.Headers, decision.Header{Name: name, Value: "alice"}, decision.Header{Name: name, Value: "mallory"})
				}
				x, step := h.decide(r, viewR1)
				require.Equal(t, decision.KindAllow, step.Kind)
				require.Equal(t, tt.reason, x.Decision().Reason)
				removed := slices.Clone(step.Allow.Remove)
				slices.Sort(removed)
				removed = slices.Compact(removed)
				want := slices.Clone(forged)
				if !keep || tt.name == "unknown host" {
					want = append(want, overriding...)
				}
				require.ElementsMatch(t, want, removed)
			})
		}
	}
}

// TestIdentityHeaders: what the API is told of the token, and that nothing the AS
// says becomes another header.
func TestIdentityHeaders(t *testing.T) {
	tests := []struct {
		name, answer                      string
		subject, client, scopes, resource string
	}{
		{"all", editR1, "bob", "app", "view edit", "r1"},
		{"no subject", `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, "", "", "view", "r1"},
		{
			"line ends", `{"active":true,"sub":"bob\r\nx-admin: 1","client_id":"a\u0000b","permissions":[{"resource_id":"r1","resource_scopes":["view","x\r\ny"]}]}`,
			"bob%0D%0Ax-admin: 1", "a%00b", "view", "r1",
		},
		{
			"percent and not ASCII", `{"active":true,"sub":"100% böb","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`,
			"100%25 b%C3%B6b", "", "view", "r1",
		},
		{
			"spaces at the ends", `{"active":true,"sub":" bob ","client_id":" ","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`,
			"%20bob%20", "%20", "view", "r1",
		},
		{
			"a scope with a space is not two", `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view","a admin",""]}]}`,
			"", "", "view", "r1",
		},
		{
			"only what is for this resource", `{"active":true,"permissions":[{"resource_id":"r2","resource_scopes":["read"]},
				{"resource_id":"r1","resource_scopes":["view"]},{"resource_id":"r1","resource_scopes":["edit"]},{"resource_id":"r1","resource_scopes":["late"],"exp":1}]}`,
			"", "", "view edit", "r1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			x, step := h.decide(ask("GET", "/albums/1", "token"), tt.answer)
			require.Equal(t, "allow permitted", outcome(x, step))
			require.Equal(t, tt.subject, value(t, step.Allow.Set, "x-uma-subject"))
			require.Equal(t, tt.client, value(t, step.Allow.Set, "x-uma-client-id"))
			require.Equal(t, tt.scopes, value(t, step.Allow.Set, "x-uma-scopes"))
			require.Equal(t, tt.resource, value(t, step.Allow.Set, "x-uma-resource-id"))
			require.NotContains(t, step.Allow.Remove, "authorization")
		})
	}
}

// TestAuthorizationHeader: with "strip" the API never sees a token.
func TestAuthorizationHeader(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*config.Site)
		request *decision.Request
		want    bool
	}{
		{"permitted", nil, ask("GET", "/albums/1", "token"), true},
		{"public", nil, ask("GET", "/healthz", "token"), true},
		{"public, another scheme", nil, ask("GET", "/healthz", "", "authorization", "Basic dTpw"), false},
		{"unmatched", func(s *config.Site) { s.Unmatched = config.UnmatchedAllow }, ask("GET", "/nothing", "token"), true},
		{"condition that watches", nil, ask("GET", "/watched/1", "token"), false},
		{"condition that is off", nil, ask("GET", "/loose/1", "token"), false},
		{"site that is off", func(s *config.Site) { s.Mode = config.ModeOff }, ask("GET", "/albums/1", "token"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, siteOf(func(s *config.Site) {
				s.Token.AuthorizationHeader = config.HeaderStrip
				if tt.change != nil {
					tt.change(s)
				}
			}))
			_, step := h.decide(tt.request, viewR1)
			require.Equal(t, decision.KindAllow, step.Kind)
			require.Equal(t, tt.want, slices.Contains(step.Allow.Remove, "authorization"))
		})
	}
}

// TestGRPC: a gRPC client gets a status of its own kind.
func TestGRPC(t *testing.T) {
	tests := []struct {
		name    string
		request *decision.Request
		status  int
		grpc    int32
	}{
		{"no token", ask("GET", "/albums/1", ""), 401, 16},
		{"unmatched", ask("POST", "/pkg.Service/Method", ""), 403, 7},
		{"malformed", ask("GET", "/albums/1", "a b"), 400, 3},
		{"CONNECT", ask("CONNECT", "", ""), 405, 12},
		{"Expect", ask("GET", "/albums/1", "", "expect", "x"), 417, 3},
	}
	for _, tt := range tests {
		for contentType, isGRPC := range map[string]bool{
			"application/grpc": true, "application/grpc+proto": true, "application/grpc;charset=utf-8": true,
			"application/grpc-web": false, "application/grpcx": false, "application/json": false,
		} {
			t.Run(tt.name+" "+contentType, func(t *testing.T) {
				h := newHarness(t)
				r := &decision.Request{Headers: append(slices.Clone(tt.request.Headers), decision.Header{Name: "content-type", Value: contentType})}
				x, step := h.decide(r, viewR1)
				require.Equal(t, decision.KindDeny, step.Kind)
				require.Equal(t, tt.status, step.Deny.Status)
				if !isGRPC {
					requireProblem(t, x, step)
					return
				}
				require.Equal(t, tt.grpc, step.Deny.GRPCStatus)
				require.Equal(t, x.Decision().Reason.String()+": "+x.Decision().Reason.Detail(), step.Deny.Body, "it becomes grpc-message")
				require.Equal(t, "no-store", value(t, step.Deny.Headers, "cache-control"))
			})
		}
	}
	t.Run("limits and a failing AS", func(t *testing.T) {
		h := newHarness(t, siteOf(func(s *config.Site) { s.Limits.CallsInFlight = 1 }))
		_, step := h.start(ask("GET", "/albums/1", "token", "content-type", "application/grpc"))
		_, limited := h.start(ask("GET", "/albums/1", "", "content-type", "application/grpc"))
		require.Equal(t, int32(8), limited.Deny.GRPCStatus)
		require.Equal(t, int32(14), h.reply(step, 0, "").Deny.GRPCStatus)
	})
}
