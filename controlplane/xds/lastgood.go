package xds

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// LastGood is what an agent subscribes to: all that its Envoy's group was given, in one
// piece, as far as it is good; see [fleet.good].
const LastGood Type = "last_good"

const (
	lastGoodURL    = "type.googleapis.com/umagate.xds.v1.LastGood"
	lastGoodStream = "StreamLastGood"
	// unattended is how long a group without an Envoy here is waited for to have one that
	// acknowledges: where replicas share the Envoys, an agent may be with another one.
	unattended = 15 * time.Second
	// lookAgain is how often it is looked whether that is over.
	lookAgain = time.Second
	// maxLastGood bounds what an agent takes in one piece, in bytes.
	maxLastGood = 256 << 20
)

// ErrNotOfAGroup says that the control plane has no group for this Envoy: it is to have
// nothing.
var ErrNotOfAGroup = errors.New("no group of the control plane has this Envoy")

// lastGoodService stands beside the services of xDS and speaks their messages. Those
// give one type after the other, in steps; who starts an Envoy needs what belongs
// together.
func lastGoodService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "umagate.xds.v1.LastGoodService", HandlerType: (*lastGoodHandler)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: lastGoodStream, ServerStreams: true, ClientStreams: true,
			Handler: func(server any, stream grpc.ServerStream) error {
				return server.(lastGoodHandler).streamLastGood(stream) //nolint:forcetypeassert,errcheck // grpc has checked it
			},
		}},
	}
}

type lastGoodHandler interface {
	streamLastGood(stream grpc.ServerStream) error
}

// streamLastGood gives one agent what is good for its group, until either side ends it.
func (f *fleet) streamLastGood(stream grpc.ServerStream) error {
	ctx := stream.Context()
	key := f.openAgent(ctx)
	defer f.closed(key)
	requests := make(chan *discovery.DiscoveryRequest)
	go func() {
		defer close(requests)
		for {
			req := &discovery.DiscoveryRequest{}
			if stream.RecvMsg(req) != nil {
				return
			}
			select {
			case requests <- req:
			case <-ctx.Done():
				return
			}
		}
	}()
	again := time.NewTimer(0)
	defer again.Stop()
	for n := 1; ; {
		resp, news, err := f.nextGood(key)
		if err != nil {
			return err
		}
		if resp != nil {
			resp.Nonce = fmt.Sprint(n)
			n++
			f.response(key, lastGoodURL, resp.GetVersionInfo(), resp.GetNonce())
			if err := stream.SendMsg(resp); err != nil {
				return err
			}
			continue
		}
		again.Reset(lookAgain)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case req, ok := <-requests:
			if !ok {
				return nil
			}
			_, _, err := f.request(key, req.GetNode(), answer{
				typeURL: lastGoodURL, version: req.GetVersionInfo(), nonce: req.GetResponseNonce(),
				refused: req.GetErrorDetail() != nil, errorMessage: req.GetErrorDetail().GetMessage(),
			})
			if err != nil {
				return err
			}
		case <-news:
		case <-again.C:
		}
	}
}

func (f *fleet) openAgent(ctx context.Context) streamKey {
	f.mu.Lock()
	f.agents++
	key := streamKey{id: f.agents, agent: true}
	f.mu.Unlock()
	f.open(ctx, key)
	return key
}

// nextGood returns what an agent is to be sent now, if it is anything, and else a
// channel that is closed when that may have changed. What a group has not got yet is sent
// as such once: the agent hears by it which group it is of.
func (f *fleet) nextGood(key streamKey) (*discovery.DiscoveryResponse, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	if s == nil || s.member == nil || s.moved || f.given == nil {
		return nil, f.goodNews, nil
	}
	last, g := s.sent[lastGoodURL], f.goodFor(s)
	if last.open || last.nonce != "" && last.version == g.lastGoodVersion() {
		return nil, f.goodNews, nil
	}
	resp, err := g.lastGood()
	if err != nil {
		f.logger.Error("nothing new is given to an agent", slog.String("node_id", s.member.NodeID), slog.Any("error", err))
		return nil, f.goodNews, err
	}
	resp.ControlPlane = &corev3.ControlPlane{Identifier: s.group}
	return resp, f.goodNews, nil
}

// goodFor returns what an agent may have: what an Envoy of the group has in force, or,
// while the group has had none here for a while, what it was given. nil is nothing yet.
func (f *fleet) goodFor(s *stream) *given {
	now := f.registry.now()
	good, current := f.good[s.group], f.given[s.group]
	switch {
	case good == current || current == nil:
	case now.Sub(s.since) < unattended || now.Sub(current.since) < unattended:
	case !f.registry.attended(s.group):
		f.good[s.group] = current
		return current
	}
	return good
}

// judgeGood notes what has come into force in an Envoy of a group.
func (f *fleet) judgeGood(m *member) {
	g := f.given[m.Group]
	if m.agent || g == nil || f.good[m.Group] == g || !m.took(g) {
		return
	}
	f.good[m.Group] = g
	f.tellAgents()
}

