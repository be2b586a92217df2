package xds_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/e2e/process"
)

const (
	filterName = "umagate"
	edge       = "edge-1"
	within     = 2 * time.Minute
)

type rig struct {
	server *xds.Server
	log    *process.Log
	conn   *grpc.ClientConn
}

func plain() credentials.TransportCredentials { return insecure.NewCredentials() }

func start(t *testing.T) *rig {
	t.Helper()
	log := &process.Log{}
	s, err := xds.New(slog.New(slog.NewTextHandler(log, nil)), nil)
	require.NoError(t, err)
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener, nil) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(plain()))
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		_ = conn.Close()
	})
	return &rig{server: s, log: log, conn: conn}
}

func typed(t *testing.T, filter string) *corev3.TypedExtensionConfig {
	t.Helper()
	config, err := anypb.New(wrapperspb.String(filter))
	require.NoError(t, err)
	return &corev3.TypedExtensionConfig{Name: filterName, TypedConfig: config}
}

func (r *rig) push(t *testing.T, filter, cluster, pat string) map[xds.Type]string {
	t.Helper()
	versions, err := r.server.Push(t.Context(), xds.Resources{
		Filter:   typed(t, filter),
		Clusters: []*clusterv3.Cluster{{Name: cluster}},
		Secrets: []*tlsv3.Secret{{Name: "pat", Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
			Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "Bearer " + pat}},
		}}}},
	})
	require.NoError(t, err)
	return versions
}

// envoy is the client's side of one ADS stream, state of the world.
type envoy struct {
	t         *testing.T
	stream    discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	responses chan *discovery.DiscoveryResponse
	err       error // set before responses is closed
	node      *corev3.Node
}

func (r *rig) envoy(t *testing.T) *envoy {
	t.Helper()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn).StreamAggregatedResources(t.Context())
	require.NoError(t, err)
	e := &envoy{t: t, stream: stream, responses: make(chan *discovery.DiscoveryResponse, 100), node: &corev3.Node{Id: edge, Cluster: "edge"}}
	go func() {
		defer close(e.responses)
		for {
			resp, err := stream.Recv()
			if err != nil {
				e.err = err
				return
			}
			e.responses <- resp
		}
	}()
	return e
}

func (e *envoy) subscribe(typeURL, version string, names ...string) {
	e.t.Helper()
	require.NoError(e.t, e.stream.Send(&discovery.DiscoveryRequest{Node: e.node, TypeUrl: typeURL, ResourceNames: names, VersionInfo: version}))
}

func (e *envoy) receive() *discovery.DiscoveryResponse {
	e.t.Helper()
	select {
	case resp, ok := <-e.responses:
		require.True(e.t, ok, "the stream has ended")
		return resp
	case <-time.After(within):
		require.FailNow(e.t, "no response")
		return nil
	}
}

func (e *envoy) answer(resp *discovery.DiscoveryResponse, accepted string, refusal string, names ...string) {
	e.t.Helper()
	req := &discovery.DiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), VersionInfo: accepted, ResourceNames: names}
	if refusal != "" {
		req.ErrorDetail = &rpcstatus.Status{Code: 3, Message: refusal}
	}
	require.NoError(e.t, e.stream.Send(req))
}

func (r *rig) state(t *testing.T, node string, kind xds.Type, ok func(xds.State) bool) xds.State {
	t.Helper()
	var last xds.State
	require.Eventually(t, func() bool {
		for _, e := range r.server.Envoys() {
			if e.NodeID == node {
				last = e.Types[kind]
				return ok(last)
			}
		}
		return false
	}, within, time.Millisecond)
	return last
}

func value(t *testing.T, resp *discovery.DiscoveryResponse) string {
	t.Helper()
	require.Len(t, resp.GetResources(), 1)
	var ext corev3.TypedExtensionConfig
	require.NoError(t, resp.GetResources()[0].UnmarshalTo(&ext))
	var text wrapperspb.StringValue
	require.NoError(t, ext.GetTypedConfig().UnmarshalTo(&text))
	return text.GetValue()
}

