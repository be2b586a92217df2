package suite_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
	"github.com/umagate/umagate/plugin/config"
)

// envoyGateway is a real Envoy that has everything from the control plane's own
// xDS server.
type envoyGateway struct {
	t       *testing.T
	binary  envoy.Binary
	plane   *xds.Server
	file    *site.File
	at      string
	log     string // the access log's file
	process *envoy.Process
	pushes  int
	had     map[string]bool // versions of the filter's configuration that have been in force
}

func envoyKind() gatewayKind {
	return gatewayKind{"envoy", func(t *testing.T, api string, first delivery) gateway {
		t.Helper()
		g := &envoyGateway{t: t, binary: envoytest.Binary(t), log: filepath.Join(t.TempDir(), "access.log"), had: map[string]bool{}}
		readModule(t)
		wasm, err := filepath.Abs(module)
		require.NoError(t, err)
		g.plane, err = xds.New(slog.New(slog.DiscardHandler), nil)
		require.NoError(t, err)
		address, reservation, err := port.Reserve("127.0.0.1")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, reservation.Close()) })
		g.file = &site.File{
			Plugin: site.Plugin{Wasm: wasm, VMID: "umagate"},
			Envoy: site.Envoy{
				Listener: address, Admin: "off", NodeID: "suite", NodeCluster: "suite", AccessLog: g.log, XDS: g.serve(),
			},
			Sites: []site.Site{
				// The routes are to keep messages for the filter, which has sites of its own.
				{Name: "api", Hosts: []string{"*"}, Upstream: "http://" + api, Resources: []site.Resource{{Conditions: []site.Condition{{Condition: config.Condition{MCP: &config.MCP{}}}}}}},
				{Name: http2API, Hosts: []string{"*.h2.test"}, Upstream: "http://" + api},
			},
		}
		versions, err := g.push(t.Context(), first)
		require.NoError(t, err)
		g.had[versions[xds.ECDS]] = true
		began := time.Now()
		g.start()
		t.Logf("Envoy %s serves after %s", g.process.Binary.Version, time.Since(began).Round(time.Millisecond))
		g.at = envoytest.Address(t.Context(), t, g.process, "umagate")
		return g
	}}
}

// serve runs the xDS server until the end of the test.
func (g *envoyGateway) serve() (address string) {
	l, err := (&net.ListenConfig{}).Listen(g.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(g.t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(g.t.Context()))
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := g.plane.Serve(ctx, l, nil); err != nil {
			g.t.Errorf("xDS: %v", err)
		}
	})
	g.t.Cleanup(func() {
		stop()
		serving.Wait()
	})
	return l.Addr().String()
}

func (g *envoyGateway) start() {
	bootstrap, err := envoyconf.Dynamic(g.file)
	require.NoError(g.t, err)
	document, err := protojson.Marshal(bootstrap)
	require.NoError(g.t, err)
	g.process = envoytest.Start(g.t, envoy.Options{
		Binary: g.binary, Bootstrap: document, Concurrency: suiteWorkers, Arguments: []string{"--file-flush-interval-msec", "50"},
	})
}

// http2API is the API once more, for hosts below h2.test. Which protocol an API
// speaks is the user's to say; the scenarios want to see what goes on by HTTP/2.
const http2API = "http2"

func speakHTTP2(clusters []*clusterv3.Cluster) error {
	options, err := anypb.New(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{},
			},
		},
	})
	if err != nil {
		return err //nolint:wrapcheck // a test's own
	}
	for _, c := range clusters {
		if c.GetName() == "upstream/"+http2API {
			c.TypedExtensionProtocolOptions = map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
			return nil
		}
	}
	return errors.New("the API has no cluster for HTTP/2")
}

// restart implements restarter.
func (g *envoyGateway) restart(t *testing.T) {
	t.Helper()
	g.process.Kill()
	g.start()
	require.Equal(t, g.at, envoytest.Address(t.Context(), t, g.process, "umagate"))
}

func (*envoyGateway) name() string      { return "envoy" }
func (g *envoyGateway) address() string { return g.at }
func (*envoyGateway) workers() int      { return suiteWorkers }

func (g *envoyGateway) can() capability {
	can := canHTTP2 | canRestart | canUpgrade
	if !strings.HasPrefix(g.binary.Version, "1.36.") { // which keeps as much as its listener says
		can |= canKeepLong
	}
	return can
}

