package xds

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/umagate/umagate/controlplane/secret"
)

// What an Envoy whose stream is ended is told.
var (
	errNoGroup   = status.Error(codes.PermissionDenied, "umagate: no group in umagate.yaml has this Envoy; look at its match, and at umagate status")
	errNoDelta   = status.Error(codes.Unimplemented, "umagate: listeners and routes are given in an order that api_type: DELTA_GRPC cannot keep: write api_type: GRPC")
	errInternal  = status.Error(codes.Internal, "umagate: a fault of umagate, see its log: connect again")
	errNoFetch   = status.Error(codes.Unimplemented, "umagate: subscribe by a stream")
	errMoved     = status.Error(codes.Unavailable, "umagate: this Envoy is of another group now: connect again")
	errExpired   = status.Error(codes.Unauthenticated, "umagate: the client certificate has expired: connect again with a new one")
	errUntrusted = status.Error(codes.Unauthenticated, "umagate: client_ca does not trust the client certificate any more: connect again with another")
)

// maxAlarms bounds the refusals that are remembered as logged.
const maxAlarms = 1_000

// fleet puts each Envoy into its group and records what it has. Its callbacks run
// on the streams' goroutines.
type fleet struct {
	logger *slog.Logger
	cache  cache.SnapshotCache // by member
	// hidden lists the secrets last pushed: Envoy's words may quote one.
	hidden atomic.Pointer[[]string]
	mu     sync.Mutex
	groups []Group           // nil before the first push
	given  map[string]*given // by group
	// trusts judges connections from before; nil as long as nothing has changed since they
	// were made.
	trusts   Trust
	registry registry
	streams  map[streamKey]*stream
	// news is closed when an Envoy answers or leaves; nil while nobody listens.
	news     chan struct{}
	alarmed  map[alarm]bool
	refusals map[refusal]uint64
	// good is what came into force last in an Envoy of a group. goodNews is closed when
	// that, or what is given, has changed. agents counts their streams.
	good     map[string]*given
	goodNews chan struct{}
	agents   int64
}

type streamKey struct {
	id           int64
	delta, agent bool
}

type stream struct {
	delta  bool
	agent  bool // its other side is an agent beside the Envoy
	since  time.Time
	closer *closer
	sans   []string
	peer   Peer
	group  string
	member *member // nil before the first request
	moved  bool    // the Envoy is of another group now, and has to connect again
	sent   map[string]sent
}

// sent is how far one stream is with one type that it subscribes to.
type sent struct {
	version, nonce string // of the last response
	// open: it is not answered yet.
	open bool
	// has is the version in force, as Envoy says, and in what it is, where that was given
	// on this stream.
	has string
	in  *content
}

type refusal struct {
	group string
	kind  Type
}

type alarm struct {
	refusal

	version string
}

func newFleet(logger *slog.Logger, now func() time.Time) *fleet {
	return &fleet{
		logger: logger,
		// Not the cache's ADS mode: it withholds all secrets of an Envoy as long as
		// one that it subscribed to is missing.
		cache:    cache.NewSnapshotCache(false, byMember{}, nil),
		registry: registry{logger: logger, now: now, byNode: map[string][]*member{}, away: map[string]*Rejected{}},
		streams:  map[streamKey]*stream{}, alarmed: map[alarm]bool{}, refusals: map[refusal]uint64{},
		good: map[string]*given{}, goodNews: make(chan struct{}),
	}
}

