package xds

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extensionservice "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	metrics "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Server is the xDS server. It is safe for concurrent use.
type Server struct {
	fleet *fleet
	key   []byte

	mu      sync.Mutex
	current map[string]*given // by group
	// pushes counts them; history has the filter's versions of each group, oldest first.
	pushes  uint64
	history map[string][]numbered
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
		fleet: newFleet(logger, now),
		key:   key,
	}, nil
}

// Push gives r to every Envoy that is or will be connected, and the versions of
// its parts.
func (s *Server) Push(ctx context.Context, r Resources) (map[Type]string, error) {
	versions, err := s.PushGroups(ctx, []Group{{Name: Default, Resources: r}})
	return versions[Default], err
}

// PushGroups gives each group's resources to its Envoys that are or will be
// connected, and tells the versions of each group's parts. An Envoy is of the
// first group that has it; one that none has is turned away. Envoys that are of
// another group than before connect again, and groups that are not there any more
// are given nothing. The same content again is not sent again. With an error,
// nothing has changed. Each Envoy goes towards it in steps of its own.
func (s *Server) PushGroups(ctx context.Context, groups []Group) (map[string]map[Type]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("xds: push: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]*given{}
	hidden := []string{}
	for _, g := range groups {
		contents, err := g.Resources.contents(s.key)
		if err != nil {
			return nil, err
		}
		if before := s.current[g.Name]; before != nil {
			contents.keep(before.offer)
		}
		next[g.Name] = newGiven(contents, g.Resources, s.fleet.registry.now())
		if before := s.current[g.Name]; before != nil && before.offer == next[g.Name].offer {
			next[g.Name].since = before.since
		}
		hidden = append(hidden, g.Resources.hidden()...)
	}
	s.fleet.push(groups, next, hidden) //nolint:contextcheck // half of a push must not be given out: nothing ends it
	s.current = next
	s.remember(next)
	return s.versions(), nil
}

// Versions returns the versions last pushed to each group; empty before the first
// push.
func (s *Server) Versions() map[string]map[Type]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions()
}

func (s *Server) versions() map[string]map[Type]string {
	out := map[string]map[Type]string{}
	for name, group := range s.current {
		out[name] = group.versions()
	}
	return out
}

// Envoys tells of every Envoy that is connected, or was within the last hour,
// by node id.
func (s *Server) Envoys() []Envoy {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	return s.fleet.registry.envoys(false)
}

// Agents tells of the agents beside Envoys in the same way; their one type is [LastGood].
// Nothing waits for them.
func (s *Server) Agents() []Envoy {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	return s.fleet.registry.envoys(true)
}

// Forget drops the Envoys of a node id that are gone. It reports whether there were any,
// and whether there is one that is connected, which stays.
func (s *Server) Forget(nodeID string) (known, connected bool) {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	return s.fleet.registry.forgetNode(nodeID)
}

// Moved drops the Envoys of a node id that are gone, or the agents beside them: they are
// connected to another replica.
func (s *Server) Moved(nodeID string, agent bool) {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	s.fleet.registry.moved(nodeID, agent)
}

// Rejected lists the Envoys that no group has and that have tried within the
// last minutes.
func (s *Server) Rejected() []Rejected {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	return s.fleet.registry.rejected()
}

// Refusals counts what Envoys have refused since the server began.
func (s *Server) Refusals() []Refusals { return s.fleet.counted() }

// Trust reports whether an Envoy that has connected would be let in again. The state is
// nil for plain text.
type Trust func(*tls.ConnectionState) bool

// Distrust ends the streams of Envoys that trusts does not let in any more. It is called
// whenever other authorities are trusted than before.
func (s *Server) Distrust(trusts Trust) { s.fleet.distrust(trusts) }

// Serve answers on listener until ctx ends, and returns when every stream has
// ended. It closes the listener. encrypt is nil for plain text.
func (s *Server) Serve(ctx context.Context, listener net.Listener, encrypt *tls.Config) error {
	const (
		maxStreams = 100_000
		ping       = 30 * time.Second
		pingWait   = 10 * time.Second
		minPing    = 5 * time.Second
		readBuffer = 4 << 10
	)
	accepted := &connections{Listener: listener, logger: s.fleet.logger, open: map[string]*connection{}}
	options := []grpc.ServerOption{
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxRecvMsgSize(maxReport),
		// An Envoy says little and is told something now and then: buffers of the usual
		// size would be most of what its stream takes.
		grpc.ReadBufferSize(readBuffer),
		grpc.StreamInterceptor(accepted.intercept), grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: ping, Timeout: pingWait}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
	}
	if encrypt != nil {
		options = append(options, grpc.Creds(handshakes{credentials.NewTLS(encrypt), s.fleet}))
	}
	grpcServer := grpc.NewServer(options...)
	handlers := server.NewServer(ctx, s.fleet.cache, s.fleet.callbacks(), sotw.WithOrderedADS()) //nolint:contextcheck // nor half of a step
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, handlers)
	clusterservice.RegisterClusterDiscoveryServiceServer(grpcServer, handlers)
	secretservice.RegisterSecretDiscoveryServiceServer(grpcServer, handlers)
	extensionservice.RegisterExtensionConfigDiscoveryServiceServer(grpcServer, handlers)
	listenerservice.RegisterListenerDiscoveryServiceServer(grpcServer, handlers)
	routeservice.RegisterRouteDiscoveryServiceServer(grpcServer, handlers)
	grpcServer.RegisterService(lastGoodService(), s.fleet)
	metrics.RegisterMetricsServiceServer(grpcServer, receiver{fleet: s.fleet})

	served := make(chan error, 1)
	go func() { served <- grpcServer.Serve(accepted) }()
	defer accepted.handlers.Wait()
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
