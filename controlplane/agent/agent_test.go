package agent_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/agent"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/e2e/pki"
)

const (
	within = 2 * time.Minute
	often  = 5 * time.Millisecond
)

type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *log) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// rig is a control plane, and an agent that is beside Envoy "a".
type rig struct {
	t       *testing.T
	address string
	options agent.Options
	log     log
	plane   *xds.Server
	has     func(xds.Peer) bool
	encrypt *tls.Config // of the control plane; nil for plain text
	trust   credentials.TransportCredentials

	stopPlane, stopAgent func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	folder, err := os.MkdirTemp("", "umagate-") //nolint:usetesting // that may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	address, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, reservation.Close()) })
	r := &rig{t: t, address: address, trust: insecure.NewCredentials()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	path := filepath.Join(folder, "last_good")
	r.options = agent.Options{
		Beside: &envoyconf.Beside{Node: &corev3.Node{Id: "a", Cluster: "edge"}, ControlPlane: address, Path: path, Socket: path + ".sock"},
		Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Every: often, Retry: often,
	}
	return r
}

// push gives the group a filter.
func (r *rig) push(group, filter string) {
	r.t.Helper()
	config, err := anypb.New(wrapperspb.String(filter))
	require.NoError(r.t, err)
	_, err = r.plane.PushGroups(r.t.Context(), []xds.Group{{Name: group, Has: r.has, Resources: xds.Resources{
		Filter: &corev3.TypedExtensionConfig{Name: "umagate", TypedConfig: config},
		Secrets: []*tlsv3.Secret{{Name: "pat", Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
			Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "Bearer a-secret"}},
		}}}},
	}}})
	require.NoError(r.t, err)
}

// serve starts a control plane.
func (r *rig) serve() {
	r.t.Helper()
	var err error
	r.plane, err = xds.New(slog.New(slog.DiscardHandler), nil)
	require.NoError(r.t, err)
	listener, err := (&net.ListenConfig{}).Listen(r.t.Context(), "tcp", r.address)
	require.NoError(r.t, err)
	r.stopPlane = r.background(func(ctx context.Context) error { return r.plane.Serve(ctx, listener, r.encrypt) })
}

func (r *rig) start() {
	r.t.Helper()
	r.stopAgent = r.background(func(ctx context.Context) error { return agent.Run(ctx, r.options) })
}

func (r *rig) background(run func(context.Context) error) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(stop)
	return stop
}

// envoy takes the filter from an address until it is want.
func (r *rig) envoy(target, want string) {
	r.t.Helper()
	r.connect(target, insecure.NewCredentials(), want)
}

func (r *rig) connect(target string, trust credentials.TransportCredentials, want string) {
	r.t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(trust))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(r.t.Context())
	require.NoError(r.t, err)
	req := &discovery.DiscoveryRequest{Node: &corev3.Node{Id: "a", Cluster: "edge"}, TypeUrl: resourcev3.ExtensionConfigType, ResourceNames: []string{"umagate"}}
	for {
		require.NoError(r.t, stream.Send(req))
		resp, err := stream.Recv()
		require.NoError(r.t, err)
		req.VersionInfo, req.ResponseNonce = resp.GetVersionInfo(), resp.GetNonce()
		var e corev3.TypedExtensionConfig
		var text wrapperspb.StringValue
		require.NoError(r.t, resp.GetResources()[0].UnmarshalTo(&e))
		require.NoError(r.t, e.GetTypedConfig().UnmarshalTo(&text))
		if text.GetValue() == want {
			require.NoError(r.t, stream.Send(req))
			return
		}
	}
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	require.Eventually(r.t, ok, within, often, what)
}

func (r *rig) serves() bool {
	_, err := os.Stat(r.options.Beside.Socket)
	return err == nil
}

// keeps waits until the file has what came into force in an Envoy.
func (r *rig) keeps(filter string) {
	r.t.Helper()
	r.connect(r.address, r.trust, filter)
	r.until("the agent has it", func() bool {
		for _, a := range r.plane.Agents() {
			if s := a.Types[xds.LastGood]; a.Connected && s.Sent != "" && s.Acknowledged == s.Sent {
				return true
			}
		}
		return false
	})
}