func (f *fleet) callbacks() server.Callbacks {
	return server.CallbackFuncs{
		StreamOpenFunc: func(ctx context.Context, id int64, _ string) error { f.open(ctx, streamKey{id: id}); return nil },
		DeltaStreamOpenFunc: func(ctx context.Context, id int64, _ string) error {
			f.open(ctx, streamKey{id: id, delta: true})
			return nil
		},
		// The calls that fetch once have no stream to be judged by.
		FetchRequestFunc:      func(context.Context, *discovery.DiscoveryRequest) error { return errNoFetch },
		StreamClosedFunc:      func(id int64, _ *corev3.Node) { f.closed(streamKey{id: id}) },
		DeltaStreamClosedFunc: func(id int64, _ *corev3.Node) { f.closed(streamKey{id: id, delta: true}) },
		StreamRequestFunc: func(id int64, req *discovery.DiscoveryRequest) error {
			refused, member, err := f.request(streamKey{id: id}, req.GetNode(), answer{
				typeURL: req.GetTypeUrl(), version: req.GetVersionInfo(), nonce: req.GetResponseNonce(),
				refused: req.GetErrorDetail() != nil, errorMessage: req.GetErrorDetail().GetMessage(),
			})
			req.Node = &corev3.Node{Id: member}
			if refused != "" {
				// The cache compares this with its own version and would send the refused
				// one again, at once and for ever.
				req.VersionInfo = refused
			}
			return err
		},
		StreamResponseFunc: func(_ context.Context, id int64, _ *discovery.DiscoveryRequest, resp *discovery.DiscoveryResponse) {
			f.response(streamKey{id: id}, resp.GetTypeUrl(), resp.GetVersionInfo(), resp.GetNonce())
		},
		StreamDeltaRequestFunc: func(id int64, req *discovery.DeltaDiscoveryRequest) error {
			_, member, err := f.request(streamKey{id: id, delta: true}, req.GetNode(), answer{
				typeURL: req.GetTypeUrl(), nonce: req.GetResponseNonce(),
				refused: req.GetErrorDetail() != nil, errorMessage: req.GetErrorDetail().GetMessage(),
			})
			req.Node = &corev3.Node{Id: member}
			return err
		},
		StreamDeltaResponseFunc: func(id int64, _ *discovery.DeltaDiscoveryRequest, resp *discovery.DeltaDiscoveryResponse) {
			f.response(streamKey{id: id, delta: true}, resp.GetTypeUrl(), resp.GetSystemVersionInfo(), resp.GetNonce())
		},
	}
}

func (f *fleet) open(ctx context.Context, key streamKey) {
	s := &stream{delta: key.delta, agent: key.agent, since: f.registry.now(), closer: closerOf(ctx), sent: map[string]sent{}}
	if s.closer.state != nil {
		s.sans = namesOf(*s.closer.state)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[key] = s
	if f.trusts != nil && !f.trusts(s.closer.state) {
		s.closer.distrust(errUntrusted)
	}
}

func (f *fleet) closed(key streamKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	delete(f.streams, key)
	if s == nil || s.member == nil {
		return
	}
	if m := s.member; f.registry.leave(m, s) {
		f.cache.ClearSnapshot(m.key)
	} else {
		f.advance(m)
	}
	f.tell()
}

// choose returns the name of the first group that has the Envoy.
func (f *fleet) choose(p Peer) (string, bool) {
	if f.groups == nil {
		return Default, true // nothing is given out yet
	}
	for i := range f.groups {
		if g := &f.groups[i]; g.Has == nil || g.Has(p) {
			return g.Name, true
		}
	}
	return "", false
}

// push puts groups and what they are given in force. Envoys that are of another
// group now connect again.
func (f *fleet) push(groups []Group, next map[string]*given, hidden []string) {
	f.hidden.Store(&hidden)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groups, f.given = groups, next
	for _, s := range f.streams {
		if s.member == nil {
			continue
		}
		if name, ok := f.choose(s.peer); !ok || name != s.group {
			s.moved = true
			s.closer.close(errMoved)
		}
	}
	for name := range f.good {
		if next[name] == nil {
			delete(f.good, name)
		}
	}
	for _, s := range f.streams {
		if s.member != nil && !s.moved {
			f.advance(s.member)
			f.judgeGood(s.member)
		}
	}
	f.tellAgents()
}

// advance offers an Envoy what it may have now.
func (f *fleet) advance(m *member) {
	g := f.given[m.Group]
	if g == nil || m.agent || !slices.ContainsFunc(m.streams, func(s *stream) bool { return !s.moved }) {
		return
	}
	for {
		next, err := g.step(m)
		if err == nil && next == m.offered {
			return
		}
		if err == nil {
			m.offered = next
			err = f.cache.SetSnapshot(context.Background(), m.key, g.snapshot(next))
		}
		if err != nil {
			// Only what cannot be encoded fails; contents has encoded all of it.
			f.logger.Error("nothing new is given to an envoy", slog.String("node_id", m.NodeID), slog.Any("error", err))
			return
		}
	}
}

// distrust ends the streams of connections that would not be let in any more.
func (f *fleet) distrust(trusts Trust) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trusts = trusts
	for _, s := range f.streams {
		if !trusts(s.closer.state) {
			s.closer.distrust(errUntrusted)
		}
	}
}

// answer is a request as Envoy's answer to the response before.
type answer struct {
	typeURL, version, nonce string
	refused                 bool
	errorMessage            string
}

