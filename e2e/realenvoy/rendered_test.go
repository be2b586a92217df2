package realenvoy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// rendered runs an Envoy with the bootstrap that umagate renders, for a module. The
// client's method is one that the static bootstrap of every supported Envoy knows.
func rendered(t *testing.T, wasm, server, api, settings string) (process *envoy.Process, base string) {
	t.Helper()
	binary := envoytest.Binary(t)
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `
plugin: {wasm: %q}
envoy: {listener: 127.0.0.1:0, admin: "off", access_log: "off"%s}
sites:
- name: photos
  hosts: ["*"]
  upstream: %s
  authorization_server: {issuer: %s, client: {id: photos, secret: hush, token_endpoint_auth_method: client_secret_post}}
  resources:
  - {name: photos, id: r-1, conditions: [{paths: ["/**"], scopes: [view]}]}
`, wasm, settings, api, server), 0o600))
	file, err := site.Load(path)
	require.NoError(t, err)
	facts := map[string]site.Facts{"photos": {
		Token: server + "/token", Introspection: server + "/introspect", Permission: server + "/permission",
		ResourceIDs: map[string]string{"photos": "r-1"}, IntrospectionCredential: as.CredentialClient, PATScopes: []string{"uma_protection"},
	}}
	in := envoyconf.Input{File: file, Facts: facts}
	in.Config, err = site.Compile(file, facts)
	require.NoError(t, err)
	bootstrap, err := envoyconf.Static(in)
	require.NoError(t, err)
	document, err := protojson.Marshal(bootstrap)
	require.NoError(t, err)
	process = envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: document})
	return process, "http://" + envoytest.Address(t.Context(), t, process, "umagate")
}

// quietAPI is an API with what may be silent for long: it echoes lines after an
// upgrade, and tells an event for each thing sent to events.
func quietAPI(t *testing.T) (api *httptest.Server, events chan string) {
	t.Helper()
	events = make(chan string)
	api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		switch {
		case r.Header.Get("Upgrade") != "":
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, buffered, err := control.Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.Copy(conn, buffered)
		case r.Header.Get("Accept") == "text/event-stream":
			w.WriteHeader(http.StatusOK)
			_ = control.Flush()
			select {
			case event := <-events:
				fmt.Fprintln(w, event)
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(api.Close)
	return api, events
}

// A stream that the filter never lets go on ends with the idle time-out that is
// rendered, whether the filter hangs or has trapped; what may be silent for long by
// its nature goes on.
func TestHangingStreamEnds(t *testing.T) {
	api, events := quietAPI(t)
	process, base := rendered(t, probe(t), "http://127.0.0.1:9", api.URL, ", stream_idle_timeout: 2s")

	socket, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer socket.Close()
	require.NoError(t, socket.SetDeadline(time.Now().Add(2*time.Minute)))
	_, err = io.WriteString(socket, "GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	require.NoError(t, err)
	lines := bufio.NewReader(socket)
	upgraded, err := http.ReadResponse(lines, nil)
	require.NoError(t, err)
	defer upgraded.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, upgraded.StatusCode)

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/events", http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Accept", "text/event-stream")
	stream, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer stream.Body.Close()
	require.Equal(t, http.StatusOK, stream.StatusCode)

	held := func() chan int {
		ended := make(chan int, 1)
		go func() { ended <- fetch(t.Context(), http.DefaultTransport, base+"/a", "", "x-probe", "hold") }()
		return ended
	}
	require.Equal(t, http.StatusGatewayTimeout, <-held(), "the filter hangs")
	_, err = io.WriteString(socket, "still here\n")
	require.NoError(t, err)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "still here\n", line)
	events <- "an event"
	event, err := io.ReadAll(stream.Body)
	require.NoError(t, err)
	require.Equal(t, "an event\n", string(event))

	const active = "http.umagate.downstream_rq_active"
	before, err := process.Stats(t.Context(), active)
	require.NoError(t, err)
	ended := held()
	require.Eventually(t, func() bool {
		now, err := process.Stats(t.Context(), active)
		return err == nil && now[active] == before[active]+1
	}, 30*time.Second, 10*time.Millisecond)
	response, _ := ask(t.Context(), t, base, "trap")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "the request that trapped")
	response, _ = ask(t.Context(), t, base, "")
	require.Equal(t, http.StatusOK, response.StatusCode, "a new VM serves")
	require.Equal(t, http.StatusServiceUnavailable, <-ended, "a stream of the VM before")
	_, err = io.WriteString(socket, "still here?\n")
	require.NoError(t, err)
	_, err = lines.ReadString('\n')
	require.Error(t, err, "what was forwarded ends when its client sends more")
}

// A token as long as Envoy lets through is judged and cached, and a ticket as long
// as the AS makes it is offered. Keycloak's RPT with 300 permissions has 40 KB.
func TestLongTokenAndTicket(t *testing.T) {
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var introspections atomic.Int64
	ticket := strings.Repeat("t", 100<<10)
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/introspect":
			introspections.Add(1)
			if n := len(r.FormValue("token")); strings.Trim(r.FormValue("token"), "a") == "" && n > 1<<10 {
				fmt.Fprint(w, crowdToken)
				return
			}
			fmt.Fprint(w, `{"active":false}`)
		case "/permission":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"ticket":%q}`, ticket)
		default:
			fmt.Fprint(w, `{"access_token":"pat","token_type":"Bearer","expires_in":3600}`)
		}
	}))
	t.Cleanup(as.Close)
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	_, base := rendered(t, wasm, as.URL, api.URL, "")
	for i, size := range []int{16<<10 + 1, 40 << 10, 90 << 10} {
		for range 3 {
			require.Equal(t, http.StatusOK, fetch(t.Context(), http.DefaultTransport, base+"/a", strings.Repeat("a", size)), size)
		}
		require.EqualValues(t, i+1, introspections.Load(), "it is cached")
	}
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, fetch(t.Context(), http.DefaultTransport, base+"/a", strings.Repeat("a", 100<<10)), "Envoy's own limit")

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/a", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Contains(t, response.Header.Get("Www-Authenticate"), `ticket="`+ticket+`"`)
}
