package xds_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/e2e/pki"
)

// secretOf is what a group named so gets.
func secretOf(name string) xds.Resources {
	return xds.Resources{Secrets: []*tlsv3.Secret{{Name: "pat", Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
		Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "Bearer of-" + name}},
	}}}}}
}

func group(name string, has func(xds.Peer) bool) xds.Group {
	return xds.Group{Name: name, Has: has, Resources: secretOf(name)}
}

func byCluster(name string) func(xds.Peer) bool {
	return func(p xds.Peer) bool { return p.Cluster == name }
}

func inline(t *testing.T, resp *discovery.DiscoveryResponse) string {
	t.Helper()
	require.Len(t, resp.GetResources(), 1)
	var s tlsv3.Secret
	require.NoError(t, resp.GetResources()[0].UnmarshalTo(&s))
	return s.GetGenericSecret().GetSecret().GetInlineString()
}

// ended gives the error that ended the stream.
func (e *envoy) ended() error {
	e.t.Helper()
	for {
		select {
		case resp, ok := <-e.responses:
			if !ok {
				return e.err
			}
			e.t.Log("a response before the end:", resp.GetTypeUrl())
		case <-time.After(within):
			require.FailNow(e.t, "the stream goes on")
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	zone := func(p xds.Peer) bool { return p.Metadata["zone"] == "b" }
	r := start(t)
	_, err := r.server.PushGroups(t.Context(), []xds.Group{group("a", byCluster("a")), group("b", zone), group("c", byCluster("c"))})
	require.NoError(t, err)
	metadata, err := structpb.NewStruct(map[string]any{"zone": "b", "n": 1})
	require.NoError(t, err)
	tests := []struct {
		name string
		node *corev3.Node
		want string
	}{
		{"by cluster", &corev3.Node{Id: "1", Cluster: "c"}, "Bearer of-c"},
		{"by metadata", &corev3.Node{Id: "2", Metadata: metadata}, "Bearer of-b"},
		{"the first of two", &corev3.Node{Id: "3", Cluster: "c", Metadata: metadata}, "Bearer of-b"},
		{"none", &corev3.Node{Id: "4", Cluster: "d"}, ""},
		{"the name of a group as node.id", &corev3.Node{Id: "c"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := r.envoy(t)
			e.node = tt.node
			e.subscribe(resourcev3.SecretType, "", "pat")
			if tt.want == "" {
				require.Equal(t, codes.PermissionDenied, status.Code(e.ended()))
				require.True(t, slices.ContainsFunc(r.server.Rejected(), func(a xds.Rejected) bool { return a.NodeID == tt.node.GetId() }))
				return
			}
			resp := e.receive()
			require.Equal(t, tt.want, inline(t, resp))
			// Another node on the same stream is the same Envoy still.
			e.node = &corev3.Node{Id: tt.node.GetId(), Cluster: "a"}
			e.answer(resp, resp.GetVersionInfo(), "", "pat")
			e.subscribe(resourcev3.ClusterType, "")
			require.Empty(t, e.receive().GetResources())
		})
	}
	require.Contains(t, r.log.String(), "envoy turned away")
}

// TestGroupChanges: who is of another group now, or of none, connects again.
func TestGroupChanges(t *testing.T) {
	t.Parallel()
	r := start(t)
	push := func(groups ...xds.Group) {
		t.Helper()
		_, err := r.server.PushGroups(t.Context(), groups)
		require.NoError(t, err)
	}
	push(group("a", byCluster("edge")), group("rest", nil))
	e := r.envoy(t)
	e.subscribe(resourcev3.SecretType, "", "pat")
	require.Equal(t, "Bearer of-a", inline(t, e.receive()))

	push(group("b", byCluster("edge")), group("rest", nil))
	require.Equal(t, codes.Unavailable, status.Code(e.ended()))
	e = r.envoy(t)
	e.subscribe(resourcev3.SecretType, "", "pat")
	require.Equal(t, "Bearer of-b", inline(t, e.receive()))

	push(group("c", byCluster("other")))
	require.Equal(t, codes.Unavailable, status.Code(e.ended()))
	e = r.envoy(t)
	e.subscribe(resourcev3.SecretType, "", "pat")
	require.Equal(t, codes.PermissionDenied, status.Code(e.ended()))
	require.NotContains(t, r.server.Versions(), "b")
}

// TestPushThatFailsChangesNothing: a push that ends early leaves every Envoy in its
// group, with what it was given.
func TestPushThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	before, err := r.server.PushGroups(t.Context(), []xds.Group{group("a", byCluster("edge")), group("rest", nil)})
	require.NoError(t, err)
	e := r.envoy(t)
	e.subscribe(resourcev3.SecretType, "", "pat")
	first := e.receive()
	require.Equal(t, "Bearer of-a", inline(t, first))
	e.answer(first, first.GetVersionInfo(), "", "pat")

	ended, end := context.WithCancel(t.Context())
	end()
	_, err = r.server.PushGroups(ended, []xds.Group{group("b", byCluster("edge"))})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, r.server.Versions())

	next := secretOf("a-again")
	_, err = r.server.PushGroups(t.Context(), []xds.Group{{Name: "a", Has: byCluster("edge"), Resources: next}, group("rest", nil)})
	require.NoError(t, err)
	require.Equal(t, "Bearer of-a-again", inline(t, e.receive()))
}

