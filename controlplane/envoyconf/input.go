package envoyconf

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// Input is what Envoy's resources are built from.
type Input struct {
	// File is the desired state.
	File *site.File
	// Facts is what is known of each site, by name.
	Facts map[string]site.Facts
	// Config is what [site.Compile] made of both. A site whose AS
	// it does not know gets no clusters.
	Config config.Config
	// Document is Config encoded, where that has been done already.
	Document []byte
	// Instances is the address of the control plane's endpoint for instances as
	// Envoys reach it, HOST:PORT; what the file says when it is empty.
	Instances string
	// Secrets is where Envoys have their credentials from; the one stream to the
	// control plane when nil. See [OwnStream].
	Secrets *corev3.ConfigSource
}

// secret names a secret, and where Envoys have it from.
func (in Input) secret(name string) *tlsv3.SdsSecretConfig {
	source := in.Secrets
	if source == nil {
		source = overADS()
	}
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: source}
}

// ErrInput is wrapped by every error about what was asked for, as opposed to a
// fault of this package.
var ErrInput = errors.New("cannot build Envoy's configuration")

// endpoint is a URL taken apart for a cluster.
type endpoint struct {
	host string
	port uint32
	tls  bool
}

func parseEndpoint(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return endpoint{}, fmt.Errorf("%w: %w", ErrInput, err)
	}
	e := endpoint{host: u.Hostname(), tls: u.Scheme == "https", port: 80}
	if e.tls {
		e.port = 443
	}
	if e.host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return endpoint{}, fmt.Errorf("%w: %q is not an http(s) URL", ErrInput, raw)
	}
	if p := u.Port(); p != "" {
		if e.port, err = parsePort(p); err != nil {
			return endpoint{}, fmt.Errorf("%w: %q: %w", ErrInput, raw, err)
		}
	}
	return e, nil
}

// sites pairs each compiled site with what the file says of it.
func (in Input) sites(yield func(s *site.Site, c *config.Site) error) error {
	for i := range in.Config.Sites {
		c := &in.Config.Sites[i]
		s, ok := in.File.Site(c.Name)
		if !ok {
			return fmt.Errorf("%w: site %q is compiled but not in the file", ErrInput, c.Name)
		}
		if err := yield(s, c); err != nil {
			return fmt.Errorf("site %s: %w", c.Name, err)
		}
	}
	return nil
}

// Clusters are the clusters of every site's AS, for CDS: one for introspection
// and, where the site requires UMA, one for the protection API, and one for the token
// endpoint where tokens are evaluated there: they are its credential, or, with a
// permission ticket, the client's is. The others'
// come by SDS under [site.IntrospectionSecret] and [site.PATSecret]. Where a
// resource has instances, the control plane itself is one more.
func Clusters(in Input) ([]*clusterv3.Cluster, error) {
	var out []*clusterv3.Cluster
	err := in.sites(func(s *site.Site, c *config.Site) error {
		return in.eachEndpoint(s, c, func(e config.Endpoint, credential as.Credential) error {
			var filter *hcmv3.HttpFilter
			var certificate *tlsv3.SdsSecretConfig
			if in.Facts[s.Name].ClientCertificate && credential != as.CredentialNone {
				certificate = in.secret(site.CertificateSecret(s.Name))
			}
			// The certificate is all there is to the client's own credential.
			if credential != as.CredentialNone && (credential != as.CredentialClient || certificate == nil) {
				var err error
				if filter, err = sdsInjector(in, s, credential); err != nil {
					return err
				}
			}
			cluster, err := asCluster(in.File, s, e.Cluster, e, filter, certificate)
			if err != nil {
				return err
			}
			out = append(out, cluster)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	cluster, err := instancesCluster(in)
	if err != nil {
		return nil, err
	}
	if cluster != nil {
		out = append(out, cluster)
	}
	for i := range in.Config.Sites {
		if s := &in.Config.Sites[i]; s.InternalToken != nil {
			if cluster, err = signingKeyCluster(in, s.Name); err != nil {
				return nil, err
			}
			out = append(out, cluster)
		}
	}
	return out, nil
}

// pack wraps a message for a typed_config. Serialised deterministically, so that
// the same input gives the same bytes and so the same xDS version.
func pack(m proto.Message) (*anypb.Any, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: value}, nil
}

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }
