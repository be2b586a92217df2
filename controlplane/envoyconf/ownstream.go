package envoyconf

import (
	"cmp"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/umagate/umagate/controlplane/site"
)

// OwnStream has an Envoy that another control plane configures, such as Istio's,
// subscribe at this one as well, by a stream of its own. It is Google's gRPC client that
// does it: Envoy takes a cluster for that from its bootstrap only, and this client needs
// none. It reads its certificate once, when it is made.
//
// A proxy that starts while this control plane is down waits for 15 s, Envoy's default, and
// goes on without: what is called without its credential is refused, and other APIs go on.
func OwnStream(file *site.File) (*corev3.ConfigSource, error) {
	at := cmp.Or(file.Envoy.XDS, file.Listen.XDS)
	if at == "" {
		return nil, fmt.Errorf("%w: write envoy.xds, where Envoys reach the control plane, HOST:PORT", ErrInput)
	}
	google := &corev3.GrpcService_GoogleGrpc{TargetUri: at, StatPrefix: "umagate_xds"}
	if file.Listen.XDSTLS != nil {
		files := file.Envoy.XDSTLS
		google.ChannelCredentials = &corev3.GrpcService_GoogleGrpc_ChannelCredentials{
			CredentialSpecifier: &corev3.GrpcService_GoogleGrpc_ChannelCredentials_SslCredentials{
				SslCredentials: &corev3.GrpcService_GoogleGrpc_SslCredentials{
					RootCerts: filename(files.CA), CertChain: filename(files.Certificate), PrivateKey: filename(files.Key),
				},
			},
		}
		if files.ServerName != "" {
			google.ChannelArgs = channelArgs("grpc.ssl_target_name_override", files.ServerName)
		}
	}
	return &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_GoogleGrpc_{GoogleGrpc: google}}},
		}},
	}, nil
}

func channelArgs(name, value string) *corev3.GrpcService_GoogleGrpc_ChannelArgs {
	return &corev3.GrpcService_GoogleGrpc_ChannelArgs{Args: map[string]*corev3.GrpcService_GoogleGrpc_ChannelArgs_Value{
		name: {ValueSpecifier: &corev3.GrpcService_GoogleGrpc_ChannelArgs_Value_StringValue{StringValue: value}},
	}}
}
