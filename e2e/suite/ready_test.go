package suite_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
	"github.com/umagate/umagate/plugin/config"
)

// TestNotReadyWithoutFilter: an Envoy that starts while the control plane is away takes
// no request and tells load balancers that it is not ready, however long that lasts.
func TestNotReadyWithoutFilter(t *testing.T) {
	binary := envoytest.Binary(t)
	readModule(t)
	wasm, err := filepath.Abs(module)
	require.NoError(t, err)
	api, control, admin := startAPI(t), freeAddress(t), freeAddress(t)
	file := &site.File{
		Plugin: site.Plugin{Wasm: wasm, VMID: "umagate"},
		Envoy:  site.Envoy{Listener: freeAddress(t), Admin: "off", NodeID: "early", NodeCluster: "suite", AccessLog: "off", XDS: control},
		Sites:  []site.Site{{Name: "photos", Hosts: []string{"*"}, Upstream: "http://" + api.address}},
	}
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(t, err)
	document, err := protojson.Marshal(bootstrap)
	require.NoError(t, err)

	document = impatient(t, document)
	ready := make(chan error, 1)
	go func() { // returns when it is ready
		process, err := envoy.Start(t.Context(), envoy.Options{
			Binary: binary, Bootstrap: document, Admin: admin, Folder: t.TempDir(), ReadyTimeout: 2 * patience,
		})
		if err == nil {
			t.Cleanup(process.Stop)
		}
		ready <- err
	}()
	ask := func(path string) (status int, body string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+path, http.NoBody)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, ""
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(text)
	}
	waitFor(t, "Envoy has run for more than its time-outs", func() bool {
		_, text := ask("/server_info")
		var info struct {
			Uptime string `json:"uptime_current_epoch"`
		}
		if json.Unmarshal([]byte(text), &info) != nil {
			return false
		}
		uptime, err := time.ParseDuration(info.Uptime)
		return err == nil && uptime >= 6*time.Second
	})
	status, state := ask("/ready")
	require.Equal(t, 503, status, state)
	_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", file.Envoy.Listener)
	require.Error(t, err, "a connection is taken")
	select {
	case err := <-ready:
		require.Fail(t, "it is ready", "%v", err)
	default:
	}

	// The control plane comes.
	plane, err := xds.New(slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	filter, err := envoyconf.Filter(envoyconf.Input{File: file, Config: config.Config{Version: config.Version, Sites: []config.Site{{
		Name: "photos", Hosts: []string{"*"}, AuthorizationServer: config.AuthorizationServer{Unknown: true},
		Resources: []config.Resource{{Name: "open", Conditions: []config.Condition{{Paths: []string{"/healthz"}, Public: true}}}},
	}}}})
	require.NoError(t, err)
	front, err := envoyconf.Listener(file)
	require.NoError(t, err)
	upstreams, err := envoyconf.Upstreams(file)
	require.NoError(t, err)
	_, err = plane.Push(t.Context(), xds.Resources{
		Filter: filter, Clusters: upstreams, Listener: front, Routes: envoyconf.Routes(file),
	})
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", control)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- plane.Serve(ctx, listener, nil) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	require.NoError(t, <-ready)
	status, _ = ask("/ready")
	require.Equal(t, 200, status)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+file.Envoy.Listener+"/healthz", http.NoBody)
	require.NoError(t, err)
	status, body := send(t.Context(), t, request)
	require.Equal(t, 200, status, "%s", body)
}

// impatient has Envoy wait a second for what the control plane sends first, where the
// bootstrap leaves it at 15.
func impatient(t *testing.T, bootstrap []byte) []byte {
	t.Helper()
	var document any
	require.NoError(t, json.Unmarshal(bootstrap, &document))
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			if v["ads"] != nil && v["initialFetchTimeout"] == nil {
				v["initialFetchTimeout"] = "1s"
			}
			for _, member := range v {
				walk(member)
			}
		}
	}
	walk(document)
	out, err := json.Marshal(document)
	require.NoError(t, err)
	return out
}