// tellAgents wakes the streams of agents.
func (f *fleet) tellAgents() {
	close(f.goodNews)
	f.goodNews = make(chan struct{})
}

// took reports whether the Envoy has everything of a group in force that it needs.
func (m *member) took(g *given) bool {
	needed := []Type{ECDS}
	if m.Bootstrap != "" {
		needed = []Type{CDS, ECDS, LDS, RDS} // one that was rendered asks for them in turn
	}
	for _, kind := range needed {
		if !m.subscribes(kind) {
			return false
		}
	}
	for _, kind := range Types() {
		if m.subscribes(kind) && !m.has(kind, *g.of(kind)) {
			return false
		}
	}
	return true
}

// lastGoodVersion is that of all that was given; empty for nothing.
func (g *given) lastGoodVersion() string {
	if g == nil {
		return ""
	}
	h := sha256.New()
	for _, kind := range Types() {
		writePart(h, []byte((*g.of(kind)).Version))
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// lastGood is all that was given, in one message.
func (g *given) lastGood() (*discovery.DiscoveryResponse, error) {
	out := &discovery.DiscoveryResponse{TypeUrl: lastGoodURL, VersionInfo: g.lastGoodVersion()}
	if g == nil {
		return out, nil
	}
	var err error
	out.Resources, err = g.resources.pack()
	return out, err
}

// pack makes one list of all that there is.
func (r Resources) pack() ([]*anypb.Any, error) {
	var all []proto.Message
	if r.Filter != nil {
		all = append(all, r.Filter)
	}
	if r.Listener != nil {
		all = append(all, r.Listener)
	}
	if r.Routes != nil {
		all = append(all, r.Routes)
	}
	for _, c := range r.Clusters {
		all = append(all, c)
	}
	for _, s := range r.Secrets {
		all = append(all, s)
	}
	out := make([]*anypb.Any, 0, len(all))
	for _, m := range all {
		packed, err := anypb.New(m)
		if err != nil {
			return nil, fmt.Errorf("xds: encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
		}
		out = append(out, packed)
	}
	return out, nil
}

// Unpack reads what [Watch] received, and refuses what it does not know.
func Unpack(list []*anypb.Any) (Resources, error) {
	var out Resources
	for _, packed := range list {
		m, err := packed.UnmarshalNew()
		if err != nil {
			return Resources{}, fmt.Errorf("xds: decode %s: %w", packed.GetTypeUrl(), err)
		}
		switch m := m.(type) {
		case *corev3.TypedExtensionConfig:
			out.Filter = m
		case *listenerv3.Listener:
			out.Listener = m
		case *routev3.RouteConfiguration:
			out.Routes = m
		case *clusterv3.Cluster:
			out.Clusters = append(out.Clusters, m)
		case *tlsv3.Secret:
			out.Secrets = append(out.Secrets, m)
		default:
			return Resources{}, fmt.Errorf("xds: %s is nothing that an Envoy is given", packed.GetTypeUrl())
		}
	}
	return out, nil
}

// Kept is all that an Envoy's group was given, in one piece.
type Kept struct {
	// Group is the one that the control plane has put the Envoy into.
	Group string
	// Version is empty where nothing is good yet; then there are no Resources.
	Version   string
	Resources []*anypb.Any
}

// Watch subscribes to what is good for the Envoy of that node, and calls keep with all
// that comes, until ctx or the stream ends. An error of keep is told to the control
// plane, and no end.
func Watch(ctx context.Context, conn grpc.ClientConnInterface, node *corev3.Node, keep func(Kept) error) error {
	service := lastGoodService()
	stream, err := conn.NewStream(ctx, &service.Streams[0], "/"+service.ServiceName+"/"+lastGoodStream, grpc.MaxCallRecvMsgSize(maxLastGood))
	if err != nil {
		return watchError(err)
	}
	req, accepted := &discovery.DiscoveryRequest{Node: node, TypeUrl: lastGoodURL}, ""
	for {
		if err := stream.SendMsg(req); err != nil {
			// Why is what the stream says when it is read.
			return watchError(errors.Join(stream.RecvMsg(&discovery.DiscoveryResponse{}), err))
		}
		resp := &discovery.DiscoveryResponse{}
		if err := stream.RecvMsg(resp); err != nil {
			return watchError(err)
		}
		req = &discovery.DiscoveryRequest{TypeUrl: lastGoodURL, ResponseNonce: resp.GetNonce()}
		err := keep(Kept{Group: resp.GetControlPlane().GetIdentifier(), Version: resp.GetVersionInfo(), Resources: resp.GetResources()})
		if err != nil {
			req.ErrorDetail = status.New(codes.Internal, err.Error()).Proto()
		} else {
			accepted = resp.GetVersionInfo()
		}
		req.VersionInfo = accepted
	}
}

// watchError tells what the control plane says of the Envoy from a connection that broke.
func watchError(err error) error {
	if status.Code(err) == codes.PermissionDenied {
		return fmt.Errorf("%w: %w", ErrNotOfAGroup, err)
	}
	return err
}
