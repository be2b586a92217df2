package suite_test

import (
	"encoding/base64"
	"maps"
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

const appOrigin = "https://app.example.com"

// withCORS is a site whose answers the pages of one origin may read.
func withCORS(_ *env, s *config.Site) {
	s.CORS = &config.CORS{AllowOrigins: []string{appOrigin}, AllowCredentials: true, AllowHeaders: []string{"x-app"}, MaxAgeS: 600}
}

// browserScenarios are about what only browsers do.
func browserScenarios() []scenario {
	from := func(origin string, pairs ...string) http.Header {
		h := http.Header{"Origin": {origin}}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	readable := map[string]string{
		"Access-Control-Allow-Origin": appOrigin, "Access-Control-Allow-Credentials": "true", "Vary": "origin",
		"Access-Control-Expose-Headers": "www-authenticate, retry-after, warning",
	}
	hidden := map[string]string{
		"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Access-Control-Expose-Headers": "", "Vary": "origin",
	}
	answered := map[string]string{
		"Access-Control-Allow-Origin": appOrigin, "Access-Control-Allow-Credentials": "true", "Vary": "origin",
		"Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "Access-Control-Allow-Headers": "authorization, content-type, x-app",
		"Access-Control-Max-Age": "600", "Access-Control-Allow-Private-Network": "",
	}
	own := maps.Clone(hidden)
	own["Access-Control-Allow-Origin"], own["Vary"] = "https://b.example", ""
	document := map[string]string{"Content-Type": "application/json", "Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*", "Vary": ""}
	const asks = "Access-Control-Request-Method"
	return []scenario{
		{
			name: "token-sources", once: true, needs: canUpgrade,
			site: func(e *env, s *config.Site) {
				withCORS(e, s)
				s.Token.From = config.TokenSources{Cookie: "token", WebSocketProtocol: "bearer.example.com", Query: "access_token"}
			},
			run: tokenSources,
		},
		{
			name: "cors", once: true, site: withCORS,
			steps: []step{
				{name: "preflight", method: "OPTIONS", path: "/echo/album/a", header: from(appOrigin, asks, "PUT"), status: 204, own: true, answer: answered},
				{name: "preflight of a path that nobody may have", method: "OPTIONS", path: "/echo/nowhere", header: from(appOrigin, asks, "GET"), status: 204, own: true, answer: answered},
				{name: "preflight of another origin", method: "OPTIONS", path: "/echo/album/a", header: from("https://app.example.com.evil", asks, "PUT"), status: 403, code: "cors_origin_not_allowed", answer: hidden},
				{name: "preflight of nobody", method: "OPTIONS", path: "/echo/album/a", header: from("null", asks, "PUT"), status: 403, code: "cors_origin_not_allowed", answer: hidden},
				{name: "two origins", method: "OPTIONS", path: "/echo/album/a", header: http.Header{"Origin": {appOrigin, appOrigin}, asks: {"GET"}}, status: 403, code: "cors_origin_not_allowed", answer: hidden},
				{name: "OPTIONS that is no preflight", method: "OPTIONS", path: "/echo/album/a", header: from(appOrigin), status: 403, code: "method_not_covered", answer: readable},
				{name: "401", path: "/echo/album/a", header: from(appOrigin), status: 401, code: "no_token", challenge: "UMA", tickets: 1, answer: readable},
				{name: "401 of a token", path: "/echo/album/a", header: from(appOrigin), token: "=nothing", status: 401, code: "inactive_token", challenge: "UMA", fault: "invalid_token", introspections: 1, tickets: 1, answer: readable},
				{name: "401 for another origin", path: "/echo/album/a", header: from("https://evil-app.example.com"), status: 401, code: "no_token", challenge: "UMA", tickets: 1, answer: hidden},
				{name: "403", path: "/echo/nowhere", header: from(appOrigin), status: 403, code: "unmatched_path", answer: readable},
				{name: "400", path: "/echo//album", header: from(appOrigin), status: 400, code: "ambiguous_path", answer: readable},
				{name: "the API's answer", path: "/echo/public/a", header: from(appOrigin), status: 200, answer: readable},
				{name: "the API's answer for a token", path: "/echo/album/a", header: from(appOrigin), token: "alice/album/view", status: 200, introspections: 1, answer: readable},
				{name: "the API's answer for another origin", path: "/echo/public/a", header: from("https://evil.example"), status: 200, answer: hidden},
				{name: "the API's answer for no page", path: "/echo/public/a", status: 200, answer: hidden},
				{name: "an API with its own policy", path: "/echo/public/a", header: from(appOrigin, "X-Suite-Cors", "https://b.example"), status: 200, answer: own},
			},
		},
		{
			name: "metadata", once: true, site: withMetadata,
			steps: []step{
				{name: "the document", path: metadataPath, status: 200, own: true, answer: document},
				{name: "with a token", path: metadataPath, token: "=nothing", status: 200, own: true, answer: document},
				{name: "with a query", path: metadataPath + "?v=1", status: 200, own: true, answer: document},
				{name: "without its body", method: "HEAD", path: metadataPath, status: 200, own: true, answer: document},
				{name: "preflight", method: "OPTIONS", path: metadataPath, header: from("https://any.example", asks, "GET"), status: 204, own: true, answer: map[string]string{
					"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD", "Access-Control-Allow-Headers": "*", "Vary": "",
				}},
				{name: "not to be written", method: "POST", path: metadataPath, status: 403, code: "unmatched_path"},
				{name: "nor below it", path: metadataPath + "/a", status: 403, code: "unmatched_path"},
				{name: "nor in other letters", path: "/.well-known/OAUTH-protected-resource/echo/album", status: 403, code: "unmatched_path"},
			},
			run: metadataTold,
		},
		{
			name: "cors-none", once: true,
			steps: []step{
				{name: "preflight", method: "OPTIONS", path: "/echo/album/a", header: from(appOrigin, asks, "PUT"), status: 403, code: "method_not_covered", answer: withoutPolicy(hidden)},
				{name: "the API's answer", path: "/echo/public/a", header: from(appOrigin), status: 200, answer: withoutPolicy(hidden)},
			},
		},
		{
			name: "cors-preflights-to-the-api", once: true,
			site: func(e *env, s *config.Site) {
				withCORS(e, s)
				s.CORSPreflight = config.VerdictAllow
			},
			steps: []step{
				{name: "preflight", method: "OPTIONS", path: "/echo/album/a", header: from(appOrigin, asks, "PUT", "X-Suite-Cors", "https://b.example"), status: 200, answer: own},
				{name: "401", path: "/echo/album/a", header: from(appOrigin), status: 401, code: "no_token", challenge: "UMA", tickets: 1, answer: readable},
			},
		},
	}
}

const metadataPath = "/.well-known/oauth-protected-resource/echo/album"

// withMetadata is a site that tells clients where its tokens are had.
func withMetadata(e *env, s *config.Site) {
	s.Challenge = config.ChallengeBoth
	s.Metadata = &config.Metadata{
		Documents: []config.MetadataDocument{{Resource: "https://" + e.host + "/echo/album", Document: `{"resource":"https://` + e.host + `/echo/album"}`}},
		Scopes:    []string{"openid"},
	}
}

// metadataTold looks at what is in an answer, and at a client that knows one scheme only.
func metadataTold(e *env) {
	t, url := e.t, "https://"+e.host+metadataPath
	a := e.client.do(t, e.request(t, &step{path: metadataPath}, ""))
	require.JSONEq(t, `{"resource":"https://`+e.host+`/echo/album"}`, string(a.body))
	a = e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, ""))
	told := a.header.Values("Www-Authenticate")
	require.Len(t, told, 2)
	require.Equal(t, `Bearer realm="`+e.name+`", scope="openid", resource_metadata="`+url+`"`, told[0])
	require.Equal(t, url, parseChallenge(told[1]).params["resource_metadata"])
	require.NotEmpty(t, parseChallenge(told[1]).params["ticket"])
}

