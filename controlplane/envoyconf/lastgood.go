package envoyconf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	// lastGoodCluster names the cluster of the agent beside the Envoy.
	lastGoodCluster = "umagate/last_good"
	// lastGoodSocket is what the agent's socket is called beside the file it keeps.
	lastGoodSocket = ".sock"
	// failoverFlag makes Envoy ask its second source when the first does not answer as
	// it starts, and go back to the first as soon as that answers.
	failoverFlag = "envoy.restart_features.xds_failover_support"
)

// addLastGood gives a bootstrap the agent that keeps path as its second source.
func addLastGood(out *bootstrapv3.Bootstrap, path string) error {
	cluster := &clusterv3.Cluster{
		Name: lastGoodCluster, ConnectTimeout: duration(connectTimeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: endpointAt(lastGoodCluster, &corev3.Address{Address: &corev3.Address_Pipe{
			Pipe: &corev3.Pipe{Path: path + lastGoodSocket},
		}}),
	}
	if err := setHTTP2(cluster); err != nil {
		return err
	}
	flags, err := structpb.NewStruct(map[string]any{failoverFlag: true})
	if err != nil {
		return err
	}
	out.StaticResources.Clusters = append(out.StaticResources.Clusters, cluster)
	source := out.GetDynamicResources().GetAdsConfig()
	source.GrpcServices = append(source.GrpcServices, grpcTo(lastGoodCluster))
	out.LayeredRuntime = &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "umagate", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: flags},
	}}}
	return nil
}

func grpcTo(cluster string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster},
	}}
}

// Beside is what an agent needs to know of the Envoy that it is beside.
type Beside struct {
	// Node is as the Envoy tells the control plane.
	Node *corev3.Node
	// ControlPlane is HOST:PORT.
	ControlPlane string
	// TLS is how the Envoy connects there; nil for plain text.
	TLS *XDSFiles
	// Path is the file that the agent keeps, Socket where Envoy asks it.
	Path, Socket string
}

// XDSFiles are the files that Envoy uses towards the control plane, all in PEM.
type XDSFiles struct {
	Certificate, Key, CA string
	// CertificateSDS and CASDS are files of envoy.xds_tls.sds_folder, which name those
	// above; see [XDSFiles.Add]. Empty where the bootstrap names them itself.
	CertificateSDS, CASDS string
	// ServerName is what the control plane's certificate has to have.
	ServerName string
}

// ReadBeside reads a bootstrap of [Dynamic], in YAML or JSON, which may have been changed
// since. node and cluster are what Envoy is told on its command line; empty for what the
// bootstrap says.
func ReadBeside(text []byte, node, cluster string) (*Beside, error) {
	var b bootstrapv3.Bootstrap
	if err := readYAML(text, &b); err != nil {
		return nil, fmt.Errorf("it is no bootstrap of Envoy: %w", err)
	}
	out := &Beside{Node: &corev3.Node{}}
	proto.Merge(out.Node, b.GetNode())
	out.Node.Id, out.Node.Cluster = cmp.Or(node, out.Node.GetId()), cmp.Or(cluster, out.Node.GetCluster())
	if out.Node.GetId() == "" || out.Node.GetCluster() == "" {
		return nil, errors.New("it has no node.id or no node.cluster: name those that Envoy is started with, by --service-node and --service-cluster")
	}
	var source, socket *clusterv3.Cluster
	for _, c := range b.GetStaticResources().GetClusters() {
		switch c.GetName() {
		case xdsCluster:
			source = c
		case lastGoodCluster:
			socket = c
		}
	}
	if out.Socket = endpointOf(socket).GetPipe().GetPath(); !strings.HasSuffix(out.Socket, lastGoodSocket) {
		return nil, errors.New("it has no second source: write envoy.last_good into umagate.yaml, and print it again with umagate render bootstrap")
	}
	out.Path = strings.TrimSuffix(out.Socket, lastGoodSocket)
	at := endpointOf(source).GetSocketAddress()
	if at == nil {
		return nil, fmt.Errorf("it has no cluster %s with the control plane's address: print it with umagate render bootstrap", xdsCluster)
	}
	out.ControlPlane = net.JoinHostPort(at.GetAddress(), strconv.FormatUint(uint64(at.GetPortValue()), 10))
	if source.GetTransportSocket() == nil {
		return out, nil
	}
	var err error
	out.TLS, err = xdsFiles(source)
	return out, err
}

func endpointOf(c *clusterv3.Cluster) *corev3.Address {
	for _, locality := range c.GetLoadAssignment().GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			return e.GetEndpoint().GetAddress()
		}
	}
	return nil
}

// xdsFiles reads what mutual wrote.
func xdsFiles(c *clusterv3.Cluster) (*XDSFiles, error) {
	var context tlsv3.UpstreamTlsContext
	if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(&context); err != nil {
		return nil, fmt.Errorf("the TLS settings of cluster %s: %w", c.GetName(), err)
	}
	common := context.GetCommonTlsContext()
	out := &XDSFiles{}
	for _, pair := range common.GetTlsCertificates() {
		out.Certificate, out.Key = pair.GetCertificateChain().GetFilename(), pair.GetPrivateKey().GetFilename()
	}
	for _, secret := range common.GetTlsCertificateSdsSecretConfigs() {
		out.CertificateSDS = secret.GetSdsConfig().GetPathConfigSource().GetPath()
	}
	validation := common.GetValidationContext()
	if combined := common.GetCombinedValidationContext(); combined != nil {
		validation = combined.GetDefaultValidationContext()
		out.CASDS = combined.GetValidationContextSdsSecretConfig().GetSdsConfig().GetPathConfigSource().GetPath()
	}
	out.CA = validation.GetTrustedCa().GetFilename()
	for _, name := range validation.GetMatchTypedSubjectAltNames() {
		out.ServerName = name.GetMatcher().GetExact()
	}
	if out.ServerName == "" {
		return nil, fmt.Errorf("the TLS settings of cluster %s do not say whose certificate the control plane has to show (match_typed_subject_alt_names)", c.GetName())
	}
	return out, nil
}

// Add takes the names of files from the text of a file of [XDSSecrets].
func (f *XDSFiles) Add(text []byte) error {
	var list discovery.DiscoveryResponse
	if err := readYAML(text, &list); err != nil {
		return err
	}
	for _, packed := range list.GetResources() {
		var secret tlsv3.Secret
		if err := packed.UnmarshalTo(&secret); err != nil {
			return err
		}
		if pair := secret.GetTlsCertificate(); pair != nil {
			f.Certificate, f.Key = pair.GetCertificateChain().GetFilename(), pair.GetPrivateKey().GetFilename()
		}
		if context := secret.GetValidationContext(); context != nil {
			f.CA = context.GetTrustedCa().GetFilename()
		}
	}
	return nil
}

// readYAML reads what Envoy reads. What this program does not know is left out.
func readYAML(text []byte, to proto.Message) error {
	var document any
	if err := yaml.Load(text, &document); err != nil {
		return err
	}
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true, Resolver: lenient{protoregistry.GlobalTypes}}.Unmarshal(text, to)
}

// lenient knows every type of message, and takes one that it does not know for one
// without fields.
type lenient struct{ *protoregistry.Types }

// FindMessageByURL implements [protoregistry.MessageTypeResolver].
func (l lenient) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	found, err := l.Types.FindMessageByURL(url)
	if errors.Is(err, protoregistry.NotFound) {
		return (&corev3.AggregatedConfigSource{}).ProtoReflect().Type(), nil
	}
	return found, err
}
