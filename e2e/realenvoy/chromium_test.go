package realenvoy_test

import (
	"crypto/sha1" // RFC 6455 section 4.2.2
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/process/processtest"
)

// origin serves a page, and hands over what it reports.
func origin(t *testing.T, page func() string) (url string, reports chan map[string]any) {
	t.Helper()
	reports = make(chan map[string]any, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, page())
			return
		}
		var report map[string]any
		if json.NewDecoder(r.Body).Decode(&report) == nil {
			reports <- report
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, reports
}

func awaitReport(t *testing.T, reports chan map[string]any) map[string]any {
	t.Helper()
	select {
	case r := <-reports:
		return r
	case <-time.After(patience):
		require.Fail(t, "the page has not reported")
		return nil
	}
}

const fetchingPage = `<!doctype html><script>
const api = %q;
async function ask(path, options) {
	try {
		const r = await fetch(api + path, options);
		return {status: r.status, challenge: r.headers.get("WWW-Authenticate"), code: r.status < 400 ? "" : (await r.json()).code};
	} catch (e) {
		return {error: e.name};
	}
}
const bearer = token => ({headers: {Authorization: "Bearer " + token}});
(async () => {
	const report = {
		none: await ask("/albums/1"),
		bad: await ask("/albums/1", bearer("bad")),
		good: await ask("/albums/1", bearer("good")),
		put: await ask("/albums/1", {method: "PUT", ...bearer("good")}),
		credentials: await ask("/albums/1", {credentials: "include", ...bearer("good")}),
		missing: await ask("/nothing"),
		header: await ask("/albums/1", {headers: {"X-Not-Allowed": "1"}}),
	};
	await fetch("/report", {method: "POST", body: JSON.stringify(report)});
})();
</script>`

// TestPagesOfOtherOrigins: a page of a listed origin reads refusals and answers, and one of
// another origin reads nothing.
func TestPagesOfOtherOrigins(t *testing.T) {
	as := browserAS(t)
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var base string
	page := func() string { return fmt.Sprintf(fetchingPage, base) }
	ours, reports := origin(t, page)
	others, refusals := origin(t, page)
	process, address := setup{Wasm: wasm, Config: browserSite(t, as, ours), Clusters: cluster("as", as.Listener.Addr().String())}.start(t)
	base = address
	processtest.OpenPage(t, ours)
	const ticket = `UMA realm="photos", as_uri="https://as.example.com", ticket="t1"`
	require.Equal(t, map[string]any{
		"none":        map[string]any{"status": 401., "challenge": ticket, "code": "no_token"},
		"bad":         map[string]any{"status": 401., "challenge": `UMA realm="photos", as_uri="https://as.example.com", error="invalid_token", ticket="t1"`, "code": "inactive_token"},
		"good":        map[string]any{"status": 200., "challenge": nil, "code": ""},
		"put":         map[string]any{"status": 200., "challenge": nil, "code": ""},
		"credentials": map[string]any{"status": 200., "challenge": nil, "code": ""},
		"missing":     map[string]any{"status": 403., "challenge": nil, "code": "unmatched_path"},
		"header":      map[string]any{"error": "TypeError"},
	}, awaitReport(t, reports))
	processtest.OpenPage(t, others)
	for name, result := range awaitReport(t, refusals) {
		require.Equal(t, map[string]any{"error": "TypeError"}, result, name)
	}
	requireNoTrap(t, process)
}

// secretToken is a token that nobody but the AS may see.
const secretToken = "secret-token"