// TestNobodyFetchesOnce: the calls without a stream would go by what a node says.
func TestNobodyFetchesOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, err := r.server.PushGroups(t.Context(), []xds.Group{group("a", byCluster("a"))})
	require.NoError(t, err)
	for _, id := range []string{"a", xds.Default} {
		_, err := secretservice.NewSecretDiscoveryServiceClient(r.conn).FetchSecrets(t.Context(), &discovery.DiscoveryRequest{
			Node: &corev3.Node{Id: id}, TypeUrl: resourcev3.SecretType, ResourceNames: []string{"pat"},
		})
		require.Equal(t, codes.Unimplemented, status.Code(err))
	}
}

// TestSharedNodeID: two Envoys of one node id are two, and one's acceptance does
// not hide the other's refusal.
func TestSharedNodeID(t *testing.T) {
	t.Parallel()
	r := start(t)
	versions := r.push(t, "one", "as", "pat")
	other, err := grpc.NewClient(r.conn.Target(), grpc.WithTransportCredentials(plain()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	first := r.envoy(t)
	second := (&rig{server: r.server, log: r.log, conn: other}).envoy(t)
	for _, e := range []*envoy{first, second} {
		e.subscribe(resourcev3.ExtensionConfigType, "", filterName)
	}
	resp := first.receive()
	first.answer(resp, "", "no", filterName)
	resp = second.receive()
	second.answer(resp, resp.GetVersionInfo(), "", filterName)
	require.Eventually(t, func() bool {
		all := r.server.Envoys()
		return len(all) == 2 && slices.ContainsFunc(all, func(e xds.Envoy) bool { return e.Types[xds.ECDS].Refused == versions[xds.ECDS] }) &&
			slices.ContainsFunc(all, func(e xds.Envoy) bool { return e.Types[xds.ECDS].Acknowledged == versions[xds.ECDS] })
	}, within, time.Millisecond)
	require.Equal(t, []xds.Refusals{{Group: xds.Default, Type: xds.ECDS, Count: 1}}, r.server.Refusals())
}

// encrypted serves with certificates of ca.
func encrypted(t *testing.T, ca *pki.Authority) (server *xds.Server, address string, certificates *listen.Certificates) {
	t.Helper()
	folder := t.TempDir()
	pair := ca.Issue(t, pki.Leaf{Names: []string{"127.0.0.1"}})
	certificates = &listen.Certificates{
		Logger: slog.New(slog.DiscardHandler), Certificate: pki.Write(t, folder, "crt", pair.Certificate), Key: pki.Write(t, folder, "key", pair.Key), ClientCA: pki.Write(t, folder, "ca", ca.PEM),
	}
	require.NoError(t, certificates.Load())
	server, err := xds.New(slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, certificates.Config(tls.RequireAndVerifyClientCert, "h2")) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return server, listener.Addr().String(), certificates
}

func dial(t *testing.T, address string, trusts *pki.Authority, pair *pki.Pair) *rig {
	t.Helper()
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	require.True(t, config.RootCAs.AppendCertsFromPEM(trusts.PEM))
	if pair != nil {
		certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		require.NoError(t, err)
		// As an attacker does: also where the server does not ask for one of its kind.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &rig{conn: conn}
}

// TestClientCertificates: none, a stranger's and an expired one open no stream.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, stranger := pki.New(t, "ours"), pki.New(t, "theirs")
	server, address, certificates := encrypted(t, ca)
	_, err := server.PushGroups(t.Context(), []xds.Group{group("edge", func(p xds.Peer) bool { return slices.Contains(p.SANs, "spiffe://x/edge") })})
	require.NoError(t, err)
	good := ca.Issue(t, pki.Leaf{Names: []string{"spiffe://x/edge"}})
	foreign := stranger.Issue(t, pki.Leaf{Names: []string{"spiffe://x/edge"}})
	expired := ca.Issue(t, pki.Leaf{Names: []string{"spiffe://x/edge"}, NotAfter: time.Now().Add(-time.Minute)})
	for name, pair := range map[string]*pki.Pair{"none": nil, "a stranger's": &foreign, "expired": &expired} {
		t.Run(name, func(t *testing.T) {
			stream, err := discovery.NewAggregatedDiscoveryServiceClient(dial(t, address, ca, pair).conn).StreamAggregatedResources(t.Context())
			if err == nil {
				_, err = stream.Recv()
			}
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		})
	}
	require.Empty(t, server.Envoys())
	for _, r := range server.Rejected() {
		require.NotEmpty(t, r.Reason, "%v: of its handshake; no group was asked for", r)
	}

	e := dial(t, address, ca, &good).envoy(t)
	e.subscribe(resourcev3.SecretType, "", "pat")
	require.Equal(t, "Bearer of-edge", inline(t, e.receive()))

	// The file changes to something that is no certificate: what was before stays.
	pki.Write(t, filepath.Dir(certificates.ClientCA), "ca", []byte("none"))
	require.ErrorIs(t, certificates.Load(), listen.ErrCertificates)
	pki.Write(t, filepath.Dir(certificates.ClientCA), "ca", stranger.PEM)
	require.NoError(t, certificates.Load())
	server.Distrust(certificates.Trusts)
	require.Equal(t, codes.Unauthenticated, status.Code(e.ended()))
	e = dial(t, address, ca, &foreign).envoy(t)
	e.subscribe(resourcev3.SecretType, "", "pat")
	require.Equal(t, "Bearer of-edge", inline(t, e.receive()))
}

// TestStreamEndsWithItsCertificate: it is as short as a loaded machine allows.
func TestStreamEndsWithItsCertificate(t *testing.T) {
	t.Parallel()
	ca := pki.New(t, "ours")
	server, address, _ := encrypted(t, ca)
	_, err := server.PushGroups(t.Context(), []xds.Group{group("all", nil)})
	require.NoError(t, err)
	short := ca.Issue(t, pki.Leaf{Names: []string{"x"}, NotAfter: time.Now().Add(8 * time.Second)})
	e := dial(t, address, ca, &short).envoy(t)
	e.subscribe(resourcev3.SecretType, "", "pat")
	require.Equal(t, codes.Unauthenticated, status.Code(e.ended()))
}
