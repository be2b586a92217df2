package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/port"
)

// startTimeout bounds the wait until everything is configured. Envoy compiles the
// module first, which takes seconds on a fast machine.
const startTimeout = 2 * time.Minute

// gateway runs the filter before the API.
type gateway interface {
	// address is host:port.
	address() string
	// about describes it in words.
	about() string
	// admin is the base URL of its admin API, empty where it has none.
	admin() string
	stop()
}

// world is everything that the story happens in.
type world struct {
	play    play
	tools   *tools // of the MCP server, where there is one
	folder  string
	wasm    string // the filter's module, absolute
	cache   string // wazero's, may be empty
	api     *api
	as      *devas.Server
	stopAS  func()
	file    string // umagate.yaml
	plane   string // host:port of the control plane's API
	xds     string // and of its xDS server
	gateway gateway
	// front is host:port of the gateway, once it is known; held keeps it for it.
	front string
	held  io.Closer

	cancel context.CancelFunc
	ended  chan struct{} // closed when the control plane has ended
	cause  error         // why, valid once ended is closed
}

// startWorld starts everything, and returns when the gateway has its configuration.
func startWorld(ctx context.Context, o Options, p *printer) (_ *world, err error) {
	w := &world{play: playOf(o), tools: &tools{calls: map[string]int{}}, stopAS: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	if w.wasm, err = filepath.Abs(o.Module); err != nil {
		return nil, fmt.Errorf("the filter: %w", err)
	}
	if _, err := os.Stat(w.wasm); err != nil {
		return nil, fmt.Errorf("the filter: %w", err)
	}
	w.cache = o.Cache
	choose, err := chooseGateway(ctx, o.Gateway)
	if err != nil {
		return nil, err
	}
	if w.folder, err = os.MkdirTemp("", "umagate-demo-"); err != nil {
		return nil, fmt.Errorf("a folder for the demo: %w", err)
	}
	at := portsOf(o)
	if w.api, err = startAPI(ctx, at(ctx, "8081"), w.play.api(w)); err != nil {
		return nil, err
	}
	if err := w.startAS(ctx, at(ctx, "9090")); err != nil {
		return nil, err
	}
	if err := w.startPlane(ctx, o, at); err != nil {
		return nil, err
	}
	p.wait(choose.promise)
	began := time.Now()
	if w.gateway, err = choose.start(ctx, w, at(ctx, "9901")); err != nil {
		return nil, err
	}
	if err := w.waitUntilServing(ctx); err != nil {
		return nil, err
	}
	p.waited(time.Since(began))
	return w, nil
}

// portsOf returns the addresses that parts listen on: the ones a reader can remember,
// where they are free.
func portsOf(o Options) func(ctx context.Context, preferred string) string {
	return func(ctx context.Context, preferred string) string {
		const free = "127.0.0.1:0"
		if o.Once {
			return free
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:"+preferred)
		if err != nil {
			return free
		}
		_ = l.Close()
		return l.Addr().String()
	}
}

// startAS starts the authorization server with the two people. Whoever asks for
// what is another's makes a request that the owner can answer.
func (w *world) startAS(ctx context.Context, address string) error {
	var err error
	w.as, err = devas.New(devas.Options{
		Listen: address,
		Users: []devas.User{
			{Name: "alice", Password: "alice", FullName: "Alice"},
			{Name: "bob", Password: "bob", FullName: "Bob"},
		},
		Clients: []devas.Client{{ID: clientID, Metadata: devas.Metadata{
			ClientName: "Photo viewer", TokenEndpointAuthMethod: devas.AuthNone, RedirectURIs: []string{"http://127.0.0.1/callback"},
		}}},
		Scopes: w.play.scopes, PollInterval: w.play.poll,
	})
	if err != nil {
		return err
	}
	if w.stopAS, err = w.as.Start(ctx); err != nil {
		return err
	}
	return nil
}

// startPlane runs what "umagate serve" runs.
func (w *world) startPlane(ctx context.Context, o Options, at func(context.Context, string) string) error {
	w.file = filepath.Join(w.folder, "umagate.yaml")
	if w.front = at(ctx, "10000"); strings.HasSuffix(w.front, ":0") { // the file names it
		var err error
		if w.front, w.held, err = port.Reserve("127.0.0.1"); err != nil {
			return fmt.Errorf("an address for the gateway: %w", err)
		}
	}
	values := map[string]string{
		"API": at(ctx, "8090"), "XDS": at(ctx, "18000"), "GATEWAY": w.front,
		"FOLDER": w.folder, "WASM": w.wasm, "UPSTREAM": w.api.address, "ISSUER": w.as.Issuer(),
	}
	text := os.Expand(w.play.file, func(name string) string { return values[name] })
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("umagate.yaml: %w", err)
	}
	logger := slog.New(slog.DiscardHandler)
	if o.Verbose {
		logger = slog.New(slog.NewTextHandler(o.Stderr, nil))
	}
	started := make(chan struct{})
	ctx, w.cancel = context.WithCancel(ctx)
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		w.cause = server.Run(ctx, server.Options{
			Path: w.file, Logger: logger, Version: "demo",
			// The authorization server goes away in the story; when it is back, nobody
			// wants to wait a minute.
			// The story counts introspections, so that the control plane makes none of its own.
			Intervals: server.Intervals{Site: registration.Intervals{RetryMax: time.Second, Health: time.Hour}},
			Started: func(api, xds string) {
				w.plane, w.xds = api, xds
				close(started)
			},
		})
	}()
	select {
	case <-started:
		return nil
	case <-w.ended:
		return w.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) failure() error { return fmt.Errorf("the control plane ended: %w", w.cause) }

// site reads umagate.yaml with the addresses that are in force.
func (w *world) site() (*site.File, error) {
	file, err := site.Load(w.file)
	if err != nil {
		return nil, err
	}
	file.Envoy.XDS = w.xds
	return file, nil
}

// waitUntilServing returns when the site is registered, the gateway has
// acknowledged what follows from that, and the albums have their owners.
func (w *world) waitUntilServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		status, err := w.status(ctx)
		if err == nil && serving(status) {
			break
		}
		last = fmt.Sprint(status.Conditions, err)
		select {
		case <-tick.C:
		case <-w.ended:
			return w.failure()
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not configured after %s: %s: %w", startTimeout, last, ctx.Err())
		}
	}
	for album, owner := range w.play.owners {
		if err := w.as.SetOwner(album, owner, true); err != nil {
			return err
		}
	}
	for _, policy := range w.play.policies {
		if _, err := w.as.Permit(policy); err != nil {
			return err
		}
	}
	return nil
}

