package xds

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extensionservice "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// everyone is the one group of Envoys there is: all get the same.
const everyone = "all"

// group puts an Envoy into its group, by its node.
type group struct{}

func (group) ID(*corev3.Node) string { return everyone }

// Server is the xDS server. It is safe for concurrent use.
type Server struct {
	cache cache.SnapshotCache
	fleet *fleet
	key   []byte

	mu       sync.Mutex
	current  map[Type]content
	previous Resources
}

// New makes a server that has nothing to give yet. It does no I/O. now is the
// clock; time.Now when nil.
func New(logger *slog.Logger, now func() time.Time) (*Server, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("xds: key: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	return &Server{
		// Not the cache's ADS mode: it withholds all secrets of an Envoy as long as
		// one that it subscribed to is missing.
		cache: cache.NewSnapshotCache(false, group{}, nil),
		fleet: newFleet(logger, now),
		key:   key,
	}, nil
}

// Push gives r to every Envoy that is or will be connected, and the versions of
// its parts. The same content again is not sent again.
func (s *Server) Push(ctx context.Context, r Resources) (map[Type]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := r.contents(s.key)
	if err != nil {
		return nil, err
	}
	steps, err := stages(s.current, next, r, s.previous, s.key)
	if err != nil {
		return nil, err
	}
	s.fleet.hidden.Store(r.hidden())
	for _, step := range steps {
		if err := s.cache.SetSnapshot(ctx, everyone, snapshot(step)); err != nil {
			return nil, fmt.Errorf("xds: push: %w", err)
		}
	}
	s.current, s.previous = next, r
	return s.versions(), nil
}

// Versions gives the versions last pushed; empty before the first push.
func (s *Server) Versions() map[Type]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions()
}

func (s *Server) versions() map[Type]string {
	out := map[Type]string{}
	for kind, c := range s.current {
		out[kind] = c.version
	}
	return out
}

// Envoys tells of every Envoy that is connected, or was within the last hour,
// by node id.
func (s *Server) Envoys() []Envoy { return s.fleet.envoys() }

// Serve answers on listener until ctx ends, and returns when every stream has
// ended. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener, options ...grpc.ServerOption) error {
	const (
		maxStreams = 100_000
		ping       = 30 * time.Second
		pingWait   = 10 * time.Second
		minPing    = 5 * time.Second
	)
	options = append([]grpc.ServerOption{
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: ping, Timeout: pingWait}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
	}, options...)
	grpcServer := grpc.NewServer(options...)
	handlers := server.NewServer(ctx, s.cache, s.fleet.callbacks(), sotw.WithOrderedADS())
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, handlers)
	clusterservice.RegisterClusterDiscoveryServiceServer(grpcServer, handlers)
	secretservice.RegisterSecretDiscoveryServiceServer(grpcServer, handlers)
	extensionservice.RegisterExtensionConfigDiscoveryServiceServer(grpcServer, handlers)

	served := make(chan error, 1)
	go func() { served <- grpcServer.Serve(listener) }()
	select {
	case <-ctx.Done():
		// A graceful stop would wait for streams that never end by themselves.
		grpcServer.Stop()
		err := <-served
		if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("xds: serve: %w", err)
		}
		return nil
	case err := <-served:
		grpcServer.Stop()
		return fmt.Errorf("xds: serve: %w", err)
	}
}
