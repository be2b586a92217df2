package envoyconf_test

import (
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
)

// TestReadBeside: an agent reads from a bootstrap what its Envoy does, whoever has
// changed it.
func TestReadBeside(t *testing.T) {
	t.Parallel()
	in := input(t, "testdata/mutual.yaml")
	files, err := envoyconf.XDSSecrets(in.File)
	require.NoError(t, err)
	rendered := func(change func(*bootstrapv3.Bootstrap)) *bootstrapv3.Bootstrap {
		b, err := envoyconf.Dynamic(in.File)
		require.NoError(t, err)
		if change != nil {
			change(b)
		}
		return b
	}
	text, err := envoyconf.YAML(rendered(nil))
	require.NoError(t, err)
	// What this program does not know is the operator's own.
	text = append(text, "bootstrap_extensions:\n- name: own\n  typed_config: {'@type': type.googleapis.com/own.Extension, any: thing}\n"...)
	got, err := envoyconf.ReadBeside(text, "", "")
	require.NoError(t, err)
	require.Equal(t, "umagate-envoy", got.Node.GetId())
	require.Equal(t, "umagate", got.Node.GetCluster())
	require.NotEmpty(t, got.Node.GetMetadata().GetFields()["umagate"])
	require.Equal(t, "control.example.com:18000", got.ControlPlane)
	require.Equal(t, "/var/lib/umagate-agent/last_good", got.Path)
	require.Equal(t, "/var/lib/umagate-agent/last_good.sock", got.Socket)
	require.Equal(t, &envoyconf.XDSFiles{
		CertificateSDS: "/etc/envoy/sds/certificate.yaml", CASDS: "/etc/envoy/sds/ca.yaml", ServerName: "control.example.com",
	}, got.TLS)
	for _, file := range files {
		text, err := envoyconf.YAML(file)
		require.NoError(t, err)
		require.NoError(t, got.TLS.Add(text))
	}
	require.Equal(t, "/etc/envoy/tls/tls.crt", got.TLS.Certificate)
	require.Equal(t, "/etc/envoy/tls/tls.key", got.TLS.Key)
	require.Equal(t, "/etc/envoy/tls/ca.crt", got.TLS.CA)

	// JSON, another node, and files without a folder of SDS.
	in.File.Envoy.XDSTLS.SDSFolder, in.File.Envoy.XDSTLS.ServerName = "", "192.0.2.1"
	json, err := protojson.Marshal(rendered(func(b *bootstrapv3.Bootstrap) { b.Node.Id = "edge-7" }))
	require.NoError(t, err)
	got, err = envoyconf.ReadBeside(json, "", "cluster-of-the-flag")
	require.NoError(t, err)
	require.Equal(t, "edge-7", got.Node.GetId())
	require.Equal(t, "cluster-of-the-flag", got.Node.GetCluster())
	require.Equal(t, &envoyconf.XDSFiles{
		Certificate: "/etc/envoy/tls/tls.crt", Key: "/etc/envoy/tls/tls.key", CA: "/etc/envoy/tls/ca.crt", ServerName: "192.0.2.1",
	}, got.TLS)

	in.File.Listen.XDSTLS = nil
	text, err = envoyconf.YAML(rendered(nil))
	require.NoError(t, err)
	got, err = envoyconf.ReadBeside(text, "", "")
	require.NoError(t, err)
	require.Nil(t, got.TLS)

	for words, change := range map[string]func(*bootstrapv3.Bootstrap){
		"--service-node":         func(b *bootstrapv3.Bootstrap) { b.Node = nil },
		"envoy.last_good":        func(b *bootstrapv3.Bootstrap) { b.StaticResources.Clusters = b.StaticResources.Clusters[:1] },
		"no cluster umagate/xds": func(b *bootstrapv3.Bootstrap) { b.StaticResources.Clusters = b.StaticResources.Clusters[1:] },
	} {
		text, err := envoyconf.YAML(rendered(change))
		require.NoError(t, err)
		_, err = envoyconf.ReadBeside(text, "", "")
		require.ErrorContains(t, err, words)
	}
	_, err = envoyconf.ReadBeside([]byte("sites: []"), "", "")
	require.Error(t, err)
	_, err = envoyconf.ReadBeside([]byte(": :"), "", "")
	require.ErrorContains(t, err, "no bootstrap")
}
