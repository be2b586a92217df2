package decision_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

const (
	tokenProtocol = "base64url.bearer.authorization.example.com"
	goodToken     = "good+/token=="
)

// allPlaces is a site that takes tokens from wherever one may be.
func allPlaces(s *config.Site) {
	s.Token.From = config.TokenSources{Cookie: "__Host-token", WebSocketProtocol: tokenProtocol, Query: "access_token"}
}

func offered(token string) string {
	return tokenProtocol + "." + base64.RawURLEncoding.EncodeToString([]byte(token))
}

// TestTokenSources: where a token is found, what is taken out of the request for it, and
// what is refused.
func TestTokenSources(t *testing.T) {
	const events = "text/event-stream"
	webSocket := func(protocols ...string) []string {
		pairs := []string{"connection", "Upgrade", "upgrade", "websocket"}
		for _, p := range protocols {
			pairs = append(pairs, "sec-websocket-protocol", p)
		}
		return pairs
	}
	for _, c := range []struct {
		name, method, path string
		headers            []string
		want               string // the code of the reason
		takenPath          string
		taken              string // headers that stay
	}{
		{"a cookie", "GET", "/albums/1", []string{"cookie", "__Host-token=" + goodToken}, "permitted", "", ""},
		{"a cookie among others", "GET", "/albums/1", []string{"cookie", "a=b; __Host-token=" + goodToken + ";c=d", "cookie", "e=f"}, "permitted", "", "cookie: a=b; c=d; e=f"},
		{"an empty cookie", "GET", "/albums/1", []string{"cookie", "__Host-token="}, "", "", ""},
		{"two cookies", "GET", "/albums/1", []string{"cookie", "__Host-token=a; __Host-token=a"}, "invalid_request", "", ""},
		{"a quoted cookie", "GET", "/albums/1", []string{"cookie", `__Host-token="a"`}, "invalid_request", "", ""},
		{"a cookie and Authorization", "GET", "/albums/1", []string{"cookie", "__Host-token=a", "authorization", "Bearer a"}, "invalid_request", "", ""},
		{"another name", "GET", "/albums/1", []string{"cookie", "__host-token=a; x__Host-token=a"}, "", "-", ""},
		{"a public path", "GET", "/healthz", []string{"cookie", "__Host-token=a"}, "public", "", ""},

		{"of this host", "PUT", "/albums/1", []string{"cookie", "__Host-token=" + goodToken, "origin", "https://photos.example.com"}, "permitted", "", ""},
		{"of this host, without TLS", "PUT", "/albums/1", []string{"cookie", "__Host-token=a", "origin", "http://photos.example.com"}, "foreign_page", "", ""},
		{"of a listed origin", "PUT", "/albums/1", []string{"cookie", "__Host-token=" + goodToken, "origin", "https://app.example.com"}, "permitted", "", ""},
		{"of another origin", "PUT", "/albums/1", []string{"cookie", "__Host-token=a", "origin", "https://photos.example.com.evil"}, "foreign_page", "", ""},
		{"read by another origin", "GET", "/albums/1", []string{"cookie", "__Host-token=a", "origin", "https://evil.example"}, "foreign_page", "", ""},
		{"of two origins", "PUT", "/albums/1", []string{"cookie", "__Host-token=a", "origin", "https://app.example.com", "origin", "https://app.example.com"}, "foreign_page", "", ""},
		{"of nobody", "GET", "/albums/1", []string{"cookie", "__Host-token=a", "origin", "null"}, "foreign_page", "", ""},
		{"a change without an origin", "PUT", "/albums/1", []string{"cookie", "__Host-token=a"}, "foreign_page", "", ""},
		{"a change of this page", "PUT", "/albums/1", []string{"cookie", "__Host-token=" + goodToken, "sec-fetch-site", "same-origin"}, "permitted", "", ""},
		{"a change of a sibling", "PUT", "/albums/1", []string{"cookie", "__Host-token=a", "sec-fetch-site", "same-site"}, "foreign_page", "", ""},
		{"a picture in another page", "GET", "/albums/1", []string{"cookie", "__Host-token=a", "sec-fetch-site", "cross-site", "sec-fetch-mode", "no-cors", "sec-fetch-dest", "image"}, "foreign_page", "", ""},
		{"a frame in another page", "GET", "/albums/1", []string{"cookie", "__Host-token=a", "sec-fetch-site", "cross-site", "sec-fetch-mode", "navigate", "sec-fetch-dest", "iframe"}, "foreign_page", "", ""},
		{"a link", "GET", "/albums/1", []string{"cookie", "__Host-token=" + goodToken, "sec-fetch-site", "cross-site", "sec-fetch-mode", "navigate", "sec-fetch-dest", "document"}, "permitted", "", ""},
		{"a WebSocket without an origin", "GET", "/albums/1", append(webSocket(), "cookie", "__Host-token=a"), "foreign_page", "", ""},

		{"a protocol", "GET", "/albums/1", webSocket(offered(goodToken) + ", chat"), "permitted", "", "sec-websocket-protocol: chat"},
		{"a protocol in two headers", "GET", "/albums/1", webSocket("chat", offered(goodToken), "v2"), "permitted", "", "sec-websocket-protocol: chat, v2"},
		{"its name for want of others", "GET", "/albums/1", webSocket(tokenProtocol + "," + offered(goodToken)), "permitted", "", ""},
		{"a protocol alone, which cannot be answered", "GET", "/albums/1", webSocket(offered(goodToken)), "invalid_request", "", ""},
		{"two protocols", "GET", "/albums/1", webSocket(offered("a"), offered("a"), "chat"), "invalid_request", "", "sec-websocket-protocol: chat"},
		{"no base64url", "GET", "/albums/1", webSocket(tokenProtocol+".a+b", "chat"), "invalid_request", "", "sec-websocket-protocol: chat"},
		{"padding", "GET", "/albums/1", webSocket(offered("a")+"==", "chat"), "invalid_request", "", "sec-websocket-protocol: chat"},
		{"nothing", "GET", "/albums/1", webSocket(tokenProtocol+".", "chat"), "invalid_request", "", "sec-websocket-protocol: chat"},
		{"no WebSocket", "GET", "/albums/1", []string{"sec-websocket-protocol", offered("a") + ", chat"}, "invalid_request", "", "sec-websocket-protocol: chat"},

		{"the query", "GET", "/albums/1?access_token=good%2B%2Ftoken%3D%3D", []string{"accept", events}, "permitted", "/albums/1", ""},
		{"among other fields", "GET", "/albums/1?a=b&access_token=good%2b/token==;c=d&", []string{"accept", "*/*, Text/Event-Stream;q=1"}, "permitted", "/albums/1?a=b;c=d&", ""},
		{"first of them", "GET", "/albums/1?access%5Ftoken=" + goodTokenEscaped + "&c", []string{"accept", events}, "permitted", "/albums/1?c", ""},
		{"not for events", "GET", "/albums/1?access_token=a", nil, "invalid_request", "/albums/1", ""},
		{"not by GET", "PUT", "/albums/1?access_token=a&b", []string{"accept", events}, "invalid_request", "/albums/1?b", ""},
		{"twice", "GET", "/albums/1?access_token=a&access_token=a", []string{"accept", events}, "invalid_request", "/albums/1", ""},
		{"a blank", "GET", "/albums/1?access_token=a+b", []string{"accept", events}, "invalid_request", "/albums/1", ""},
		{"half an escape", "GET", "/albums/1?access_token=a%2", []string{"accept", events}, "invalid_request", "/albums/1", ""},
		{"empty", "GET", "/albums/1?access_token=", []string{"accept", events}, "invalid_request", "/albums/1", ""},
		{"query and cookie", "GET", "/albums/1?access_token=a", []string{"accept", events, "cookie", "__Host-token=a; b=c"}, "invalid_request", "/albums/1", "cookie: b=c"},
		{"query and Authorization", "GET", "/albums/1?access_token=a", []string{"accept", events, "authorization", "Bearer a"}, "invalid_request", "/albums/1", ""},
		{"a public path", "GET", "/healthz?access_token=a&b=c", []string{"accept", events}, "public", "/healthz?b=c", ""},
		{"a refused path", "GET", "/nothing?access_token=a", []string{"accept", events}, "unmatched_path", "/nothing", ""},
		{"a refused method", "get", "/albums/1?access_token=a", []string{"accept", events}, "method_not_forwarded", "/albums/1", ""},
		{"a tunnel", "CONNECT", "/albums/1?access_token=a", []string{"cookie", "__Host-token=a"}, "method_not_forwarded", "/albums/1", ""},
		{"a refused Expect", "GET", "/albums/1?access_token=a", []string{"accept", events, "expect", "a"}, "expectation_failed", "/albums/1", ""},
		{"a page that had it, escaped", "GET", "/healthz", []string{"referer", "https://photos.example.com/?access%5Ftoken=a"}, "public", "", ""},
		{"a page that had it", "GET", "/healthz", []string{"referer", "https://photos.example.com/?access_token=a"}, "public", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, siteOf(shared), siteOf(allPlaces))
			h.evaluator.Policy()
			r := ask(c.method, c.path, "", c.headers...)
			x, step := h.start(r)
			taken := x.Taken()
			require.Nil(t, x.Taken())
			var asked string
			for range 2 {
				if step.Kind != decision.KindCall {
					break
				}
				if step.Call.Purpose == decision.PurposeIntrospect {
					asked = string(step.Call.Body)
				}
				step = h.reply(step, map[bool]int{true: 200, false: 201}[step.Call.Purpose == decision.PurposeIntrospect],
					map[bool]string{true: editR1, false: `{"ticket":"t1"}`}[step.Call.Purpose == decision.PurposeIntrospect])
			}
			if c.want == "" {
				c.want = "no_token"
			}
			require.Equal(t, c.want, x.Decision().Reason.String())
			if c.want == "permitted" {
				require.Contains(t, asked, "good%2B%2Ftoken%3D%3D")
			}
			if c.takenPath == "-" {
				require.Nil(t, taken)
				return
			}
			require.NotNil(t, taken)
			require.Equal(t, c.takenPath, taken.Path)
			var stays []string
			for _, s := range taken.Set {
				stays = append(stays, s.Name+": "+s.Value)
				require.True(t, slices.Contains(taken.Remove, s.Name))
			}
			require.Equal(t, c.taken, strings.Join(stays, "\n"))
		})
	}
}