// TestAgent: what is good is kept, sealed, and served while the control plane is away, by
// an agent that was started anew, too; and nothing of it is where it must not be.
func TestAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := r.options.Beside.Path
	r.start()
	r.until("it says so", func() bool { return strings.Contains(r.log.String(), "nothing is kept yet") })
	require.False(t, r.serves())
	_, err := agent.Check(r.options)
	require.ErrorIs(t, err, os.ErrNotExist)

	r.serve()
	r.push("edge", "one")
	r.keeps("one")
	require.False(t, r.serves(), "Envoy is to ask the control plane")
	for _, name := range []string{path, path + ".key"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), "a-secret")
	held, err := agent.Check(r.options)
	require.NoError(t, err)
	require.Equal(t, "edge", held.Group)
	r.until("the file is told that it is right", func() bool {
		now, err := agent.Check(r.options)
		return err == nil && now.AsOf.After(held.AsOf)
	})

	r.stopPlane()
	r.until("it is served", r.serves)
	info, err := os.Stat(path + ".sock")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	r.envoy("unix:"+path+".sock", "one")
	r.stopAgent()
	require.False(t, r.serves(), "who stops leaves no socket")
	r.start()
	r.until("it serves what it kept", r.serves)
	r.envoy("unix:"+path+".sock", "one")
	require.ErrorIs(t, agent.Run(t.Context(), r.options), agent.ErrAnother, "there is one agent beside an Envoy")

	// The control plane is back: another group counts, and none takes everything away.
	r.serve()
	r.push("other", "two")
	r.until("what another group had is gone", func() bool { _, err := agent.Check(r.options); return err != nil })
	r.keeps("two")
	held, err = agent.Check(r.options)
	require.NoError(t, err)
	require.Equal(t, "other", held.Group)
	r.has = func(xds.Peer) bool { return false }
	r.push("other", "two")
	r.until("nothing is kept", func() bool { _, err := os.Stat(path); return os.IsNotExist(err) && !r.serves() })
	require.NotContains(t, r.log.String(), "a-secret")
}

// TestRefused: a file that may not be served is refused with its reason, by an agent that
// goes on trying the control plane.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, r *rig)
		reason error
		words  string
	}{
		"damaged": {func(t *testing.T, r *rig) {
			t.Helper()
			text, err := os.ReadFile(r.options.Beside.Path)
			require.NoError(t, err)
			text[len(text)-1] ^= 1
			require.NoError(t, os.WriteFile(r.options.Beside.Path, text, 0o600))
		}, agent.ErrDamaged, ""},
		"another group forged": {func(t *testing.T, r *rig) {
			t.Helper()
			text, err := os.ReadFile(r.options.Beside.Path)
			require.NoError(t, err)
			text = bytes.Replace(text, []byte(`"group":"edge"`), []byte(`"group":"evil"`), 1)
			require.NoError(t, os.WriteFile(r.options.Beside.Path, text, 0o600))
		}, agent.ErrDamaged, ""},
		"cut short": {func(t *testing.T, r *rig) {
			t.Helper()
			require.NoError(t, os.Truncate(r.options.Beside.Path, 10))
		}, agent.ErrDamaged, ""},
		"empty": {func(t *testing.T, r *rig) {
			t.Helper()
			require.NoError(t, os.Truncate(r.options.Beside.Path, 0))
		}, agent.ErrDamaged, ""},
		"another key": {func(t *testing.T, r *rig) {
			t.Helper()
			require.NoError(t, os.Remove(r.options.Beside.Path+".key"))
		}, agent.ErrDamaged, ""},
		"open to others": {func(t *testing.T, r *rig) {
			t.Helper()
			require.NoError(t, os.Chmod(r.options.Beside.Path, 0o644))
		}, nil, "chmod 600"},
		"another node":    {func(_ *testing.T, r *rig) { r.options.Beside.Node.Id = "b" }, agent.ErrOther, "b"},
		"another cluster": {func(_ *testing.T, r *rig) { r.options.Beside.Node.Cluster = "b" }, agent.ErrOther, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.serve()
			r.push("edge", "one")
			r.start()
			r.keeps("one")
			r.stopAgent()
			r.stopPlane()
			c.spoil(t, r)
			_, err := agent.Check(r.options)
			require.Error(t, err)
			if c.reason != nil {
				require.ErrorIs(t, err, c.reason)
			}
			require.ErrorContains(t, err, c.words)
			require.ErrorContains(t, err, r.options.Beside.Path)
			r.start()
			r.until("it is told", func() bool { return strings.Contains(r.log.String(), "what is kept cannot be used") })
			r.until("it has tried the control plane", func() bool { return strings.Contains(r.log.String(), "the control plane is away") })
			require.False(t, r.serves())

			r.serve()
			r.push("edge", "two")
			r.keeps("two")
			_, err = agent.Check(r.options)
			require.NoError(t, err)
			r.stopPlane()
			r.until("it is served", r.serves)
		})
	}
}