// url is where the MCP server is, for clients.
func (w *world) url() string { return "http://" + w.front + mcpPath }

// status asks the control plane, as "umagate status" does.
func (w *world) status(ctx context.Context) (server.Status, error) {
	var status server.Status
	control, err := client.Local(w.plane, filepath.Join(w.folder, "umagate.db.token"))
	if err != nil {
		return status, err
	}
	if err := control.Do(ctx, http.MethodGet, "/v1/status", nil, &status); err != nil {
		return status, fmt.Errorf("the control plane's status: %w", err)
	}
	return status, nil
}

func serving(s server.Status) bool {
	if len(s.Sites) != 1 || s.Sites[0].Phase != registration.Serving || len(s.Envoys) != 1 || len(s.Pushed) == 0 {
		return false
	}
	if r := s.Sites[0].Resources; r.Declared == 0 || r.Registered != r.Declared {
		return false
	}
	for kind, version := range s.Pushed {
		if s.Envoys[0].Types[kind].Acknowledged != version {
			return false
		}
	}
	return true
}

// stop ends everything, the last started first.
func (w *world) stop() error {
	if w.gateway != nil {
		w.gateway.stop()
	}
	if w.cancel != nil {
		w.cancel()
		<-w.ended
	}
	w.stopAS()
	if w.api != nil {
		w.api.stop()
	}
	if w.held != nil {
		_ = w.held.Close()
	}
	if w.folder != "" {
		if err := os.RemoveAll(w.folder); err != nil {
			return fmt.Errorf("the demo's folder: %w", err)
		}
	}
	return nil
}
