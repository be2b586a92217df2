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
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
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
	// Listener takes requests, and Routes leads them to Clusters, in an Envoy that takes
	// both from here; nil for none. A virtual host has the name of its site: the filter
	// has to know that site before a request is led there.
	Listener *listenerv3.Listener
	Routes   *routev3.RouteConfiguration
}

// Type names a kind of resource in status and metrics.
type Type string

// The types, as users of Envoy know them.
const (
	CDS  Type = "cds"
	ECDS Type = "ecds"
	LDS  Type = "lds"
	RDS  Type = "rds"
	SDS  Type = "sds"
)

// Types lists the types in the order of their names.
func Types() []Type { return []Type{CDS, ECDS, LDS, RDS, SDS} }

// typeURLs are the names of the types on the wire.
var typeURLs = map[Type]string{
	CDS: resourcev3.ClusterType, ECDS: resourcev3.ExtensionConfigType, LDS: resourcev3.ListenerType,
	RDS: resourcev3.RouteType, SDS: resourcev3.SecretType, LastGood: lastGoodURL,
}

func typeOf(url string) (Type, bool) {
	for kind, name := range typeURLs {
		if name == url {
			return kind, true
		}
	}
	return "", false
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

// content is all there is of one type, and its version. It is not changed.
type content struct {
	cache.Resources

	// hosts says where routes lead; nil for another type.
	hosts hosts
}

func (c *content) version() string {
	if c == nil {
		return ""
	}
	return c.Version
}

// contentOf makes the content of items. prefix begins the version, h makes the rest.
func contentOf(prefix string, h hash.Hash, items []types.Resource) (*content, error) {
	version, err := versionOf(h, items)
	if err != nil {
		return nil, err
	}
	return &content{Resources: cache.NewResources(prefix+version, items)}, nil
}

// contents makes the content of each type of r. key keys the version of secrets.
func (r Resources) contents(key []byte) (offer, error) {
	var filters, listeners []types.Resource
	if r.Filter != nil {
		filters = append(filters, r.Filter)
	}
	if r.Listener != nil {
		listeners = append(listeners, r.Listener)
	}
	var out offer
	for kind, group := range map[Type]struct {
		items []types.Resource
		hash  hash.Hash
		to    **content
	}{
		ECDS: {filters, sha256.New(), &out.filter},
		CDS:  {resourcesOf(r.Clusters), sha256.New(), &out.clusters},
		SDS:  {resourcesOf(r.Secrets), hmac.New(sha256.New, key), &out.secrets},
		LDS:  {listeners, sha256.New(), &out.listener},
	} {
		var err error
		if *group.to, err = contentOf("", group.hash, group.items); err != nil {
			return offer{}, fmt.Errorf("xds: version of %s: %w", kind, err)
		}
	}
	var err error
	if out.routes, err = routesContent(r.Routes, hostsOf(r.Routes)); err != nil {
		return offer{}, fmt.Errorf("xds: version of %s: %w", RDS, err)
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
		writePart(h, []byte(name))
		writePart(h, encoded[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// writePart hashes the length of a part, too: two parts do not read as one.
func writePart(h hash.Hash, part []byte) {
	_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash never fails
	_, _ = h.Write(part)
}