// TestEnds: what was good is not served for longer than it may be old.
func TestEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.serve()
	r.push("edge", "one")
	r.options.MaxAge = time.Second
	r.start()
	r.keeps("one")
	r.stopPlane()
	r.until("it is too old", func() bool { return strings.Contains(r.log.String(), "--max-age") && !r.serves() })
	_, err := agent.Check(r.options)
	require.ErrorIs(t, err, agent.ErrTooOld)
	r.serve()
	r.push("edge", "two")
	r.keeps("two")
}

// TestUnkept: that it cannot be kept is told to the control plane, and so is that it can.
func TestUnkept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := r.options.Beside.Path
	require.NoError(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
	r.serve()
	r.push("edge", "one")
	r.start()
	r.envoy(r.address, "one")
	state := func(ok func(xds.State) bool) func() bool {
		return func() bool {
			agents := r.plane.Agents()
			return len(agents) == 1 && agents[0].Connected && ok(agents[0].Types[xds.LastGood])
		}
	}
	r.until("it is told", state(func(s xds.State) bool { return s.Refused != "" && strings.Contains(s.ErrorMessage, path) }))
	require.NoError(t, os.RemoveAll(path))
	r.until("it is kept", state(func(s xds.State) bool { return s.Refused == "" && s.Sent != "" && s.Acknowledged == s.Sent }))
	_, err := agent.Check(r.options)
	require.NoError(t, err)
}

// TestCertificate: the agent shows its Envoy's certificate, found by the files of SDS, and
// is in the group that this gives it. What was kept with another one is not served.
func TestCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	folder := t.TempDir()
	servers, envoys := pki.New(t, "servers"), pki.New(t, "envoys")
	pair := servers.Issue(t, pki.Leaf{Names: []string{"127.0.0.1"}})
	certificates := &listen.Certificates{
		Logger: slog.New(slog.DiscardHandler), Certificate: pki.Write(t, folder, "crt", pair.Certificate), Key: pki.Write(t, folder, "key", pair.Key),
		ClientCA: pki.Write(t, folder, "ca", envoys.PEM),
	}
	require.NoError(t, certificates.Load())
	r.encrypt = certificates.Config(tls.RequireAndVerifyClientCert, "h2")
	issue := func(name string) {
		own := envoys.Issue(t, pki.Leaf{Names: []string{name}})
		pki.Write(t, folder, "tls.crt", own.Certificate)
		pki.Write(t, folder, "tls.key", own.Key)
	}
	issue("spiffe://example.com/edge/1")
	pki.Write(t, folder, "trusted.crt", servers.PEM)
	file := &site.File{}
	file.Envoy.XDSTLS = site.EnvoyTLS{
		Certificate: filepath.Join(folder, "tls.crt"), Key: filepath.Join(folder, "tls.key"), CA: filepath.Join(folder, "trusted.crt"),
	}
	secrets, err := envoyconf.XDSSecrets(file)
	require.NoError(t, err)
	for name, secret := range secrets {
		text, err := envoyconf.YAML(secret)
		require.NoError(t, err)
		pki.Write(t, folder, name, text)
	}
	r.options.Beside.TLS = &envoyconf.XDSFiles{
		CertificateSDS: filepath.Join(folder, "certificate.yaml"), CASDS: filepath.Join(folder, "ca.yaml"), ServerName: "127.0.0.1",
	}
	r.has = func(p xds.Peer) bool { return slices.Contains(p.SANs, "spiffe://example.com/edge/1") }
	r.serve()
	r.push("edge", "one")
	r.start()
	r.until("it is connected", func() bool {
		agents := r.plane.Agents()
		return len(agents) == 1 && agents[0].Group == "edge" && slices.Equal(agents[0].Certificate, []string{"spiffe://example.com/edge/1"})
	})
	how, err := tls.LoadX509KeyPair(file.Envoy.XDSTLS.Certificate, file.Envoy.XDSTLS.Key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(servers.PEM))
	r.trust = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{how}, RootCAs: roots})
	r.keeps("one")
	_, err = agent.Check(r.options)
	require.NoError(t, err)

	// A new one of the same name is as good; one of another name is another Envoy.
	issue("spiffe://example.com/edge/1")
	_, err = agent.Check(r.options)
	require.NoError(t, err)
	issue("spiffe://example.com/edge/2")
	_, err = agent.Check(r.options)
	require.ErrorIs(t, err, agent.ErrOther)

	// A control plane of another name is none.
	r.stopAgent()
	r.options.Beside.TLS.ServerName = "control.example.com"
	r.start()
	r.until("it is told", func() bool {
		return strings.Contains(r.log.String(), "x509: ") && strings.Contains(r.log.String(), "control.example.com")
	})
	require.False(t, r.serves())
}
