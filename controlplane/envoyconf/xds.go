package envoyconf

import (
	"cmp"
	"fmt"
	"path"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/umagate/umagate/controlplane/site"
)

// The names of Envoy's own secrets towards the xDS server, and the files that they
// come from: Envoy takes a file with one secret only.
const (
	xdsCertificate     = "umagate/xds/certificate"
	xdsCertificateFile = "certificate.yaml"
	xdsValidation      = "umagate/xds/ca"
	xdsValidationFile  = "ca.yaml"
)

// xdsUpstream is the control plane, by gRPC and so HTTP/2.
func xdsUpstream(file *site.File) (*clusterv3.Cluster, error) {
	raw := file.Envoy.XDS
	if raw == "" {
		raw = file.Listen.XDS
	}
	at, err := parseEndpoint("http://" + raw)
	if err != nil {
		return nil, fmt.Errorf("envoy.xds: %w", err)
	}
	cluster, err := plainCluster(xdsCluster, at)
	if err != nil {
		return nil, err
	}
	if err := setHTTP2(cluster); err != nil {
		return nil, err
	}
	if file.Listen.XDSTLS == nil {
		return cluster, nil
	}
	return cluster, mutual(cluster, at.host, file.Envoy.XDSTLS)
}

// setHTTP2 makes a cluster speak what gRPC needs.
func setHTTP2(cluster *clusterv3.Cluster) error {
	options, err := pack(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
						// A control plane that vanished is noticed, and the stream opened anew.
						ConnectionKeepalive: &corev3.KeepaliveSettings{
							Interval: duration(30 * time.Second), Timeout: duration(5 * time.Second),
						},
					},
				},
			},
		},
	})
	if err != nil {
		return err
	}
	setOptions(cluster, options)
	return nil
}

// mutual makes Envoy show its certificate to the control plane and judge the
// control plane's.
func mutual(cluster *clusterv3.Cluster, host string, files site.EnvoyTLS) error {
	name := cmp.Or(files.ServerName, host)
	common := &tlsv3.CommonTlsContext{
		// As a client, Envoy stays with TLS 1.2 unless it is told otherwise.
		TlsParams: &tlsv3.TlsParameters{
			TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		},
	}
	names := namesOf(name)
	if files.SDSFolder == "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{certificateOf(files)}
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: filename(files.CA), MatchTypedSubjectAltNames: names,
		}}
	} else {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{{Name: xdsCertificate, SdsConfig: fromFile(files.SDSFolder, xdsCertificateFile)}}
		common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: names},
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: xdsValidation, SdsConfig: fromFile(files.SDSFolder, xdsValidationFile)},
			},
		}
	}
	return setTLS(cluster, name, common)
}

// XDSSecrets are the files of envoy.xds_tls.sds_folder, by name: with them, Envoy
// watches the folders of its certificate and its CA, and takes over what is renamed
// into them.
func XDSSecrets(file *site.File) (map[string]*discovery.DiscoveryResponse, error) {
	files := file.Envoy.XDSTLS
	certificate := certificateOf(files)
	certificate.WatchedDirectory = folder(files.Certificate)
	out := map[string]*discovery.DiscoveryResponse{}
	for name, secret := range map[string]*tlsv3.Secret{
		xdsCertificateFile: {Name: xdsCertificate, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: certificate}},
		xdsValidationFile: {Name: xdsValidation, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: filename(files.CA), WatchedDirectory: folder(files.CA),
		}}},
	} {
		packed, err := pack(secret)
		if err != nil {
			return nil, err
		}
		out[name] = &discovery.DiscoveryResponse{VersionInfo: "1", Resources: []*anypb.Any{packed}}
	}
	return out, nil
}

func certificateOf(files site.EnvoyTLS) *tlsv3.TlsCertificate {
	return &tlsv3.TlsCertificate{CertificateChain: filename(files.Certificate), PrivateKey: filename(files.Key)}
}

func filename(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}

// folder is on the machine of Envoy, which need not be of this system.
func folder(name string) *corev3.WatchedDirectory {
	return &corev3.WatchedDirectory{Path: path.Dir(name)}
}

func fromFile(folder, name string) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{
			PathConfigSource: &corev3.PathConfigSource{Path: path.Join(folder, name)},
		},
	}
}
