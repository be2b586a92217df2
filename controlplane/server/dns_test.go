package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/pki"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// nameServer answers every name with one address, or that there is no such name.
type nameServer struct {
	conn   net.PacketConn
	answer atomic.Value // a string: an address, or noSuchName
}

const noSuchName = "no such name"

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &nameServer{conn: conn}
	s.answer.Store("127.0.0.1")
	var done sync.WaitGroup
	done.Go(s.serve)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		done.Wait()
	})
	return s
}

func (s *nameServer) serve() {
	buffer := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var asked dnsmessage.Message
		answer := fmt.Sprint(s.answer.Load())
		if asked.Unpack(buffer[:n]) != nil || len(asked.Questions) != 1 {
			continue
		}
		question := asked.Questions[0]
		out := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: asked.ID, Response: true, RecursionAvailable: true, RecursionDesired: asked.RecursionDesired},
			Questions: asked.Questions,
		}
		if answer == noSuchName {
			out.RCode = dnsmessage.RCodeNameError
		} else if question.Type == dnsmessage.TypeA {
			out.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(answer).To4())},
			}}
		}
		text, err := out.Pack()
		if err != nil {
			continue
		}
		_, _ = s.conn.WriteTo(text, from) // who asks asks again
	}
}

// transport is that of the file, with this server for names.
func (s *nameServer) transport(t *testing.T, settings site.TLS) *http.Transport {
	t.Helper()
	transport, err := settings.Transport(nil)
	require.NoError(t, err)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
	transport.DialContext = (&net.Dialer{Resolver: resolver}).DialContext
	return transport
}

// resolve has an Envoy ask this server for names.
func (s *nameServer) resolve(t *testing.T) func(*bootstrapv3.Bootstrap) {
	t.Helper()
	at, ok := s.conn.LocalAddr().(*net.UDPAddr)
	require.True(t, ok)
	config, err := anypb.New(&caresv3.CaresDnsResolverConfig{Resolvers: []*corev3.Address{{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Protocol: corev3.SocketAddress_UDP, Address: at.IP.String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(at.Port)},
	}}}}})
	require.NoError(t, err)
	return func(b *bootstrapv3.Bootstrap) {
		b.TypedDnsResolverConfig = &corev3.TypedExtensionConfig{Name: "envoy.network.dns_resolver.cares", TypedConfig: config}
	}
}

// TestStatusTellsThatTheNameOrCertificateIsWrong: the AS has a name and a certificate, and
// a real Envoy finds it by DNS. Names and certificates go wrong.
func TestStatusTellsThatTheNameOrCertificateIsWrong(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	names, ca := newNameServer(t), pki.New(t, "umagate test")
	const host = "as.example.test"
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	var pair atomic.Pointer[tls.Certificate]
	front := httptest.NewUnstartedServer(as)
	front.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Load(), nil }}
	// present has the AS show another certificate, as one that starts anew does.
	present := func(t *testing.T, leaf pki.Leaf) {
		t.Helper()
		made := ca.Issue(t, leaf)
		loaded, err := tls.X509KeyPair(made.Certificate, made.Key)
		require.NoError(t, err)
		pair.Store(&loaded)
		front.CloseClientConnections()
	}
	present(t, pki.Leaf{Names: []string{host}})
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are meant to
	front.StartTLS()
	t.Cleanup(front.Close)
	_, port, err := net.SplitHostPort(front.Listener.Addr().String())
	require.NoError(t, err)
	as.SetIssuer("https://" + net.JoinHostPort(host, port))

	p := newPlane(t)
	pki.Write(t, p.Dir, "ca.crt", ca.PEM)
	p.Options.Intervals = server.Intervals{} // those of production
	p.Options.Transport = names.transport(t, site.TLS{CA: ca.PEM})
	p.Write(strings.Replace(p.config(as.Issuer(), "albums"), "    client:", "    timeout: 2s\n    tls: {ca_file: ca.crt}\n    client:", 1) +
		fmt.Sprintf("plugin: {wasm: %q}\n", servertest.Module(t)))
	p.Start()
	e := p.protect(envoy.Options{Binary: binary}, names.resolve(t))
	p.Until("Envoy reports", func(s server.Status) bool { return servertest.Acknowledged(s) && !s.Envoys[0].ReportedAt.IsZero() })
	e.requireTicket("/albums/1")
	l := comeAgain(t, func(ctx context.Context) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Base+"/albums/1", http.NoBody)
		if err != nil {
			return err.Error()
		}
		req.Host = "photos.example.com"
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			return resp.Status
		}
		return ""
	}, p.names)
	dns := func(answer string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			names.answer.Store(answer)
		}
	}
	certificate := func(leaf pki.Leaf) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); present(t, leaf) }
	}
	// mend has the words of the condition looked at first.
	mend := func(kind health.Kind, words, remedy string, then func(*testing.T)) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			p.Until("it says what it is: "+words, func(s server.Status) bool {
				for _, c := range s.Conditions {
					if c.Name == kind.Name && strings.Contains(c.Message, words) && strings.Contains(c.Remedy, remedy) {
						return true
					}
				}
				return false
			})
			then(t)
		}
	}
	right := pki.Leaf{Names: []string{host}}
	for _, f := range []struct {
		name string
		fault
	}{{"the name has another address", fault{
		condition: health.EnvoyCannotReachAuthorizationServer, users: true, breakIt: dns("127.0.0.9"),
		mendIt: mend(health.EnvoyCannotReachAuthorizationServer, "unreachable", "DNS", dns("127.0.0.1")),
	}}, {"there is no such name, and the AS starts anew: Envoy has its address", fault{
		condition: health.AuthorizationServerUnreachable,
		breakIt:   func(t *testing.T) { t.Helper(); names.answer.Store(noSuchName); front.CloseClientConnections() },
		mendIt:    mend(health.AuthorizationServerUnreachable, "no such host", "DNS", dns("127.0.0.1")),
	}}, {"the certificate has ended", fault{
		condition: health.AuthorizationServerUnreachable, users: true, breakIt: certificate(pki.Leaf{Names: []string{host}, NotAfter: time.Now().Add(-time.Minute)}),
		mendIt: mend(health.AuthorizationServerUnreachable, "expired", "certificate", certificate(right)),
	}}, {"the certificate is of another name", fault{
		condition: health.AuthorizationServerUnreachable, users: true, breakIt: certificate(pki.Leaf{Names: []string{"other.example.test"}}),
		mendIt: mend(health.AuthorizationServerUnreachable, "other.example.test", "certificate", certificate(right)),
	}}} {
		if !t.Run(f.name, func(t *testing.T) { l.try(t, f.fault) }) {
			return
		}
	}
}
