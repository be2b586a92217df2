package realenvoy_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// recorder keeps what it was sent, whole.
type recorder struct {
	mu  sync.Mutex
	all strings.Builder
}

func (r *recorder) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.WriteString(text)
}

// take returns what was kept since the last time.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.all.Reset()
	return r.all.String()
}

// tenantAS calls every token active that names it, and no other, and keeps what it is shown.
func tenantAS(t *testing.T, issuer string, shown *recorder) *httptest.Server {
	t.Helper()
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/permission" {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"ticket":"t1"}`)
			return
		}
		token := r.PostFormValue("token")
		shown.add(token + "\n")
		if parts := strings.Split(token, "."); len(parts) == 3 {
			if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && strings.Contains(string(payload), `"`+issuer+`"`) {
				fmt.Fprintf(w, `{"active":true,"sub":"bob","iss":%q,"permissions":[{"resource_id":"r-1","resource_scopes":["view"]}]}`, issuer)
				return
			}
		}
		fmt.Fprint(w, `{"active":false}`)
	}))
	t.Cleanup(as.Close)
	return as
}

// TestTokenPlacesOfSharedHosts: sites share a host by path and by issuer, and take tokens from
// everywhere. Whatever becomes of a request, its token reaches neither an API nor the log, and
// no AS but the one that judges it.
func TestTokenPlacesOfSharedHosts(t *testing.T) {
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var api recorder
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		api.add(fmt.Sprintln(r.Method, r.RequestURI, r.Header, string(body), r.Trailer))
	}))
	t.Cleanup(upstream.Close)
	names := []string{"a", "b", "partners"} // two by path, and one by issuer beside the first
	shown, clusters := map[string]*recorder{}, ""
	var sites []config.Site
	for _, name := range names {
		issuer := "https://as.example.com/" + name
		shown[name] = &recorder{}
		as := tenantAS(t, issuer, shown[name])
		authority := as.Listener.Addr().String()
		clusters += cluster("as-"+name, authority)
		s := config.Site{
			Name: name, Hosts: []string{"*"},
			Token: config.Token{From: config.TokenSources{Cookie: "token", WebSocketProtocol: "bearer.example.com", Query: "access_token"}},
			AuthorizationServer: config.AuthorizationServer{
				URI: issuer, Issuers: []string{issuer},
				Introspection: config.Introspection{Endpoint: config.Endpoint{Cluster: "as-" + name, Scheme: "http", Authority: authority, Path: "/introspect"}},
				Permission:    &config.Endpoint{Cluster: "as-" + name, Scheme: "http", Authority: authority, Path: "/permission"},
			},
			Resources: []config.Resource{
				{Name: "all", ID: "r-1", Conditions: []config.Condition{{Paths: []string{"/a/1", "/b/1"}, Methods: []string{"GET", "PUT"}, Scopes: []string{"view"}}}},
				{Name: "open", Conditions: []config.Condition{{Paths: []string{"/a/open", "/b/open"}, Public: true}}},
				{Name: "closed", Conditions: []config.Condition{{Paths: []string{"/a/closed", "/b/closed"}, Deny: true}}},
			},
		}
		s.PathPrefixes = []string{"/" + name}
		if name == "partners" {
			s.PathPrefixes, s.ChosenBy = []string{"/a"}, config.ChosenByIssuer
		}
		sites = append(sites, s)
	}
	document, err := json.Marshal(config.Config{Version: config.Version, Sites: sites})
	require.NoError(t, err)
	log := filepath.Join(t.TempDir(), "access.log")
	process, base := setup{
		Wasm: wasm, Config: string(document), Clusters: clusters, Upstream: upstream.Listener.Addr().String(),
		HCM:     "          upgrade_configs: [{upgrade_type: websocket}]",
		LogFile: log, AccessLogs: []string{"%REQ(:PATH)%", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "%REQ(COOKIE)%", "%REQ(SEC-WEBSOCKET-PROTOCOL)%", "%REQ(REFERER)%", "%RESP(SEC-WEBSOCKET-PROTOCOL)%"},
	}.start(t)
	tokenOf := func(name string) string {
		payload := fmt.Sprintf(`{"iss":"https://as.example.com/%s","secret":"%s"}`, name, secretToken)
		return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	tokens := map[string]string{"a": tokenOf("a"), "b": tokenOf("b"), "partners": tokenOf("partners"), "nobody": tokenOf("nobody"), "opaque": secretToken}
	// judges is the site whose AS is asked about a token at a path, "" for none.
	judges := func(path, token string) string {
		switch {
		case strings.HasPrefix(path, "/b/"):
			return "b"
		case token == "a" || token == "partners":
			return token
		}
		return ""
	}
	places := map[string]func(token, path string) (target, headers string){
		"cookie": func(token, path string) (string, string) { return path, "Cookie: x=y; token=" + token + "; z=1\r\n" },
		"query": func(token, path string) (string, string) {
			return path + "?x=y&access%5Ftoken=" + url.QueryEscape(token) + "&z=1", "Accept: text/event-stream\r\nReferer: http://h/?access%5Ftoken=" + token + "\r\n"
		},
		"protocol": func(token, path string) (string, string) {
			return path, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Protocol: chat, bearer.example.com." + base64.RawURLEncoding.EncodeToString([]byte(token)) + "\r\n"
		},
		"everywhere": func(token, path string) (string, string) {
			return path + "?access_token=" + token, "Cookie: token=" + token + "\r\nCookie: token=" + token + "\r\nSec-WebSocket-Protocol: bearer.example.com." + base64.RawURLEncoding.EncodeToString([]byte(token)) + "\r\n"
		},
	}
	requests := []struct{ method, path, more string }{
		{"GET", "/a/1", ""},
		{"GET", "/b/1", ""},
		{"GET", "/a/open", ""},
		{"GET", "/b/open", ""},
		{"GET", "/a/closed", ""},
		{"GET", "/a/nothing", ""},
		{"GET", "/nobody's", ""},
		{"GET", "/a/../b/1", ""},
		{"GET", "/A/1", ""},
		{"GET", "/b//1", ""},
		{"PUT", "/a/1", "Origin: https://evil.example\r\n"},
		{"DELETE", "/b/1", ""},
		{"OPTIONS", "/a/1", "Origin: https://evil.example\r\nAccess-Control-Request-Method: PUT\r\n"},
		{"GET", "/a/1", "Expect: something\r\n"},
		{"GET", "/b/1", "Authorization: Basic YTpi\r\n"},
		{"GET", "/b/1", "X-HTTP-Method-Override: PUT\r\n"},
	}
	for place, put := range places {
		for whose, token := range tokens {
			for _, r := range requests {
				name := strings.Join([]string{place, whose, r.method, r.path, r.more}, " ")
				target, headers := put(token, r.path)
				connection, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
				require.NoError(t, err)
				require.NoError(t, connection.SetDeadline(time.Now().Add(patience)))
				_, err = fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: h\r\nSec-Fetch-Site: same-origin\r\n%s%s\r\n", r.method, target, headers, r.more)
				require.NoError(t, err)
				response, err := http.ReadResponse(bufio.NewReader(connection), nil)
				require.NoError(t, err, name)
				require.NoError(t, response.Body.Close())
				require.NoError(t, connection.Close())

				seen, judge := api.take(), judges(r.path, whose)
				requireSecret(t, name, seen)
				if r.more == "" && r.method == "GET" && strings.HasSuffix(r.path, "/1") && place != "everywhere" && (r.path == "/a/1" || r.path == "/b/1") {
					require.Equal(t, whose == judge && whose != "", response.StatusCode == http.StatusOK, "%s: %d", name, response.StatusCode)
				}
				if strings.HasSuffix(r.path, "/open") && place != "everywhere" {
					require.NotEmpty(t, seen, name)
				}
				for _, as := range names {
					for text := range strings.Lines(shown[as].take()) {
						require.Equal(t, token+"\n", text, name)
						require.Equal(t, judge, as, "%s was shown a token: %s", as, name)
					}
				}
			}
		}
	}
	process.Stop()
	logged, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Equal(t, len(places)*len(tokens)*len(requests), strings.Count(string(logged), "\n"))
	for line := range strings.Lines(string(logged)) {
		requireSecret(t, "the log", line)
	}
	requireNoTrap(t, process)
}

// requireSecret requires that a text has no token, in whatever form, nor a part of one.
func requireSecret(t *testing.T, name, text string) {
	t.Helper()
	for _, part := range []string{secretToken, "eyJhbGci", base64.RawURLEncoding.EncodeToString([]byte("eyJhbGciOiJub25lIn0"))[:16], base64.RawURLEncoding.EncodeToString([]byte(secretToken))} {
		require.NotContains(t, text, part, name)
	}
}
