package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
)

const host = "bench.test"

// world is all that runs.
type world struct {
	issuer  string
	control *client.Client
	envoys  []string // addresses
	stops   []func()
}

func (w *world) stop() {
	for _, stop := range slices.Backward(w.stops) {
		stop()
	}
}

func (w *world) onStop(f func()) { w.stops = append(w.stops, f) }

// build starts everything. On an error nothing runs.
func build(ctx context.Context, o options, stderr io.Writer) (*world, error) {
	w := &world{}
	if err := w.start(ctx, o, stderr); err != nil {
		w.stop()
		return nil, err
	}
	return w, nil
}

func (w *world) start(ctx context.Context, o options, stderr io.Writer) error {
	binary, err := envoy.Find(ctx)
	if err != nil {
		return fmt.Errorf("a benchmark of Envoy needs one: %w", err)
	}
	wasm, err := filepath.Abs(o.wasm)
	if err != nil {
		return err
	}
	as, err := devas.New(devas.Options{
		Users:   []devas.User{{Name: "alice", Password: "alice"}},
		Clients: []devas.Client{{ID: "app", Secret: "app-secret"}}, Scopes: []string{"view"},
	})
	if err != nil {
		return err
	}
	stop, err := as.Start(ctx)
	if err != nil {
		return err
	}
	w.onStop(stop)
	w.issuer = as.Issuer()
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w.onStop(backend.Close)
	folder, err := os.MkdirTemp("", "umagate-bench-")
	if err != nil {
		return err
	}
	w.onStop(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "umagate.yaml")
	if err := os.WriteFile(path, []byte(document(as.Issuer(), backend.URL, wasm, o.resources)), 0o600); err != nil {
		return err
	}
	xds, err := w.serve(ctx, path, stderr)
	if err != nil {
		return err
	}
	file, err := site.Load(path)
	if err != nil {
		return err
	}
	file.Envoy.XDS = xds
	for i := range o.envoys {
		_, _ = fmt.Fprintf(stderr, "starting Envoy %d of %d\n", i+1, o.envoys)
		if err := w.envoy(ctx, binary, file, fmt.Sprintf("bench-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

func document(issuer, upstream, wasm string, resources int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
plugin: {wasm: %q}
envoy: {listener: "127.0.0.1:0", access_log: "off"}
sites:
- name: bench
  hosts: [%s]
  upstream: %s
  require: oauth_scopes
  token: {insecure_any_audience: true, max_ttl: 1h}
  authorization_server: {issuer: %q, client: {register: {}}}
  resources:
  - {name: all, conditions: [{paths: ["/**"], scopes: [view]}]}
`, wasm, host, upstream, issuer)
	for i := range resources {
		fmt.Fprintf(&b, "  - {name: r%d, conditions: [{paths: [\"/r/%d\", \"/r/%d/**\"], methods: [GET], scopes: [view]}]}\n", i, i, i)
	}
	return b.String()
}

// serve starts the control plane and gives its xDS address.
func (w *world) serve(ctx context.Context, path string, stderr io.Writer) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	type addresses struct{ api, xds string }
	started, ended := make(chan addresses, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Options{
			Path: path, Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})),
			Started: func(api, xds string) { started <- addresses{api, xds} },
		})
	}()
	select {
	case err := <-ended:
		cancel()
		return "", fmt.Errorf("umagate serve: %w", err)
	case at := <-started:
		w.onStop(func() {
			cancel()
			if err := <-ended; err != nil {
				fmt.Fprintln(stderr, "umagate serve:", err)
			}
		})
		control, err := client.Local(at.api, filepath.Join(filepath.Dir(path), "umagate.db.token"))
		w.control = control
		return at.xds, err
	}
}

func (w *world) envoy(ctx context.Context, binary envoy.Binary, file *site.File, node string) error {
	bootstrap, err := envoyconf.Dynamic(file)
	if err != nil {
		return err
	}
	bootstrap.Node.Id = node
	encoded, err := protojson.Marshal(bootstrap)
	if err != nil {
		return err
	}
	process, err := envoy.Start(ctx, envoy.Options{Binary: binary, Bootstrap: encoded, Concurrency: workers, LogLevel: "error"})
	if err != nil {
		return err
	}
	w.onStop(process.Stop)
	address, err := process.ListenerAddress(ctx, "umagate")
	w.envoys = append(w.envoys, address)
	return err
}

// token is a new access token of alice's.
func (w *world) token(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice"}, "scope": {"view"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("app", "app-secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if answer.AccessToken == "" {
		return "", errors.New("the dev AS gave no token: " + resp.Status)
	}
	return answer.AccessToken, nil
}

// connection is one client's connection to one Envoy.
type connection struct {
	address   string
	transport *http.Transport
}

func (w *world) connections() []*connection {
	var out []*connection
	for _, address := range w.envoys {
		for range perEnvoy {
			out = append(out, &connection{address, &http.Transport{
				MaxConnsPerHost: 1,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", address)
				},
			}})
		}
	}
	return out
}

// status asks with the token.
func (c *connection) status(ctx context.Context, token string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/r/1", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}

// each does something over every connection at once.
func each(all []*connection, do func(c *connection) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { errs[i] = do(c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
