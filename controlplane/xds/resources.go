package xds

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
)

// Resources is everything that Envoys are given. It is not changed after Push.
type Resources struct {
	// Filter is the filter with its configuration; nil before there is one.
	Filter   *corev3.TypedExtensionConfig
	Clusters []*clusterv3.Cluster
	// Secrets are never logged; their content is in Envoy's memory only.
	Secrets []*tlsv3.Secret
}

// Type names a kind of resource in status and metrics.
type Type string

// The types, as users of Envoy know them.
const (
	ECDS Type = "ecds"
	CDS  Type = "cds"
	SDS  Type = "sds"
)

// Types lists the types in the order of their names.
func Types() []Type { return []Type{CDS, ECDS, SDS} }

func typeOf(url string) (Type, bool) {
	switch url {
	case resourcev3.ExtensionConfigType:
		return ECDS, true
	case resourcev3.ClusterType:
		return CDS, true
	case resourcev3.SecretType:
		return SDS, true
	default:
		return "", false
	}
}

// hidden lists the values that no message may repeat, each also without the
// scheme before it.
func (r Resources) hidden() []string {
	var out []string
	for _, s := range r.Secrets {
		value := s.GetGenericSecret().GetSecret().GetInlineString()
		if value == "" {
			continue
		}
		out = append(out, value)
		if _, credential, ok := strings.Cut(value, " "); ok && credential != "" {
			out = append(out, credential)
		}
	}
	return out
}

// content is a version and what has it.
type content struct {
	version string
	items   []types.Resource
}

// contents makes the versions of r. key keys the version of secrets.
func (r Resources) contents(key []byte) (map[Type]content, error) {
	out := map[Type]content{}
	var filters []types.Resource
	if r.Filter != nil {
		filters = append(filters, r.Filter)
	}
	for kind, group := range map[Type]struct {
		items []types.Resource
		hash  hash.Hash
	}{
		ECDS: {filters, sha256.New()},
		CDS:  {resourcesOf(r.Clusters), sha256.New()},
		SDS:  {resourcesOf(r.Secrets), hmac.New(sha256.New, key)},
	} {
		version, err := versionOf(group.hash, group.items)
		if err != nil {
			return nil, fmt.Errorf("xds: version of %s: %w", kind, err)
		}
		out[kind] = content{version: version, items: group.items}
	}
	return out, nil
}

func resourcesOf[M types.Resource](items []M) []types.Resource {
	out := make([]types.Resource, 0, len(items))
	for _, item := range items {
		out = append(out, item)
	}
	return out
}

// versionOf hashes the items, whatever their order.
func versionOf(h hash.Hash, items []types.Resource) (string, error) {
	encoded := make(map[string][]byte, len(items))
	for _, item := range items {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(item)
		if err != nil {
			return "", err
		}
		encoded[cache.GetResourceName(item)] = data
	}
	for _, name := range slices.Sorted(maps.Keys(encoded)) {
		for _, part := range [][]byte{[]byte(name), encoded[name]} {
			// Written lengths keep two items from reading as one.
			_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
			_, _ = h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// snapshot is what the cache serves.
func snapshot(contents map[Type]content) *cache.Snapshot {
	s := &cache.Snapshot{}
	for kind, at := range map[Type]types.ResponseType{ECDS: types.ExtensionConfig, CDS: types.Cluster, SDS: types.Secret} {
		s.Resources[at] = cache.NewResources(contents[kind].version, contents[kind].items)
	}
	return s
}

// stages leads from one set of contents to the next without a moment in which
// the filter names a cluster that Envoy does not have: additions first, then the
// filter, then removals.
func stages(old, next map[Type]content, r Resources, previous Resources, key []byte) ([]map[Type]content, error) {
	if len(old) == 0 || old[ECDS].version == next[ECDS].version || old[CDS].version == next[CDS].version {
		return []map[Type]content{next}, nil
	}
	names := map[string]bool{}
	both := Resources{Clusters: slices.Clone(r.Clusters), Secrets: slices.Clone(r.Secrets)}
	for _, c := range r.Clusters {
		names[c.GetName()] = true
	}
	for _, c := range previous.Clusters {
		if !names[c.GetName()] {
			both.Clusters = append(both.Clusters, c)
		}
	}
	wide, err := both.contents(key)
	if err != nil {
		return nil, err
	}
	first := map[Type]content{CDS: wide[CDS], SDS: next[SDS], ECDS: old[ECDS]}
	second := map[Type]content{CDS: wide[CDS], SDS: next[SDS], ECDS: next[ECDS]}
	return []map[Type]content{first, second, next}, nil
}