const goodTokenEscaped = "good%2B%2Ftoken=="

// TestTokenSourcesAreOptIn: a site that says nothing looks nowhere, and one that enforces
// nothing takes nothing away.
func TestTokenSourcesAreOptIn(t *testing.T) {
	r := ask("GET", "/albums/1?access_token=a", "", "accept", "text/event-stream", "cookie", "__Host-token=a")
	h := newHarness(t)
	x, step := h.start(r)
	require.Nil(t, x.Taken())
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
	h = newHarness(t, siteOf(allPlaces), siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor }))
	x, step = h.start(r)
	require.Nil(t, x.Taken())
	require.Equal(t, decision.KindAllow, step.Kind)
	require.Equal(t, decision.ReasonInvalidCredentials, x.Decision().Reason)
}

func TestTokenSourceFaults(t *testing.T) {
	for member, from := range map[string]config.TokenSources{
		"cookie": {Cookie: "a;b"}, "websocket_protocol": {WebSocketProtocol: "a, b"}, "query": {Query: "a%20"},
	} {
		document := photos()
		document.Sites[0].Token.From = from
		_, err := decision.Compile(document)
		var faults config.Faults
		require.ErrorAs(t, err, &faults)
		require.Len(t, faults, 1)
		require.Equal(t, "sites[0].token.from."+member, faults[0].Path)
	}
}

