package xds

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// drainFor is how long a connection lasts whose Envoy is not trusted any more:
// time for it to hear why.
const drainFor = 250 * time.Millisecond

// connections are those that a listener has accepted, by the other side's address.
type connections struct {
	net.Listener

	mu   sync.Mutex
	open map[string]*connection
}

// Accept implements [net.Listener].
func (l *connections) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: accepted, all: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[accepted.RemoteAddr().String()] = c
	return c, nil
}

func (l *connections) find(address string) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[address]
}

// connection is one that can be closed although grpc has it.
type connection struct {
	net.Conn

	all      *connections
	draining atomic.Bool
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.all.mu.Lock()
	if key := c.RemoteAddr().String(); c.all.open[key] == c {
		delete(c.all.open, key)
	}
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// drain lets no new stream begin and closes the connection soon: Envoy would go
// on using it, and with it the certificate that it was made with.
func (c *connection) drain() {
	if c != nil && !c.draining.Swap(true) {
		time.AfterFunc(drainFor, func() { _ = c.Close() })
	}
}

// closer ends a stream: its Envoy connects again then, and is judged anew.
type closer struct {
	address    string
	connection *connection
	// state is that of the connection; nil for plain text.
	state *tls.ConnectionState

	once   sync.Once
	done   chan struct{}
	reason error // set before done is closed
}

// close ends the stream. The first reason is the one that the Envoy is told.
func (t *closer) close(reason error) {
	t.once.Do(func() {
		t.reason = reason
		close(t.done)
	})
}

type closerKey struct{}

// closerOf returns the closer of a stream that intercept has seen.
func closerOf(ctx context.Context) *closer {
	if t, ok := ctx.Value(closerKey{}).(*closer); ok {
		return t
	}
	return &closer{done: make(chan struct{})}
}

// distrust ends the stream and its connection.
func (t *closer) distrust(reason error) {
	t.connection.drain()
	t.close(reason)
}

// intercept gives each stream a closer. A stream does not outlive its certificate.
func (l *connections) intercept(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	t := &closer{done: make(chan struct{})}
	if p, ok := peer.FromContext(stream.Context()); ok {
		t.address = p.Addr.String()
		if t.connection = l.find(t.address); t.connection != nil && t.connection.draining.Load() {
			return errUntrusted
		}
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			t.state = &info.State
			if certificates := info.State.PeerCertificates; len(certificates) > 0 {
				timer := time.AfterFunc(time.Until(certificates[0].NotAfter), func() { t.distrust(errExpired) })
				defer timer.Stop()
			}
		}
	}
	err := next(server, &closable{ServerStream: stream, ctx: context.WithValue(stream.Context(), closerKey{}, t), closer: t})
	select {
	case <-t.done:
		return t.reason
	default:
		return err
	}
}

// closable is a stream whose reading ends when its closer closes it; its handler
// ends then, and with it the stream.
type closable struct {
	grpc.ServerStream

	ctx    context.Context //nolint:containedctx // grpc has a stream's context there
	closer *closer
}

// Context implements [grpc.ServerStream].
func (s *closable) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream]. What it leaves behind when the stream
// is closed ends with the stream.
func (s *closable) RecvMsg(m any) error {
	read := make(chan error, 1)
	go func() { read <- s.ServerStream.RecvMsg(m) }()
	select {
	case err := <-read:
		return err
	case <-s.closer.done:
		return s.closer.reason
	}
}

// SendMsg implements [grpc.ServerStream]. What was made after the stream was closed
// is not for this Envoy.
func (s *closable) SendMsg(m any) error {
	select {
	case <-s.closer.done:
		return s.closer.reason
	default:
		return s.ServerStream.SendMsg(m)
	}
}
