package xds_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/umagate/umagate/controlplane/xds"
)

// TestThousandEnvoys: a push reaches each of a thousand streams, half of them delta.
func TestThousandEnvoys(t *testing.T) {
	t.Parallel()
	const envoys, connections = 1000, 20
	r := start(t)
	r.push(t, "one", "as", "pat")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	clients := make([]discovery.AggregatedDiscoveryServiceClient, connections)
	for i := range clients {
		conn, err := grpc.NewClient(r.conn.Target(), grpc.WithTransportCredentials(plain()))
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		clients[i] = discovery.NewAggregatedDiscoveryServiceClient(conn)
	}
	for i := range envoys {
		node := &corev3.Node{Id: fmt.Sprintf("envoy-%d", i)}
		wg.Go(func() {
			if i%2 == 0 {
				acceptAll(ctx, clients[i%connections], node)
			} else {
				acceptAllDelta(ctx, clients[i%connections], node)
			}
		})
	}
	all := func(version string) func() bool {
		return func() bool {
			n := 0
			for _, e := range r.server.Envoys() {
				if e.Connected && e.Types[xds.ECDS].Acknowledged == version {
					n++
				}
			}
			return n == envoys
		}
	}
	for _, text := range []string{"two", "three"} {
		versions := r.push(t, text, "as", "pat")
		require.Eventually(t, all(versions[xds.ECDS]), 2*within, 10*time.Millisecond)
	}
}

// acceptAll is an Envoy that accepts the filter, whatever it is.
func acceptAll(ctx context.Context, client discovery.AggregatedDiscoveryServiceClient, node *corev3.Node) {
	stream, err := client.StreamAggregatedResources(ctx)
	req := &discovery.DiscoveryRequest{Node: node, TypeUrl: resourcev3.ExtensionConfigType, ResourceNames: []string{filterName}}
	for err == nil {
		if err = stream.Send(req); err != nil {
			return
		}
		var resp *discovery.DiscoveryResponse
		resp, err = stream.Recv()
		req = &discovery.DiscoveryRequest{
			TypeUrl: req.GetTypeUrl(), ResourceNames: req.GetResourceNames(), ResponseNonce: resp.GetNonce(), VersionInfo: resp.GetVersionInfo(),
		}
	}
}

func acceptAllDelta(ctx context.Context, client discovery.AggregatedDiscoveryServiceClient, node *corev3.Node) {
	stream, err := client.DeltaAggregatedResources(ctx)
	req := &discovery.DeltaDiscoveryRequest{Node: node, TypeUrl: resourcev3.ExtensionConfigType, ResourceNamesSubscribe: []string{filterName}}
	for err == nil {
		if err = stream.Send(req); err != nil {
			return
		}
		var resp *discovery.DeltaDiscoveryResponse
		resp, err = stream.Recv()
		req = &discovery.DeltaDiscoveryRequest{TypeUrl: req.GetTypeUrl(), ResponseNonce: resp.GetNonce()}
	}
}
