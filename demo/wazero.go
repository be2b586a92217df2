package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"

	"github.com/umagate/umagate/demo/wasmhost"
)

// wazeroGateway is the filter's module on wazero, in this process.
type wazeroGateway struct {
	host   *wasmhost.Host
	server *http.Server
	at     string
	cancel context.CancelFunc
	joined sync.WaitGroup
}

func startWazero(ctx context.Context, w *world, _ string) (gateway, error) {
	file, err := w.site()
	if err != nil {
		return nil, err
	}
	module, err := os.ReadFile(w.wasm)
	if err != nil {
		return nil, fmt.Errorf("the filter: %w", err)
	}
	client, err := subscribe(ctx, w.xds)
	if err != nil {
		return nil, err
	}
	first, err := client.first(ctx)
	if err != nil {
		return nil, errors.Join(err, client.close())
	}
	host, err := wasmhost.New(ctx, wasmhost.Options{
		AllowOnHeadersStopIteration: true,
		Wasm:                        module, Config: first, Upstream: &url.URL{Scheme: "http", Host: w.api.address}, Workers: 1, RootID: "umagate",
		CompilationCacheDir: w.cache,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the filter on wazero: %w", err), client.close())
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", file.Envoy.Listener)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the gateway: %w", err), client.close(), host.Close(ctx))
	}
	g := &wazeroGateway{host: host, server: host.Server(), at: l.Addr().String()}
	following, cancel := context.WithCancel(ctx)
	g.cancel = func() {
		cancel()
		_ = client.close()
	}
	g.joined.Go(func() { _ = g.server.Serve(l) })
	g.joined.Go(func() { client.follow(following, host) })
	return g, nil
}

func (g *wazeroGateway) address() string { return g.at }
func (*wazeroGateway) admin() string     { return "" }

func (*wazeroGateway) about() string {
	return "the filter's wasm on wazero, as no Envoy was found or wanted"
}

func (g *wazeroGateway) stop() {
	g.cancel()
	_ = g.server.Close()
	g.joined.Wait()
	_ = g.host.Close(context.Background())
}
