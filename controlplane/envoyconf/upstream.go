package envoyconf

import (
	"cmp"
	"net"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	codecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/site"
)

// setProtocol makes the cluster speak HTTP/1.1, which every AS and API does, with the
// filters between the call and the wire. A nil filter means the codec alone.
func setProtocol(cluster *clusterv3.Cluster, filter *hcmv3.HttpFilter) error {
	options := &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: duration(idleTimeout)},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
				},
			},
		},
	}
	if filter != nil {
		codec, err := httpFilter("envoy.filters.http.upstream_codec", &codecv3.UpstreamCodec{})
		if err != nil {
			return err
		}
		options.HttpFilters = []*hcmv3.HttpFilter{filter, codec}
	}
	packed, err := pack(options)
	if err != nil {
		return err
	}
	setOptions(cluster, packed)
	return nil
}

// secure adds TLS to a cluster whose endpoint is https. The server's name is
// checked, not only its chain: Envoy does neither unless told to. certificate is the
// client's own, nil for none.
func secure(cluster *clusterv3.Cluster, at endpoint, file *site.File, settings site.TLS, certificate *tlsv3.SdsSecretConfig) error {
	if !at.tls {
		return nil
	}
	name := cmp.Or(settings.ServerName, at.host)
	common := &tlsv3.CommonTlsContext{
		TlsParams: &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
	}
	if !settings.InsecureSkipVerify {
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: trustedCA(file, settings), MatchTypedSubjectAltNames: namesOf(name),
		}}
	}
	if certificate != nil {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{certificate}
	}
	return setTLS(cluster, name, common)
}

// setTLS makes the cluster speak TLS with the server of that name. No session is resumed:
// that would take a server whose certificate has ended, or is another's by now.
func setTLS(cluster *clusterv3.Cluster, name string, common *tlsv3.CommonTlsContext) error {
	context := &tlsv3.UpstreamTlsContext{CommonTlsContext: common, MaxSessionKeys: wrapperspb.UInt32(0)}
	if net.ParseIP(name) == nil {
		context.Sni = name // RFC 6066 section 3: an address is no server name
	}
	packed, err := pack(context)
	if err != nil {
		return err
	}
	cluster.TransportSocket = &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed},
	}
	return nil
}

// namesOf has a server's certificate compared with that name.
func namesOf(name string) []*tlsv3.SubjectAltNameMatcher {
	kind := tlsv3.SubjectAltNameMatcher_DNS
	if net.ParseIP(name) != nil {
		kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	return []*tlsv3.SubjectAltNameMatcher{{
		SanType: kind, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}},
	}}
}

// trustedCA is the AS's own certificates where the file names some, sent along
// because Envoy may run on another machine; otherwise the bundle there.
func trustedCA(file *site.File, settings site.TLS) *corev3.DataSource {
	if len(settings.CA) > 0 {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: settings.CA}}
	}
	return filename(file.Envoy.CAFile)
}
