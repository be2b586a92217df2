package istio

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/manifest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// Objects are what to apply, in an order in which nothing of it waits for what comes
// later.
func Objects(in envoyconf.Input, options Options) ([]manifest.Object, error) {
	if err := options.validate(&in.Config); err != nil {
		return nil, err
	}
	var err error
	if in.Secrets, err = envoyconf.OwnStream(in.File); err != nil {
		return nil, err
	}
	if options.Way == Umagate {
		return options.byUmagate(in)
	}
	return options.byIstiod(in)
}

// byIstiod leads the filter through istiod.
func (o Options) byIstiod(in envoyconf.Input) ([]manifest.Object, error) {
	own, all, err := ownClusters(in)
	if err != nil {
		return nil, err
	}
	connected, hosts, err := connect(in)
	if err != nil {
		return nil, err
	}
	var entries, rules []manifest.Object
	var patches []configPatch
	for _, h := range hosts {
		more, err := o.credentials(in, h, own)
		if err != nil {
			return nil, err
		}
		patches = append(patches, more...)
		if !h.inside() {
			entries = append(entries, o.serviceEntry(h))
		}
		rules = append(rules, o.destinationRule(in, h, own))
	}
	for _, c := range all {
		// What leads to the control plane itself is no authorization server.
		if c.GetName() == site.InstancesCluster || strings.HasSuffix(c.GetName(), "/signing-key") {
			p, err := o.addCluster(c)
			if err != nil {
				return nil, err
			}
			patches = append(patches, p)
		}
	}
	plugin, err := o.wasmPlugin(connected)
	if err != nil {
		return nil, err
	}
	return slices.Concat(entries, rules, []manifest.Object{o.envoyFilter(patches), plugin}), nil
}

// byUmagate has the proxies subscribe to the control plane: the filter, its configuration
// and the credentials come from there, and follow the file.
func (o Options) byUmagate(in envoyconf.Input) ([]manifest.Object, error) {
	clusters, err := envoyconf.Clusters(in)
	if err != nil {
		return nil, err
	}
	module, err := envoyconf.ModuleCluster(in.File)
	if err != nil {
		return nil, err
	}
	if module != nil {
		clusters = append(clusters, module)
	}
	var patches []configPatch
	for _, c := range clusters {
		p, err := o.addCluster(c)
		if err != nil {
			return nil, err
		}
		patches = append(patches, p)
	}
	filter, err := o.httpFilter(in.Secrets)
	if err != nil {
		return nil, err
	}
	return []manifest.Object{o.envoyFilter(append(patches, filter))}, nil
}

type wasmPlugin struct {
	Selector        *selector         `yaml:"selector,omitempty"`
	TargetRefs      []targetRef       `yaml:"targetRefs,omitempty"`
	URL             string            `yaml:"url"`
	SHA256          string            `yaml:"sha256,omitempty"`
	ImagePullPolicy string            `yaml:"imagePullPolicy,omitempty"`
	ImagePullSecret string            `yaml:"imagePullSecret,omitempty"`
	PluginName      string            `yaml:"pluginName"`
	Phase           string            `yaml:"phase"`
	FailStrategy    string            `yaml:"failStrategy"`
	Match           []trafficSelector `yaml:"match,omitempty"`
	PluginConfig    *yaml.Node        `yaml:"pluginConfig"`
}

type trafficSelector struct {
	Mode string `yaml:"mode"`
}

// wasmPlugin puts the filter after Istio's authentication and before its authorization.
func (o Options) wasmPlugin(c config.Config) (manifest.Object, error) {
	text, err := config.Encode(&c)
	if err != nil {
		return manifest.Object{}, fmt.Errorf("encode filter configuration: %w", err)
	}
	configuration, err := manifest.Document(text)
	if err != nil {
		return manifest.Object{}, err
	}
	spec := wasmPlugin{
		TargetRefs: o.targetRefs(), URL: o.Module, SHA256: o.SHA256, ImagePullSecret: o.PullSecret,
		PluginName: envoyconf.FilterName, Phase: "AUTHZ", FailStrategy: "FAIL_CLOSE", PluginConfig: configuration,
	}
	if spec.TargetRefs == nil {
		spec.Selector = &selector{MatchLabels: o.pods()}
	}
	if len(o.Sidecars) > 0 {
		// What the workload itself calls is guarded where it arrives.
		spec.Match = []trafficSelector{{Mode: "SERVER"}}
	}
	return manifest.Object{APIVersion: "extensions.istio.io/v1alpha1", Kind: "WasmPlugin", Metadata: o.metadata(""), Spec: spec}, nil
}
