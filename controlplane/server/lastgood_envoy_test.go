package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/agent"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/e2e/process"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// keptIn gives a path for what is kept, short enough for a socket beside it.
func keptIn(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "umagate-") //nolint:usetesting // that may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	return filepath.Join(folder, "last_good")
}

// kept is a plane whose Envoy has an agent beside it.
type kept struct {
	*plane

	file      string
	bootstrap []byte
	log       process.Log
	stopAgent func()
}

// newKept has a plane that comes back at its address. Nothing is started.
func newKept(t *testing.T, config func(k *kept, xds string) string) *kept {
	t.Helper()
	address, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, reservation.Close()) })
	k := &kept{plane: newPlane(t), file: keptIn(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.log.String())
		}
	})
	k.Write(config(k, address))
	file, err := site.Load(k.Path())
	require.NoError(t, err)
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(t, err)
	k.bootstrap, err = protojson.Marshal(bootstrap)
	require.NoError(t, err)
	return k
}

// agent runs one until stopAgent, or the test's end.
func (k *kept) agent() {
	k.T.Helper()
	beside, err := envoyconf.ReadBeside(k.bootstrap, "", "")
	require.NoError(k.T, err)
	require.Equal(k.T, k.file, beside.Path)
	ctx, cancel := context.WithCancel(context.WithoutCancel(k.T.Context()))
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Options{
			Beside: beside, Version: "test", Logger: slog.New(slog.NewTextHandler(&k.log, nil)), Retry: 50 * time.Millisecond, Every: 50 * time.Millisecond,
		})
	}()
	k.stopAgent = sync.OnceFunc(func() {
		cancel()
		require.NoError(k.T, <-done)
	})
	k.T.Cleanup(k.stopAgent)
}

// envoy starts one, and gives it when it is ready.
func (k *kept) envoy(binary envoy.Binary) (ready <-chan *protected, admin string) {
	k.T.Helper()
	admin, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(k.T, err)
	k.T.Cleanup(func() { require.NoError(k.T, reservation.Close()) })
	out := make(chan *protected, 1)
	folder := k.T.TempDir()
	go func() {
		defer close(out)
		process, err := envoy.Start(k.T.Context(), envoy.Options{
			Binary: binary, Bootstrap: k.bootstrap, Admin: admin, Folder: folder, ReadyTimeout: 2 * servertest.Within,
		})
		if err != nil {
			k.T.Log(err)
			return
		}
		k.T.Cleanup(process.Stop)
		base, err := process.ListenerAddress(k.T.Context(), "umagate")
		if err != nil {
			k.T.Log(err)
			return
		}
		out <- &protected{&servertest.Protected{Process: process, T: k.T, Base: "http://" + base}}
	}()
	return out, admin
}

func (k *kept) ready(e <-chan *protected) *protected {
	k.T.Helper()
	got, ok := <-e
	require.True(k.T, ok, "Envoy did not become ready")
	return got
}

