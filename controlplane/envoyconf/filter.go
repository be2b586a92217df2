package envoyconf

import (
	"fmt"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	wasmfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// FilterName is the name of the filter's ECDS resource and of the HTTP filter.
const FilterName = "umagate"

// moduleCluster names the cluster that the module is fetched from.
const moduleCluster = "umagate/module"

// Filter is the filter with its configuration, for ECDS.
func Filter(in Input) (*corev3.TypedExtensionConfig, error) {
	document := in.Document
	if document == nil {
		var err error
		if document, err = config.Encode(&in.Config); err != nil {
			return nil, fmt.Errorf("encode filter configuration: %w", err)
		}
	}
	// A string reaches the plugin byte for byte; a Struct would be written anew by Envoy.
	configuration, err := pack(wrapperspb.String(string(document)))
	if err != nil {
		return nil, err
	}
	code, err := moduleSource(in.File.Plugin)
	if err != nil {
		return nil, err
	}
	plugin := &wasmv3.PluginConfig{
		Name:   FilterName,
		RootId: FilterName,
		Vm: &wasmv3.PluginConfig_VmConfig{VmConfig: &wasmv3.VmConfig{
			VmId:    in.File.Plugin.VMID,
			Runtime: "envoy.wasm.runtime.v8",
			Code:    code,
		}},
		Configuration: configuration,
		// A trapped VM answers 503 and is started anew; it never lets pass.
		FailurePolicy: wasmv3.FailurePolicy_FAIL_RELOAD,
	}
	if guardsMessages(&in.Config) {
		// A body comes to a filter that has stopped at the headers only with this. The filter
		// says of each request whether it wants one.
		plugin.AllowOnHeadersStopIteration = wrapperspb.Bool(true)
	}
	wasm, err := pack(&wasmfilterv3.Wasm{Config: plugin})
	if err != nil {
		return nil, err
	}
	return &corev3.TypedExtensionConfig{Name: FilterName, TypedConfig: wasm}, nil
}

// guardsMessages reports whether a condition names messages to an MCP server, so that the
// filter has to read bodies.
func guardsMessages(c *config.Config) bool {
	for i := range c.Sites {
		for j := range c.Sites[i].Resources {
			if slices.ContainsFunc(c.Sites[i].Resources[j].Conditions, func(c config.Condition) bool { return c.MCP != nil }) {
				return true
			}
		}
	}
	return false
}

func moduleSource(p site.Plugin) (*corev3.AsyncDataSource, error) {
	if !isURL(p.Wasm) {
		return &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: &corev3.DataSource{
			Specifier: &corev3.DataSource_Filename{Filename: p.Wasm},
		}}}, nil
	}
	if p.SHA256 == "" {
		return nil, fmt.Errorf("%w: plugin.wasm is a URL and has no plugin.sha256; Envoy fetches nothing without", ErrInput)
	}
	return &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Remote{Remote: &corev3.RemoteDataSource{
		HttpUri: &corev3.HttpUri{
			Uri:              p.Wasm,
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: moduleCluster},
			Timeout:          duration(30 * time.Second),
		},
		Sha256: p.SHA256,
	}}}, nil
}

// ModuleCluster is the cluster that Envoy fetches the module from, or nil when
// the module is a file.
func ModuleCluster(file *site.File) (*clusterv3.Cluster, error) {
	if !isURL(file.Plugin.Wasm) {
		return nil, nil
	}
	at, err := parseEndpoint(file.Plugin.Wasm)
	if err != nil {
		return nil, err
	}
	cluster, err := plainCluster(moduleCluster, at)
	if err != nil {
		return nil, err
	}
	if err := secure(cluster, at, file, site.TLS{}, nil); err != nil {
		return nil, err
	}
	return cluster, setProtocol(cluster, nil)
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}
