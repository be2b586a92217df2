package xds

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc/peer"

	"github.com/umagate/umagate/controlplane/secret"
)

const (
	// remembered is how long an Envoy that has gone is still told of.
	remembered = time.Hour
	// maxEnvoys bounds how many are told of.
	maxEnvoys = 10_000
	// maxWords bounds what is kept of anything that an Envoy says, in bytes.
	maxWords = 2_000
)

// Envoy is what is known of one Envoy, by its node id. Several that share a node
// id read as one.
type Envoy struct {
	NodeID  string `json:"node_id"`
	Cluster string `json:"cluster,omitempty"`
	// Version is what Envoy says of itself, such as "1.40.0".
	Version string `json:"envoy_version,omitempty"`
	Address string `json:"address,omitempty"`
	// Connected: it has at least one stream; ConnectedSince is when the first of
	// them began. DisconnectedAt is when the last one ended.
	Connected      bool           `json:"connected"`
	ConnectedSince time.Time      `json:"connected_since,omitzero"`
	DisconnectedAt time.Time      `json:"disconnected_at,omitzero"`
	Types          map[Type]State `json:"types"`
}

// State is how far an Envoy has come with one type.
type State struct {
	// Sent is the version last sent, Acknowledged the one it accepted last.
	Sent         string    `json:"sent,omitempty"`
	Acknowledged string    `json:"acknowledged,omitempty"`
	AckedAt      time.Time `json:"acknowledged_at,omitzero"`
	// Refused is a version it did not accept, with its words; empty when it has
	// accepted or was sent another since.
	Refused   string    `json:"refused,omitempty"`
	Words     string    `json:"words,omitempty"`
	RefusedAt time.Time `json:"refused_at,omitzero"`
}

// fleet records what each Envoy has. Its callbacks run on the streams'
// goroutines.
type fleet struct {
	logger *slog.Logger
	now    func() time.Time
	// hidden lists the secrets last pushed: Envoy's words may quote one.
	hidden atomic.Pointer[[]string]

	mu      sync.Mutex
	byNode  map[string]*member
	streams map[streamKey]*stream
}

type streamKey struct {
	id    int64
	delta bool
}

type stream struct {
	address string
	member  *member // nil before the first request
	sent    map[string]sent
}

// sent is the last response of one type on one stream.
type sent struct{ version, nonce string }

type member struct {
	Envoy
	streams int
}

func newFleet(logger *slog.Logger, now func() time.Time) *fleet {
	return &fleet{logger: logger, now: now, byNode: map[string]*member{}, streams: map[streamKey]*stream{}}
}

func (f *fleet) callbacks() server.Callbacks {
	return server.CallbackFuncs{
		StreamOpenFunc: func(ctx context.Context, id int64, _ string) error { f.open(ctx, streamKey{id: id}); return nil },
		DeltaStreamOpenFunc: func(ctx context.Context, id int64, _ string) error {
			f.open(ctx, streamKey{id: id, delta: true})
			return nil
		},
		StreamClosedFunc:      func(id int64, _ *corev3.Node) { f.closed(streamKey{id: id}) },
		DeltaStreamClosedFunc: func(id int64, _ *corev3.Node) { f.closed(streamKey{id: id, delta: true}) },
		StreamRequestFunc: func(id int64, req *discovery.DiscoveryRequest) error {
			refused := f.request(streamKey{id: id}, req.GetNode(), answer{
				typeURL: req.GetTypeUrl(), version: req.GetVersionInfo(), nonce: req.GetResponseNonce(),
				refused: req.GetErrorDetail() != nil, words: req.GetErrorDetail().GetMessage(),
			})
			if refused != "" {
				// The cache compares this with its own version and would send the refused
				// one again, at once and for ever.
				req.VersionInfo = refused
			}
			return nil
		},
		StreamResponseFunc: func(_ context.Context, id int64, _ *discovery.DiscoveryRequest, resp *discovery.DiscoveryResponse) {
			f.response(streamKey{id: id}, resp.GetTypeUrl(), resp.GetVersionInfo(), resp.GetNonce())
		},
		StreamDeltaRequestFunc: func(id int64, req *discovery.DeltaDiscoveryRequest) error {
			f.request(streamKey{id: id, delta: true}, req.GetNode(), answer{
				typeURL: req.GetTypeUrl(), nonce: req.GetResponseNonce(),
				refused: req.GetErrorDetail() != nil, words: req.GetErrorDetail().GetMessage(),
			})
			return nil
		},
		StreamDeltaResponseFunc: func(id int64, _ *discovery.DeltaDiscoveryRequest, resp *discovery.DeltaDiscoveryResponse) {
			f.response(streamKey{id: id, delta: true}, resp.GetTypeUrl(), resp.GetSystemVersionInfo(), resp.GetNonce())
		},
	}
}

