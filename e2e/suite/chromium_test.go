package suite_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/process/processtest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// streamingPage opens a WebSocket and an EventSource, and reports when both are open, and
// when both are over: the first with its code, the second when it has come again in vain.
const streamingPage = `<!doctype html><script>
const api = %q, name = "bearer.example.com", token = %q;
const protocol = name + "." + btoa(token).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_");
const tell = report => fetch("/report", {method: "POST", body: JSON.stringify(report)});
const socket = new WebSocket(api.replace("http", "ws") + "/echo/album/socket", [name, protocol]);
const events = new EventSource(api + "/echo/album/events?access_token=" + encodeURIComponent(token));
const opened = Promise.all([new Promise(done => socket.onopen = done), new Promise(done => events.onmessage = done)]);
const closed = new Promise(done => socket.onclose = e => done(e.code));
const over = new Promise(done => events.onerror = () => events.readyState === EventSource.CLOSED && done("closed"));
opened.then(() => tell({opened: true}));
Promise.all([closed, over]).then(([code, state]) => tell({code, state}));
</script>`

// TestStreamsInChromium: a page's WebSocket and EventSource end when their token is revoked by
// the command, and when it ends.
func TestStreamsInChromium(t *testing.T) {
	binary := envoytest.Binary(t)
	readModule(t)
	api := startAPI(t)
	var back atomic.Int64 // how much the clock of the AS is back
	as, err := devas.New(devas.Options{
		Users:     []devas.User{{Name: "alice", Password: "alice"}, {Name: "bob", Password: "bob"}},
		Clients:   []devas.Client{{ID: "app", Secret: "app-secret"}},
		Scopes:    []string{"view", "edit"},
		Clock:     func() time.Time { return time.Now().Add(-time.Duration(back.Load())) },
		Lifetimes: devas.Lifetimes{RPT: time.Hour, Permission: time.Hour},
	})
	require.NoError(t, err)
	stop, err := as.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	var page atomic.Pointer[string]
	reports := make(chan map[string]any, 10)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, *page.Load())
			return
		}
		var report map[string]any
		if json.NewDecoder(r.Body).Decode(&report) == nil {
			reports <- report
		}
	}))
	t.Cleanup(origin.Close)
	reported := func() map[string]any {
		t.Helper()
		select {
		case r := <-reports:
			return r
		case <-time.After(patience):
			require.Fail(t, "the page has not reported")
			return nil
		}
	}

	p := newPlane(t, as.Issuer(), api.address)
	p.settings = fmt.Sprintf(`  cors: {allow_origins: [%q]}
  token: {streams: end_with_token, from: {websocket_protocol: bearer.example.com, query: access_token}}`, origin.URL)
	p.write("")
	bootstrap, err := p.command("render", "bootstrap", "-c", "umagate.yaml").Output()
	require.NoError(t, err)
	p.start()
	process := envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: bootstrap, Concurrency: suiteWorkers})
	p.until("Envoy has everything", acknowledged)
	_, err = as.Permit(devas.Policy{Resource: "photo-album", Subjects: []string{"alice", "bob"}})
	require.NoError(t, err)
	address := envoytest.Address(t.Context(), t, process, "umagate")
	e := &env{t: t, host: "photos.test", api: api, as: &authServer{issuer: as.Issuer(), app: newAppClient()}}
	e.gw = &envoyGateway{process: process, at: address}
	e.client = newClient(t, address)
	e.as.endpoints.Token = as.Issuer() + "/token"
	open := func(user string, left time.Duration) (token string) { // by a token that has so long to go
		t.Helper()
		ticket := e.ticketOf(t, "/echo/album/a")
		back.Store(int64(time.Hour - left))
		token, err := e.as.rpt(t.Context(), t, user, ticket, "")
		back.Store(0)
		require.NoError(t, err)
		html := fmt.Sprintf(streamingPage, strings.Replace("http://"+address, "127.0.0.1", "photos.localhost", 1), token)
		page.Store(&html)
		processtest.OpenPage(t, origin.URL)
		require.Equal(t, map[string]any{"opened": true}, reported())
		return token
	}
	over := map[string]any{"code": 1006., "state": "closed"}

	token := open("alice", time.Hour)
	revoke := p.command("revoke", "-c", "umagate.yaml", "--token", "-")
	revoke.Stdin = strings.NewReader(token)
	out, err := revoke.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, over, reported(), "revoked")

	open("bob", 30*time.Second) // whose own token is of then, too
	require.Equal(t, over, reported(), "it has ended")
}
