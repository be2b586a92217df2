package suite_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/native"
	"github.com/umagate/umagate/plugin/decision"
)

// suiteWorkers is how many workers every gateway has.
const suiteWorkers = 2

// nativeGateway is the core on net/http.
type nativeGateway struct {
	*native.Gateway
	inFlight

	at     string
	log    accessLog
	mu     sync.Mutex
	counts map[counted]uint64
}

func nativeKind() gatewayKind {
	return gatewayKind{"native", func(t *testing.T, api string, first delivery) gateway {
		t.Helper()
		g := &nativeGateway{counts: map[counted]uint64{}}
		inner, err := native.New(t.Context(), native.Options{
			Config: first.config, Upstream: &url.URL{Scheme: "http", Host: api}, Workers: suiteWorkers, Decided: g.note,
		})
		require.NoError(t, err)
		g.Gateway = inner
		g.at = serve(t, g.counted(inner.Server()), inner.Close)
		require.NoError(t, g.update(t.Context(), first))
		return g
	}}
}

func (g *nativeGateway) note(e native.Entry) {
	report, err := e.Report()
	if err != nil {
		panic(err) // the test that runs it fails
	}
	g.log.add(e.Path, report)
}

func (*nativeGateway) name() string      { return "native" }
func (g *nativeGateway) address() string { return g.at }
func (*nativeGateway) workers() int      { return suiteWorkers }
func (*nativeGateway) can() capability   { return canUpgrade | canHTTP2 | canKeepLong }

func (g *nativeGateway) update(_ context.Context, d delivery) error {
	for name, c := range d.clusters {
		g.SetCluster(name, native.Cluster{URL: &url.URL{Scheme: "http", Host: c.address}, Credential: c.credential})
	}
	err := g.UpdateConfig(d.config)
	if errors.Is(err, native.ErrRefused) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err //nolint:wrapcheck // a test's own
}

func (g *nativeGateway) decisions(context.Context) (map[counted]uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Drain(func(site string, s *decision.SiteStats) {
		for e := range decision.Effects {
			for r := range decision.Reasons {
				if n := s.Decisions[e][r]; n > 0 {
					g.counts[counted{site, e.String(), r.String()}] += n
				}
			}
		}
	})
	return maps.Clone(g.counts), nil
}

func (g *nativeGateway) logged(marker string) (map[string]any, bool) { return g.log.find(marker) }

// inFlight counts the requests of a server.
type inFlight struct{ n atomic.Uint64 }

// counted has the server count its requests.
func (f *inFlight) counted(server *http.Server) *http.Server {
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.n.Add(1)
		defer f.n.Add(^uint64(0))
		next.ServeHTTP(w, r)
	})
	return server
}

func (f *inFlight) active(context.Context) (n uint64, known bool) { return f.n.Load(), true }

// serve runs a server until the end of the test, then calls stop.
func serve(t *testing.T, server *http.Server, stop func()) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("a gateway: %v", err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
		stop()
	})
	return l.Addr().String()
}

// accessLog keeps the last lines.
type accessLog struct {
	mu    sync.Mutex
	lines []logLine
}

type logLine struct {
	path     string
	decision map[string]any
}

func (l *accessLog) add(path string, decision map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= 2000 {
		l.lines = append(l.lines[:0], l.lines[1000:]...)
	}
	l.lines = append(l.lines, logLine{path, decision})
}

func (l *accessLog) find(marker string) (map[string]any, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range slices.Backward(l.lines) {
		if strings.Contains(line.path, marker) {
			return line.decision, true
		}
	}
	return nil, false
}