// TestAnswersToOtherSources: what is answered for a token that caches do not know is not
// for them, and a WebSocket whose API chooses no protocol has one.
func TestAnswersToOtherSources(t *testing.T) {
	amended := func(r *decision.Request, api ...string) string {
		h := newHarness(t, siteOf(allPlaces))
		x, step := h.decide(r, viewR1)
		require.Equal(t, decision.KindAllow, step.Kind)
		var headers []decision.Header
		for i := 0; i < len(api); i += 2 {
			headers = append(headers, decision.Header{Name: api[i], Value: api[i+1]})
		}
		remove, add := x.Answering().Amend(headers)
		text := ""
		for _, name := range remove {
			text += "-" + name + " "
		}
		for _, a := range add {
			text += a.Name + ": " + a.Value + " "
		}
		return text
	}
	bearer, cookie := ask("GET", "/albums/1", "a"), ask("GET", "/albums/1", "", "cookie", "__Host-token=a")
	query := ask("GET", "/albums/1?access_token=a", "", "accept", "text/event-stream")
	socket := ask("GET", "/albums/1", "", "connection", "Upgrade", "upgrade", "websocket", "sec-websocket-protocol", tokenProtocol+", "+offered("a"))
	require.Empty(t, amended(bearer, "cache-control", "public"))
	require.Equal(t, "-cache-control cache-control: private ", amended(cookie))
	require.Equal(t, "-cache-control cache-control: private ", amended(cookie, "cache-control", "public, max-age=60"))
	require.Empty(t, amended(cookie, "cache-control", "max-age=60, Private"))
	require.Equal(t, "referrer-policy: no-referrer ", amended(query, "cache-control", "no-store"))
	require.Equal(t, "-cache-control cache-control: private ", amended(query, "referrer-policy", "origin"))
	require.Contains(t, amended(socket, ":status", "101"), "sec-websocket-protocol: "+tokenProtocol)
	require.NotContains(t, amended(socket, ":status", "101", "sec-websocket-protocol", "chat"), "sec-websocket-protocol")
	require.NotContains(t, amended(socket, ":status", "503"), "sec-websocket-protocol")
}