func TestPushAndAcknowledge(t *testing.T) {
	t.Parallel()
	r := start(t)
	versions := r.push(t, "one", "as", "pat-1")
	e := r.envoy(t)
	e.subscribe(resourcev3.ClusterType, "")
	clusters := e.receive()
	e.answer(clusters, clusters.GetVersionInfo(), "")
	e.subscribe(resourcev3.SecretType, "", "pat", "not there yet")
	secrets := e.receive()
	e.answer(secrets, secrets.GetVersionInfo(), "", "pat", "not there yet")
	e.subscribe(resourcev3.ExtensionConfigType, "", filterName)
	filter := e.receive()
	require.Equal(t, "one", value(t, filter))
	e.answer(filter, filter.GetVersionInfo(), "", filterName)
	for _, kind := range []xds.Type{xds.CDS, xds.ECDS, xds.SDS} {
		version := versions[kind]
		state := r.state(t, edge, kind, func(s xds.State) bool { return s.Acknowledged == version })
		require.Equal(t, version, state.Sent)
		require.Empty(t, state.Refused)
	}

	// The same again is not sent; a new PAT is sent alone.
	require.Equal(t, versions, r.push(t, "one", "as", "pat-1"))
	rotated := r.push(t, "one", "as", "pat-2")
	require.Equal(t, versions[xds.ECDS], rotated[xds.ECDS])
	require.NotEqual(t, versions[xds.SDS], rotated[xds.SDS])
	resp := e.receive()
	require.Equal(t, resourcev3.SecretType, resp.GetTypeUrl())
	e.answer(resp, resp.GetVersionInfo(), "", "pat")
	r.state(t, edge, xds.SDS, func(s xds.State) bool { return s.Acknowledged == rotated[xds.SDS] })
	require.Empty(t, e.responses)
	require.NotContains(t, r.log.String(), "pat-")

	require.NoError(t, e.stream.CloseSend())
	require.Eventually(t, func() bool {
		all := r.server.Envoys()
		return len(all) == 1 && !all[0].Connected && !all[0].DisconnectedAt.IsZero()
	}, within, time.Millisecond)
}

func TestRefusalIsKeptAndNotRepeated(t *testing.T) {
	t.Parallel()
	r := start(t)
	good := r.push(t, "good", "as", "pat-1")
	e := r.envoy(t)
	e.subscribe(resourcev3.ExtensionConfigType, "", filterName)
	first := e.receive()
	e.answer(first, first.GetVersionInfo(), "", filterName)

	bad := r.push(t, "bad", "as", "pat-1")
	refused := e.receive()
	e.answer(refused, good[xds.ECDS], "sites[0].hosts: empty\nbeside pat-1", filterName)
	state := r.state(t, edge, xds.ECDS, func(s xds.State) bool { return s.Refused != "" })
	require.Equal(t, bad[xds.ECDS], state.Refused)
	require.Equal(t, good[xds.ECDS], state.Acknowledged)
	require.Equal(t, "sites[0].hosts: empty beside [redacted]", state.ErrorMessage)
	require.NotContains(t, r.log.String(), "pat-1")
	// Were the refused one sent again, it would come before the next.
	next := r.push(t, "mended", "as", "pat-1")
	resp := e.receive()
	require.Equal(t, "mended", value(t, resp))
	state = r.state(t, edge, xds.ECDS, func(s xds.State) bool { return s.Sent == next[xds.ECDS] })
	require.Empty(t, state.Refused, "a version that was overtaken is no news")
	e.answer(resp, resp.GetVersionInfo(), "", filterName)
	state = r.state(t, edge, xds.ECDS, func(s xds.State) bool { return s.Acknowledged == next[xds.ECDS] })
	require.Empty(t, state.Refused)
	require.Empty(t, state.ErrorMessage)
	require.Empty(t, e.responses)
}