// withoutPolicy are the headers of an answer of a site without a policy.
func withoutPolicy(hidden map[string]string) map[string]string {
	none := maps.Clone(hidden)
	none["Vary"] = ""
	return none
}

// tokenSources sends tokens where pages can put them. The API gets none of them.
func tokenSources(e *env) {
	t, token := e.t, e.fresh(e.t, "view")
	ask := func(s step) *answer {
		s.path = "/echo/album/" + s.path
		return e.client.do(t, e.request(t, &s, ""))
	}
	a := ask(step{path: "cookie", header: http.Header{"Cookie": {"a=b; token=" + token}, "Origin": {appOrigin}}})
	require.Equal(t, 200, a.status, string(a.body))
	require.Equal(t, []string{"a=b"}, a.echo.Headers.Values("Cookie"))
	require.Empty(t, a.echo.Headers.Values("Authorization"))
	require.Equal(t, "private", a.header.Get("Cache-Control"))
	a = ask(step{path: "cookie", header: http.Header{"Cookie": {"token=" + token}, "Origin": {"https://evil.example"}}})
	require.Equal(t, 403, a.status)
	require.Equal(t, "foreign_page", a.code)
	a = ask(step{path: "cookie", method: "PUT", header: http.Header{"Cookie": {"token=" + token}}})
	require.Equal(t, "foreign_page", a.code)

	events := http.Header{"Accept": {"text/event-stream"}}
	a = ask(step{path: "query?a=b&access_token=" + token + "&c=d", header: events})
	require.Equal(t, 200, a.status, string(a.body))
	require.Equal(t, "/echo/album/query?a=b&c=d", a.echo.Target)
	require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
	for _, c := range []step{
		{path: "query?access_token=" + token},
		{path: "query?access_token=" + token, header: http.Header{"Accept": {"text/event-stream"}, "Cookie": {"token=" + token}}},
		{path: "query", header: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"token=" + token}}},
	} {
		a = ask(c)
		require.Equal(t, 400, a.status, c)
		require.Equal(t, "invalid_request", a.code)
	}

	protocol := "bearer.example.com." + base64.RawURLEncoding.EncodeToString([]byte(token))
	for offered, want := range map[string]struct {
		status          int
		chosen, arrives string
	}{
		"bearer.example.com, " + protocol: {101, "bearer.example.com", ""},
		protocol + ", chat":               {101, "", "chat"},
		protocol:                          {400, "", ""},
		protocol + ", chat\r\nAuthorization: Bearer " + token: {400, "", ""},
	} {
		a := rawRequest(t, e.gw.address(), "GET /echo/album/socket HTTP/1.1\r\nHost: "+e.host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: "+offered+"\r\n\r\n")
		require.NotNil(t, a)
		require.Equal(t, want.status, a.status, offered)
		require.Equal(t, want.chosen, a.header.Get("Sec-Websocket-Protocol"), offered)
		require.Equal(t, want.arrives, a.header.Get("X-Offered"), offered)
	}
}