// request records it, and returns the version that it refuses, if it does, and the
// member's key. What a stream's first request says of its node counts for the whole
// stream.
func (f *fleet) request(key streamKey, node *corev3.Node, a answer) (refused, member string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	if s == nil {
		return "", "", errors.New("umagate: a request on a stream that was not opened")
	}
	if s.member == nil {
		s.peer = peerOf(node, s.sans)
		var ok bool
		if s.group, ok = f.choose(s.peer); !ok {
			f.registry.reject(node, s)
			return "", "", errNoGroup
		}
		s.member = f.registry.join(node, s)
		if c := s.closer.connection; c != nil && !s.agent {
			c.member = s.member
			if s.member.connection != c {
				s.member.connection, s.member.reports = c, reports{}
			}
		}
	}
	kind, ok := typeOf(a.typeURL)
	if !ok || s.agent != (kind == LastGood) {
		return "", s.member.key, nil
	}
	if s.delta && (kind == LDS || kind == RDS) {
		return "", "", errNoDelta
	}
	refused = f.judge(s, kind, a)
	f.advance(s.member)
	f.judgeGood(s.member)
	return refused, s.member.key, nil
}

// judge records what an Envoy answers, and returns the version that it refuses.
func (f *fleet) judge(s *stream, kind Type, a answer) (refused string) {
	state := s.member.Types[kind]
	last := s.sent[a.typeURL]
	switch {
	case a.nonce == "":
		// The first of its type on this stream: what Envoy has from before.
		if a.version != "" {
			state.Acknowledged = clip(a.version)
		}
		last.has = a.version
	case a.nonce != last.nonce:
		return "" // answers a response that has been overtaken
	case a.refused:
		refused, last.open = last.version, false
		state.Refused, state.RefusedAt, state.ErrorMessage = last.version, f.registry.now(), f.redact(a.errorMessage)
		f.alarm(s, kind, state)
	case state.Refused == last.version && state.Acknowledged != last.version:
		// Envoy asks for other names of the same type after a refusal: no acceptance.
		refused = last.version
	default:
		if state.Acknowledged != last.version {
			state.AckedAt = f.registry.now()
			f.logger.Debug("envoy accepted a configuration",
				slog.String("node_id", s.member.NodeID), slog.String("type", string(kind)), slog.String("version", last.version))
		}
		state.Acknowledged = last.version
		state.Refused, state.ErrorMessage, state.RefusedAt = "", "", time.Time{}
		last.has, last.open, last.in = last.version, false, nil
		if s.agent {
			break
		}
		if c := *s.member.offered.of(kind); c != nil && c.Version == last.version {
			last.in = c
		}
	}
	s.sent[a.typeURL], s.member.Types[kind] = last, state
	f.tell()
	return refused
}

// alarm counts a refusal, and tells of it once for each version and group: a
// thousand Envoys refuse alike.
func (f *fleet) alarm(s *stream, kind Type, state State) {
	r := refusal{group: s.group, kind: kind}
	f.refusals[r]++
	log, key := f.logger.Error, alarm{refusal: r, version: state.Refused}
	if f.alarmed[key] {
		log = f.logger.Debug
	}
	if len(f.alarmed) >= maxAlarms {
		clear(f.alarmed)
	}
	f.alarmed[key] = true
	log("envoy refused a configuration, and keeps the one before",
		slog.String("node_id", s.member.NodeID), slog.String("group", s.group), slog.String("type", string(kind)),
		slog.String("version", state.Refused), slog.String("words", state.ErrorMessage))
}

func (f *fleet) response(key streamKey, typeURL, version, nonce string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	if s == nil || s.member == nil {
		return
	}
	last := s.sent[typeURL]
	last.version, last.nonce, last.open = version, nonce, true
	s.sent[typeURL] = last
	if kind, ok := typeOf(typeURL); ok {
		state := s.member.Types[kind]
		state.Sent, state.SentAt = version, f.registry.now()
		if state.Refused != version {
			// What was refused is not what is at stake any more.
			state.Refused, state.ErrorMessage, state.RefusedAt = "", "", time.Time{}
		}
		s.member.Types[kind] = state
	}
}

func (f *fleet) counted() []Refusals {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Refusals, 0, len(f.refusals))
	for r, n := range f.refusals {
		out = append(out, Refusals{Group: r.group, Type: r.kind, Count: n})
	}
	slices.SortFunc(out, func(a, b Refusals) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Type, b.Type)) })
	return out
}

func (f *fleet) redact(s string) string {
	if hidden := f.hidden.Load(); hidden != nil {
		for _, value := range *hidden {
			s = strings.ReplaceAll(s, value, secret.Redacted)
		}
	}
	return clip(s)
}
