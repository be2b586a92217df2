package serve_test

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
)

// obstinate accepts the filter that it is given first. To what comes then it
// answers what respond says; nil for nothing.
func (p *plane) obstinate(respond func(*discovery.DiscoveryResponse) *discovery.DiscoveryRequest) {
	p.T.Helper()
	conn, err := grpc.NewClient(p.XDS, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(p.T, err)
	p.T.Cleanup(func() { _ = conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(p.T.Context())
	require.NoError(p.T, err)
	require.NoError(p.T, stream.Send(&discovery.DiscoveryRequest{
		Node: &corev3.Node{Id: "obstinate", Cluster: "edge"}, TypeUrl: resourcev3.ExtensionConfigType, ResourceNames: []string{"umagate"},
	}))
	answer := func(r *discovery.DiscoveryResponse) *discovery.DiscoveryRequest {
		return &discovery.DiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), VersionInfo: r.GetVersionInfo(), ResourceNames: []string{"umagate"}}
	}
	first, err := stream.Recv()
	require.NoError(p.T, err)
	require.NoError(p.T, stream.Send(answer(first)))
	p.Until("it has the first configuration", func(s server.Status) bool {
		return len(s.Envoys) == 1 && s.Envoys[0].Types[xds.ECDS].Acknowledged == first.GetVersionInfo()
	})
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				return // the test has ended
			}
			if said := respond(r); said != nil && stream.Send(said) != nil {
				return
			}
		}
	}()
}

// TestOXDEnvoyThatDoesNotAcknowledge: an application is answered all the same, and
// it is told that an Envoy has what was before.
func TestOXDEnvoyThatDoesNotAcknowledge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		wait    time.Duration
		respond func(*discovery.DiscoveryResponse) *discovery.DiscoveryRequest
		told    string
	}{
		{"says nothing", time.Millisecond, func(*discovery.DiscoveryResponse) *discovery.DiscoveryRequest { return nil }, "not_acknowledged=[obstinate]"},
		{"refuses", time.Hour, func(r *discovery.DiscoveryResponse) *discovery.DiscoveryRequest {
			return &discovery.DiscoveryRequest{
				TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ResourceNames: []string{"umagate"}, ErrorDetail: &rpcstatus.Status{Code: 3, Message: "no"},
			}
		}, "refused=[obstinate]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{SkipConsent: true, Scopes: []string{"oxd"}})
			p := newPlane(t, oxdConfig(t, as.Issuer(), "http://127.0.0.1:9"))
			p.Options.Intervals.Acknowledge = tt.wait
			p.Start()
			p.obstinate(tt.respond)
			app := p.application()
			app.register(as.Issuer(), "openid", "uma_protection")
			app.protect(false, `[{"path":"/photo","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)
			require.Equal(t, `199 - "some Envoys enforce what was before: umagate status names them"`, app.warning)
			require.Contains(t, p.Log.String(), "some Envoys enforce what it had protected before")
			require.Contains(t, p.Log.String(), tt.told)
			p.Until("status names the Envoy", func(s server.Status) bool { return !s.OK && len(s.Envoys) == 1 })
		})
	}
}
