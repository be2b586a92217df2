package xds

import (
	"crypto/tls"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Group is a part of the fleet, and what its Envoys are given.
type Group struct {
	// Name is for status and logs; unique in one push.
	Name string
	// Has reports whether an Envoy is one of this group; nil for every Envoy. It is
	// called on the streams' goroutines.
	Has func(Peer) bool
	// Resources are what the group's Envoys get.
	Resources Resources
}

// Default is the name of the group that [Server.Push] makes.
const Default = "default"

// Peer is an Envoy as its group is chosen by.
type Peer struct {
	// ID and Cluster are node.id and node.cluster, as the Envoy says them.
	ID, Cluster string
	// Metadata are the texts at the top of node.metadata, as the Envoy says them.
	Metadata map[string]string
	// SANs are the URIs and DNS names of its client certificate, which was verified;
	// nil without one.
	SANs []string
}

func peerOf(node *corev3.Node, sans []string) Peer {
	p := Peer{ID: node.GetId(), Cluster: node.GetCluster(), Metadata: map[string]string{}, SANs: sans}
	for key, value := range node.GetMetadata().GetFields() {
		if text, ok := value.GetKind().(*structpb.Value_StringValue); ok {
			p.Metadata[key] = text.StringValue
		}
	}
	return p
}

// namesOf lists the names in a verified client certificate. Other kinds of names,
// and the common name, are left out: they could be taken for these.
func namesOf(state tls.ConnectionState) []string {
	if len(state.VerifiedChains) == 0 {
		return nil
	}
	leaf := state.VerifiedChains[0][0]
	out := slices.Clone(leaf.DNSNames)
	for _, u := range leaf.URIs {
		out = append(out, u.String())
	}
	return out
}

// byMember keys the cache by what callbacks wrote into a request's node.
type byMember struct{}

// ID implements [cache.NodeHash].
func (byMember) ID(node *corev3.Node) string { return node.GetId() }