// unready waits until an Envoy has run for longer than its time-outs, and requires that
// it is not ready.
func (k *kept) unready(admin string) {
	k.T.Helper()
	ask := func(path string) (int, []byte) {
		req, err := http.NewRequestWithContext(k.T.Context(), http.MethodGet, "http://"+admin+path, http.NoBody)
		require.NoError(k.T, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, body
	}
	require.Eventually(k.T, func() bool {
		_, text := ask("/server_info")
		var info struct {
			Uptime string `json:"uptime_current_epoch"`
		}
		if json.Unmarshal(text, &info) != nil {
			return false
		}
		uptime, err := time.ParseDuration(info.Uptime)
		return err == nil && uptime >= 6*time.Second
	}, servertest.Within, 50*time.Millisecond)
	status, state := ask("/ready")
	require.Equal(k.T, http.StatusServiceUnavailable, status, "%s", state)
}

func acknowledgedByAgent(s server.Status) bool {
	return servertest.Acknowledged(s) && len(s.Agents) == 1 && s.Agents[0].Connected &&
		s.Agents[0].Types[xds.LastGood].Sent != "" && s.Agents[0].Types[xds.LastGood].Acknowledged == s.Agents[0].Types[xds.LastGood].Sent
}

// TestRealEnvoyStartsFromLastGood: with an agent beside it, an Envoy that starts while
// the control plane is down starts from what it had, and follows the control plane when
// that is back.
func TestRealEnvoyStartsFromLastGood(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(api.Close)
	as := servertest.StartAS(t, devas.Options{})
	require.NoError(t, as.AddClient(devas.Client{ID: "app", Secret: "app-secret"}))
	_, err := as.Permit(devas.Policy{Resource: "*", Clients: []string{"app"}})
	require.NoError(t, err)
	config := func(resources ...string) func(*kept, string) string {
		return func(k *kept, xds string) string {
			text := k.config(as.Issuer(), resources...)
			text = strings.Replace(text, `xds: "127.0.0.1:0"`, fmt.Sprintf("xds: %q", xds), 1)
			text = strings.Replace(text, "envoy: {", fmt.Sprintf("envoy: {last_good: %q, ", k.file), 1)
			return strings.Replace(text, "http://127.0.0.1:1", api.URL, 1) + fmt.Sprintf("plugin: {wasm: %q}\n", servertest.Module(t))
		}
	}
	k := newKept(t, config("albums"))

	// Nothing is kept, and the control plane is down: Envoy is not ready.
	k.agent()
	starting, admin := k.envoy(binary)
	k.unready(admin)
	require.NoFileExists(t, k.file)
	require.NoFileExists(t, k.file+".sock")

	// The control plane comes: Envoy is ready, and what it acknowledged is kept.
	k.Start()
	e := k.ready(starting)
	k.Until("Envoy and agent have everything", acknowledgedByAgent)
	rpt := e.RPT(as)
	require.Equal(t, http.StatusOK, e.Get("/albums/1", rpt).StatusCode)
	other := e.RPT(as)
	s := k.Status()
	require.Len(t, s.Envoys, 1, "the agent is no Envoy")
	require.Equal(t, 1, s.Groups[0].Connected)
	info, err := os.Stat(k.file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(k.file)
	require.NoError(t, err)
	_, pat, _ := strings.Cut(credential(t, as, devas.EndpointPermission), " ")
	require.NotEmpty(t, pat)
	require.NotContains(t, string(text), pat)

	// Control plane, agent and Envoy go; agent and Envoy come again.
	xdsAddress := k.XDS
	k.Stop()
	e.Kill()
	k.stopAgent()
	k.agent()
	starting, _ = k.envoy(binary)
	e = k.ready(starting)
	e.requireTicket("/albums/2")
	require.Equal(t, http.StatusOK, e.Get("/albums/2", rpt).StatusCode)
	require.Equal(t, http.StatusUnauthorized, e.Get("/albums/2", "no-token-of-this-server").StatusCode)
	require.Equal(t, http.StatusForbidden, e.Get("/people/1", "").StatusCode, "what was not there is not there")
	e.requireNoSecret(as)

	// The control plane comes back with another resource, and with a revocation.
	k.Write(config("albums", "people")(k, xdsAddress))
	k.Start()
	began := time.Now()
	code, _ := k.post(http.MethodPost, "/v1/revocations", fmt.Sprintf(`{"token":%q,"site":"photos"}`, rpt))
	require.Equal(t, http.StatusCreated, code)
	require.Eventually(t, func() bool { return e.Get("/people/1", "").StatusCode == http.StatusUnauthorized }, servertest.Within, 10*time.Millisecond)
	k.Until("Envoy and agent have everything", acknowledgedByAgent)
	t.Logf("the control plane was followed after %s", time.Since(began).Round(time.Millisecond))
	require.Equal(t, http.StatusUnauthorized, e.Get("/albums/2", rpt).StatusCode, "it was revoked")
	require.Equal(t, http.StatusOK, e.Get("/albums/2", other).StatusCode)

	// What is kept has the revocation.
	k.Stop()
	e.Kill()
	starting, _ = k.envoy(binary)
	e = k.ready(starting)
	require.Equal(t, http.StatusUnauthorized, e.Get("/albums/3", rpt).StatusCode)
	require.Equal(t, http.StatusOK, e.Get("/albums/3", other).StatusCode)
	require.NotContains(t, k.log.String(), pat)
	require.NotContains(t, k.log.String(), "level=ERROR")
}