func TestRestartSendsNothingAnew(t *testing.T) {
	t.Parallel()
	before := start(t)
	had := before.push(t, "one", "as", "pat-1")
	after := start(t)
	require.Equal(t, had[xds.CDS], after.push(t, "one", "as", "pat-1")[xds.CDS])
	e := after.envoy(t)
	e.subscribe(resourcev3.ClusterType, had[xds.CDS])
	state := after.state(t, edge, xds.CDS, func(s xds.State) bool { return s.Acknowledged != "" })
	require.Equal(t, had[xds.CDS], state.Acknowledged)
}

func TestClusterIsThereBeforeTheFilterThatNamesIt(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.push(t, "names old", "old", "pat")
	e := r.envoy(t)
	e.subscribe(resourcev3.ClusterType, "")
	clusters := e.receive()
	e.answer(clusters, clusters.GetVersionInfo(), "")
	e.subscribe(resourcev3.ExtensionConfigType, "", filterName)
	filter := e.receive()
	e.answer(filter, filter.GetVersionInfo(), "", filterName)
	r.state(t, edge, xds.ECDS, func(s xds.State) bool { return s.Acknowledged != "" })
	r.state(t, edge, xds.CDS, func(s xds.State) bool { return s.Acknowledged != "" })

	r.push(t, "names new", "new", "pat")
	var order []string
	for range 3 {
		resp := e.receive()
		if resp.GetTypeUrl() == resourcev3.ExtensionConfigType {
			order = append(order, value(t, resp))
			e.answer(resp, resp.GetVersionInfo(), "", filterName)
			continue
		}
		order = append(order, fmt.Sprintf("%d clusters", len(resp.GetResources())))
		e.answer(resp, resp.GetVersionInfo(), "")
	}
	require.Equal(t, []string{"2 clusters", "names new", "1 clusters"}, order)
}

func TestDelta(t *testing.T) {
	t.Parallel()
	r := start(t)
	good := r.push(t, "good", "as", "pat-1")
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn).DeltaAggregatedResources(t.Context())
	require.NoError(t, err)
	send := func(req *discovery.DeltaDiscoveryRequest) {
		t.Helper()
		req.TypeUrl = resourcev3.ExtensionConfigType
		require.NoError(t, stream.Send(req))
	}
	send(&discovery.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "delta"}, ResourceNamesSubscribe: []string{filterName}})
	resp, err := stream.Recv()
	require.NoError(t, err)
	send(&discovery.DeltaDiscoveryRequest{ResponseNonce: resp.GetNonce()})
	r.state(t, "delta", xds.ECDS, func(s xds.State) bool { return s.Acknowledged == good[xds.ECDS] })
	bad := r.push(t, "bad", "as", "pat-1")
	resp, err = stream.Recv()
	require.NoError(t, err)
	send(&discovery.DeltaDiscoveryRequest{ResponseNonce: resp.GetNonce(), ErrorDetail: &rpcstatus.Status{Message: "no"}})
	state := r.state(t, "delta", xds.ECDS, func(s xds.State) bool { return s.Refused == bad[xds.ECDS] })
	require.Equal(t, good[xds.ECDS], state.Acknowledged)
	require.Equal(t, "no", state.ErrorMessage)
}

func TestVersionOfSecretsIsNoHashOfThem(t *testing.T) {
	t.Parallel()
	first, second := start(t), start(t)
	require.NotEqual(t, first.push(t, "f", "c", "pat")[xds.SDS], second.push(t, "f", "c", "pat")[xds.SDS])
}

func TestWordsOfAnEnvoyAreBounded(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.push(t, "one", "as", "secret-pat")
	e := r.envoy(t)
	long := strings.Repeat("x", 100<<10) + "\x1b[2J"
	e.node = &corev3.Node{Id: long, Cluster: long, UserAgentVersionType: &corev3.Node_UserAgentVersion{UserAgentVersion: long}}
	e.subscribe(resourcev3.ExtensionConfigType, "\x1b[2J"+long, filterName)
	e.receive()
	known := r.server.Envoys()
	require.Len(t, known, 1)
	shown := fmt.Sprintf("%+v", known[0])
	require.Less(t, len(shown), 16<<10)
	require.NotContains(t, shown, "\x1b")
	require.Less(t, len(r.log.String()), 16<<10)
}