const tokenPage = `<!doctype html><script>
const api = %q, name = "bearer.example.com", token = "secret-token";
const protocol = name + "." + btoa(token).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_");
const once = (target, good) => new Promise(done => {
	target.onmessage = e => { done(good(e)); target.close(); };
	target.onerror = () => done("error");
});
const socket = protocols => {
	const s = new WebSocket(api.replace("http", "ws") + "/albums/socket", protocols);
	return once(s, e => s.protocol + " " + e.data);
};
(async () => {
	document.cookie = "token=" + token;
	const report = {
		cookie: await fetch(api + "/albums/1", {credentials: "include"}).then(r => r.status, e => e.name),
		change: await fetch(api + "/albums/1", {method: "PUT", credentials: "include"}).then(r => r.status, e => e.name),
	};
	document.cookie = "token=; max-age=0";
	report.without = await fetch(api + "/albums/1", {credentials: "include"}).then(r => r.status, e => e.name);
	report.events = await once(new EventSource(api + "/albums/events?a=b&access_token=" + token), e => e.data);
	report.badEvents = await once(new EventSource(api + "/albums/events?access_token=bad-secret-token"), e => e.data);
	report.socket = await socket([name, protocol]);
	report.noToken = await socket([name]);
	await fetch("/report", {method: "POST", body: JSON.stringify(report)});
})();
</script>`

// talkingAPI has events and a WebSocket that says one word, and keeps the headers that
// it gets.
func talkingAPI(t *testing.T) (address string, seen func() string) {
	t.Helper()
	var mu sync.Mutex
	var all strings.Builder
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		fmt.Fprintln(&all, r.Method, r.RequestURI, r.Header)
		mu.Unlock()
		switch r.URL.Path {
		case "/albums/events":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: hello\n\n")
		case "/albums/stream": // until the client has gone
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: hello\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/albums/socket":
			sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 section 4.2.2
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Sec-Websocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
			w.WriteHeader(http.StatusSwitchingProtocols)
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer connection.Close()
			_, _ = connection.Write([]byte("\x81\x05hello"))
			_, _ = connection.Read(make([]byte, 64)) // until the page closes it
		}
	}))
	t.Cleanup(api.Close)
	return api.Listener.Addr().String(), func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

// TestTokensOfPages: a page shows its token by a cookie, an EventSource and a WebSocket, and
// neither the API nor an access log gets to see it.
func TestTokensOfPages(t *testing.T) {
	as := browserAS(t)
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var base string
	page := func() string { return fmt.Sprintf(tokenPage, base) }
	ours, reports := origin(t, page)
	others, foreign := origin(t, page)
	api, seen := talkingAPI(t)
	log := filepath.Join(t.TempDir(), "access.log")
	process, address := setup{
		Wasm: wasm, Config: browserSite(t, as, ours), Clusters: cluster("as", as.Listener.Addr().String()), Upstream: api,
		HCM:     "          upgrade_configs: [{upgrade_type: websocket}]",
		LogFile: log, AccessLogs: []string{"%REQ(:PATH)%", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "%REQ(COOKIE)%", "%REQ(SEC-WEBSOCKET-PROTOCOL)%", "%REQ(REFERER)%", "%RESP(SEC-WEBSOCKET-PROTOCOL)%", "%CEL(filter_state['wasm.umagate.decision'].reason)%"},
	}.start(t)
	base = address
	processtest.OpenPage(t, ours)
	require.Equal(t, map[string]any{
		"cookie": 200., "change": 200., "without": 401., "events": "hello", "badEvents": "error", "socket": "bearer.example.com hello", "noToken": "error",
	}, awaitReport(t, reports))
	processtest.OpenPage(t, others)
	require.Equal(t, map[string]any{
		"cookie": "TypeError", "change": "TypeError", "without": "TypeError", "events": "error", "badEvents": "error",
		// A token that a page has itself does from anywhere.
		"socket": "bearer.example.com hello", "noToken": "error",
	}, awaitReport(t, foreign))
	process.Stop()
	logged, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(logged), "/albums/events?a=b|")
	require.Contains(t, string(logged), "foreign_page")
	for _, text := range []string{string(logged), seen()} {
		require.NotContains(t, text, secretToken)
		require.NotContains(t, text, base64.RawURLEncoding.EncodeToString([]byte(secretToken)))
	}
	require.Contains(t, seen(), "/albums/events?a=b ")
}