// push gives a delivery to the xDS server. A configuration without a name gets one of its
// own: what Envoy has had, and a stream has kept, it may take up again without the filter
// beginning anew.
func (g *envoyGateway) push(ctx context.Context, d delivery) (map[xds.Type]string, error) {
	g.pushes++
	if d.config.Revision == "" {
		d.config.Revision = fmt.Sprint("push ", g.pushes)
	}
	in := envoyconf.Input{File: g.file, Config: d.config}
	filter, err := envoyconf.Filter(in)
	if err != nil {
		return nil, err //nolint:wrapcheck // a test's own
	}
	// The clusters are every site's; those of the first that names them count.
	first, evaluates, grants := "", false, ""
	named := *g.file
	named.Sites = nil
	for i := range d.config.Sites {
		s := &d.config.Sites[i]
		named.Sites = append(named.Sites, site.Site{Name: s.Name, Hosts: s.Hosts})
		whole := s.AuthorizationServer.Introspection.Cluster == introspectionCluster && s.AuthorizationServer.Permission != nil
		e := s.AuthorizationServer.Evaluation
		direct := e != nil && e.Audience != ""
		if whole && (first == "" || !evaluates && direct) {
			first, evaluates = s.Name, direct
		}
		if whole && grants == "" && e != nil && !direct {
			grants = s.Name
		}
	}
	in.File = &named
	in.Config.Sites = nil
	for _, name := range []string{first, grants} {
		for i := range d.config.Sites {
			if d.config.Sites[i].Name == name {
				in.Config.Sites = append(in.Config.Sites, d.config.Sites[i])
			}
		}
	}
	clusters, err := envoyconf.Clusters(in)
	if err != nil {
		return nil, err //nolint:wrapcheck // a test's own
	}
	seen := map[string]bool{}
	clusters = slices.DeleteFunc(clusters, func(c *clusterv3.Cluster) bool {
		had := seen[c.GetName()]
		seen[c.GetName()] = true
		return had
	})
	credentials := envoyconf.Credentials{Introspection: d.clusters[introspectionCluster].credential, PAT: d.clusters[permissionCluster].credential}
	secrets := envoyconf.Secrets(map[string]envoyconf.Credentials{first: credentials, grants: credentials})
	upstreams, err := envoyconf.Upstreams(g.file)
	if err == nil {
		err = speakHTTP2(upstreams)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // a test's own
	}
	listener, err := envoyconf.Listener(g.file)
	if err != nil {
		return nil, err //nolint:wrapcheck // a test's own
	}
	return g.plane.Push(ctx, xds.Resources{ //nolint:wrapcheck // a test's own
		Filter: filter, Clusters: append(clusters, upstreams...), Secrets: append([]*tlsv3.Secret(nil), secrets...),
		Listener: listener, Routes: envoyconf.Routes(g.file),
	})
}

// update implements gateway. Envoy's main thread acknowledges a configuration and its
// workers take it at their next turn, so both are waited for.
func (g *envoyGateway) update(ctx context.Context, d delivery) error {
	log, err := os.Open(g.process.LogFile)
	if err != nil {
		return err //nolint:wrapcheck // a test's own
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return err //nolint:wrapcheck // a test's own
	}
	versions, err := g.push(ctx, d)
	if err != nil {
		return err
	}
	begins := 0
	if !g.had[versions[xds.ECDS]] {
		begins = g.workers() + 1 // the main thread tries it first
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("Envoy has not acknowledged the push, or a worker has not taken it"))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for begun := 0; ; {
		done, err := g.acknowledged(versions)
		if err != nil {
			return err
		}
		begun += beginnings(log)
		if done && begun >= begins {
			g.had[versions[xds.ECDS]] = true
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// beginnings counts how often the filter has begun with a configuration in what is new in
// Envoy's log. A line that is still being written is counted with what comes next.
func beginnings(log io.ReadSeeker) int {
	text, err := io.ReadAll(log)
	if err != nil {
		return 0
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if _, err := log.Seek(int64(whole-len(text)), io.SeekCurrent); err != nil {
		return 0
	}
	return len(configured.FindAll(text[:whole], -1))
}

// configured is what the filter says when it has begun with a configuration.
var configured = regexp.MustCompile(`umagate: configuration .* in force, \d+ sites`)

// acknowledged reports whether the one Envoy has taken what was pushed; the error is
// errRefused with Envoy's words.
func (g *envoyGateway) acknowledged(versions map[xds.Type]string) (bool, error) {
	envoys := g.plane.Envoys()
	if len(envoys) != 1 {
		return false, nil
	}
	for kind, version := range versions {
		state := envoys[0].Types[kind]
		if state.Refused == version {
			return false, fmt.Errorf("%w: %s", errRefused, state.ErrorMessage)
		}
		if state.Acknowledged != version {
			return false, nil
		}
	}
	return true, nil
}

// promLine is a line of the decisions' counter, promLabel one of its labels.
var (
	promLine  = regexp.MustCompile(`(?m)^umagate_decisions_total\{([^}]*)\} (\d+)$`)
	promLabel = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

func (g *envoyGateway) decisions(ctx context.Context) (map[counted]uint64, error) {
	text, err := g.process.Prometheus(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // a test's own
	}
	counts := map[counted]uint64{}
	for _, line := range promLine.FindAllStringSubmatch(text, -1) {
		labels := map[string]string{}
		for _, l := range promLabel.FindAllStringSubmatch(line[1], -1) {
			labels[l[1]] = l[2]
		}
		n, err := strconv.ParseUint(line[2], 10, 64)
		if err != nil {
			return nil, err //nolint:wrapcheck // a test's own
		}
		counts[counted{labels["site"], labels["result"], labels["reason"]}] += n
	}
	return counts, nil
}

func (g *envoyGateway) active(ctx context.Context) (uint64, bool) {
	const gauge = "http.umagate.downstream_rq_active"
	stats, err := g.process.Stats(ctx, gauge)
	return stats[gauge], err == nil
}

func (g *envoyGateway) logged(marker string) (found map[string]any, ok bool) {
	file, err := os.Open(g.log)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct {
			Path     string
			Decision map[string]any
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && strings.Contains(line.Path, marker) {
			found, ok = line.Decision, true
		}
	}
	return found, ok
}
