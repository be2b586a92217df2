package xds

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime/debug"
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

	logger   *slog.Logger
	handlers sync.WaitGroup // of the streams

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

	// member is the Envoy at the other end, once it has said who it is. The fleet's lock
	// guards it.
	member *member
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
	// close ends the stream. The first reason is the one that the Envoy is told.
	close context.CancelCauseFunc
}

type closerKey struct{}

// closerOf returns the closer of a stream that intercept has seen.
func closerOf(ctx context.Context) *closer {
	if t, ok := ctx.Value(closerKey{}).(*closer); ok {
		return t
	}
	return &closer{close: func(error) {}}
}

// distrust ends the stream and its connection.
func (t *closer) distrust(reason error) {
	t.connection.drain()
	t.close(reason)
}

// handle runs a stream. One that panics ends, and its Envoy connects again.
func (l *connections) handle(stream func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			l.logger.Error("panic on a stream of an envoy", slog.Any("error", r), slog.String("stack", string(debug.Stack())))
			err = errInternal
		}
	}()
	return stream()
}

// intercept gives each stream a closer. A stream does not outlive its certificate.
func (l *connections) intercept(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	t := &closer{close: cancel}
	if p, ok := peer.FromContext(ctx); ok {
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
	ended := make(chan error, 1)
	l.handlers.Go(func() {
		ended <- l.handle(func() error {
			return next(server, &closable{ServerStream: stream, ctx: context.WithValue(ctx, closerKey{}, t)})
		})
	})
	// A handler waits for the Envoy's next request, and only the end of the stream ends
	// that: grpc ends it when intercept returns.
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	if reason := context.Cause(ctx); reason != nil {
		return reason
	}
	return err
}

// closable is a stream that nothing passes once its closer has closed it.
type closable struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // grpc has a stream's context there
}

// Context implements [grpc.ServerStream].
func (s *closable) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream].
func (s *closable) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return context.Cause(s.ctx)
}

// SendMsg implements [grpc.ServerStream]. What was made after the stream was closed
// is not for this Envoy.
func (s *closable) SendMsg(m any) error {
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}