func (f *fleet) open(ctx context.Context, key streamKey) {
	s := &stream{sent: map[string]sent{}}
	if p, ok := peer.FromContext(ctx); ok {
		s.address = p.Addr.String()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[key] = s
}

func (f *fleet) closed(key streamKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	delete(f.streams, key)
	if s == nil || s.member == nil {
		return
	}
	m := s.member
	if m.streams--; m.streams == 0 {
		m.Connected, m.DisconnectedAt = false, f.now()
		f.logger.Info("envoy disconnected", slog.String("node_id", m.NodeID))
	}
}

// answer is a request as Envoy's answer to the response before.
type answer struct {
	typeURL, version, nonce string
	refused                 bool
	words                   string
}

// request records it, and gives the version that it refuses, if it does.
func (f *fleet) request(key streamKey, node *corev3.Node, a answer) (refused string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	if s == nil {
		return ""
	}
	if s.member == nil {
		s.member = f.join(node, s.address)
	}
	kind, ok := typeOf(a.typeURL)
	if !ok {
		return ""
	}
	m := s.member
	state := m.Types[kind]
	last := s.sent[a.typeURL]
	switch {
	case a.nonce == "":
		// The first of its type on this stream: what Envoy has from before.
		if a.version != "" {
			state.Acknowledged = printable(a.version)
		}
	case a.nonce != last.nonce:
		return "" // answers a response that has been overtaken
	case a.refused:
		refused = last.version
		state.Refused, state.RefusedAt, state.Words = last.version, f.now(), f.words(a.words)
		f.logger.Error("envoy refused a configuration",
			slog.String("node_id", m.NodeID), slog.String("type", string(kind)),
			slog.String("version", last.version), slog.String("words", state.Words))
	case state.Refused == last.version && state.Acknowledged != last.version:
		// Envoy asks for other names of the same type after a refusal: no acceptance.
		refused = last.version
	default:
		if state.Acknowledged != last.version {
			state.AckedAt = f.now()
			f.logger.Info("envoy accepted a configuration",
				slog.String("node_id", m.NodeID), slog.String("type", string(kind)), slog.String("version", last.version))
		}
		state.Acknowledged = last.version
		state.Refused, state.Words, state.RefusedAt = "", "", time.Time{}
	}
	m.Types[kind] = state
	return refused
}

func (f *fleet) response(key streamKey, typeURL, version, nonce string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	if s == nil || s.member == nil {
		return
	}
	s.sent[typeURL] = sent{version: version, nonce: nonce}
	if kind, ok := typeOf(typeURL); ok {
		state := s.member.Types[kind]
		state.Sent = version
		if state.Refused != version {
			// What was refused is not what is at stake any more.
			state.Refused, state.Words, state.RefusedAt = "", "", time.Time{}
		}
		s.member.Types[kind] = state
	}
}

// join gives the member of a node, whose stream has just said who it is.
func (f *fleet) join(node *corev3.Node, address string) *member {
	id := cmp.Or(printable(node.GetId()), "(no node.id)")
	m := f.byNode[id]
	if m == nil {
		f.forget()
		m = &member{Envoy: Envoy{NodeID: id, Types: map[Type]State{}}}
		f.byNode[id] = m
	}
	m.Cluster, m.Address, m.Version = printable(node.GetCluster()), address, envoyVersion(node)
	if m.streams++; m.streams == 1 {
		m.Connected, m.ConnectedSince, m.DisconnectedAt = true, f.now(), time.Time{}
		f.logger.Info("envoy connected", slog.String("node_id", id), slog.String("address", address))
	}
	return m
}

// forget drops Envoys that left long ago, and the longest gone when there are too
// many.
func (f *fleet) forget() {
	var oldest *member
	for id, m := range f.byNode {
		if m.Connected {
			continue
		}
		if f.now().Sub(m.DisconnectedAt) > remembered {
			delete(f.byNode, id)
			continue
		}
		if oldest == nil || m.DisconnectedAt.Before(oldest.DisconnectedAt) {
			oldest = m
		}
	}
	if len(f.byNode) >= maxEnvoys && oldest != nil {
		delete(f.byNode, oldest.NodeID)
	}
}

func (f *fleet) envoys() []Envoy {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget()
	out := make([]Envoy, 0, len(f.byNode))
	for _, m := range f.byNode {
		e := m.Envoy
		e.Types = maps.Clone(m.Types)
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Envoy) int { return cmp.Compare(a.NodeID, b.NodeID) })
	return out
}

func envoyVersion(node *corev3.Node) string {
	v := node.GetUserAgentBuildVersion().GetVersion()
	if v == nil {
		return printable(node.GetUserAgentVersion())
	}
	return fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
}

func (f *fleet) words(s string) string {
	if hidden := f.hidden.Load(); hidden != nil {
		for _, value := range *hidden {
			s = strings.ReplaceAll(s, value, secret.Redacted)
		}
	}
	return printable(s)
}

// printable makes one line of at most maxWords bytes of what a peer said.
func printable(s string) string {
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