// TestTokenSourcesOfOneHost: sites of one host take a token from the same places, so that
// it is out of the path, and there to choose by, before anybody knows whose the request is.
func TestTokenSourcesOfOneHost(t *testing.T) {
	token := jwtFrom(issuerB)
	for name, r := range map[string]*decision.Request{
		"query":    ask("GET", "/1?access_token="+token, "", "accept", "text/event-stream"),
		"cookie":   ask("GET", "/1", "", "cookie", "__Host-token="+token),
		"protocol": ask("GET", "/1", "", "connection", "upgrade", "upgrade", "websocket", "sec-websocket-protocol", offered(token)+", "+tokenProtocol),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, of(two(allPlaces)...))
			require.Equal(t, "b: introspect-b protect-b 401 inactive_token", h.judged(r))
		})
	}
	h := newHarness(t, of(two(allPlaces)...))
	require.Equal(t, "a: introspect-a protect-a 401 inactive_token", h.judged(ask("GET", "/1", "", "cookie", "__Host-token="+jwtFrom(issuerA), "origin", "https://photos.example.com")))
	require.Equal(t, "b: 403 foreign_page", h.judged(ask("GET", "/1", "", "cookie", "__Host-token="+token, "origin", "https://evil.example")))
	x, _ := h.start(ask("GET", "/%2e%2e?access_token="+token, "", "accept", "text/event-stream"))
	require.Equal(t, "/%2e%2e", x.Taken().Path, "and out of what is refused")
}
