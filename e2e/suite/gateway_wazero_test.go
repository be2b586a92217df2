package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/wasmhost"
	"github.com/umagate/umagate/plugin/config"
)

// module is the filter as `make wasm` builds it.
const module = "../../build/umagate.wasm"

// compiled keeps what wazero makes of the module from one run to the next.
const compiled = "../../build/wazero"

// readModule returns the filter's bytes; a missing one is a failure.
func readModule(t testing.TB) []byte {
	t.Helper()
	wasm, err := os.ReadFile(module)
	require.NoError(t, err, "run `make wasm` first")
	return wasm
}

// wasmGateway is the wasm module on wazero.
type wasmGateway struct {
	*wasmhost.Host
	inFlight

	at        string
	log       accessLog
	addresses map[string]string // of the clusters it has
}

func wasmKind() gatewayKind {
	return gatewayKind{"wazero", func(t *testing.T, api string, first delivery) gateway {
		t.Helper()
		document, err := config.Encode(&first.config)
		require.NoError(t, err)
		g := &wasmGateway{addresses: map[string]string{}}
		began := time.Now()
		g.Host, err = wasmhost.New(t.Context(), wasmhost.Options{
			AllowOnHeadersStopIteration: true,
			Wasm:                        readModule(t), Config: document, Upstream: &url.URL{Scheme: "http", Host: api}, Workers: suiteWorkers,
			CompilationCacheDir: compiled,
			RootID:              "umagate", AccessLog: func(e wasmhost.Entry) { g.log.add(e.OriginalPath, e.Typed("wasm."+config.DecisionProperty)) },
		})
		require.NoError(t, err)
		t.Logf("the wasm module is ready after %s", time.Since(began).Round(time.Millisecond))
		g.at = serve(t, g.counted(g.Server()), func() { require.NoError(t, g.Close(context.WithoutCancel(t.Context()))) })
		require.NoError(t, g.update(t.Context(), first))
		return g
	}}
}

func (*wasmGateway) name() string      { return "wazero" }
func (g *wasmGateway) address() string { return g.at }
func (*wasmGateway) workers() int      { return suiteWorkers }
func (*wasmGateway) can() capability   { return canUpgrade | canHTTP2 | canKeepLong }

func (g *wasmGateway) update(ctx context.Context, d delivery) error {
	for name, c := range d.clusters {
		if g.addresses[name] == c.address {
			g.SetCredential(name, c.credential)
			continue
		}
		if err := g.SetCluster(name, wasmhost.Cluster{URL: &url.URL{Scheme: "http", Host: c.address}, Credential: c.credential}); err != nil {
			return err //nolint:wrapcheck // a test's own
		}
		g.addresses[name] = c.address
	}
	document, err := config.Encode(&d.config)
	if err != nil {
		return err //nolint:wrapcheck // a test's own
	}
	err = g.UpdateConfig(ctx, document)
	if errors.Is(err, wasmhost.ErrConfigRefused) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err //nolint:wrapcheck // a test's own
}

// decisionMetric is the name of the counter of decisions, labels in it.
var decisionMetric = regexp.MustCompile(`^umagate\.site\.([^.]+)\.result\.([^.]+)\.reason\.([^.]+)\.decisions_total$`)

func (g *wasmGateway) decisions(context.Context) (map[counted]uint64, error) {
	counts := map[counted]uint64{}
	for name, n := range g.Stats().Counters {
		if m := decisionMetric.FindStringSubmatch(name); m != nil {
			counts[counted{m[1], m[2], m[3]}] += n
		}
	}
	return counts, nil
}

func (g *wasmGateway) logged(marker string) (map[string]any, bool) { return g.log.find(marker) }
