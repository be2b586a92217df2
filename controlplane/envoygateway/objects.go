package envoygateway

import (
	"errors"
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/manifest"
	"github.com/umagate/umagate/plugin/config"
)

// ErrOptions is wrapped by every error about what was asked for.
var ErrOptions = errors.New("cannot make Envoy Gateway's objects")

// Options say what the objects are for.
type Options struct {
	// Name and Namespace are the objects'. The namespace is the Gateway's.
	Name, Namespace string
	// Gateway is the name of the Gateway. Route is that of an HTTPRoute of it, in the same
	// namespace, that alone is guarded; the whole Gateway when empty.
	Gateway, Route string
	// Module is where Envoy Gateway has the module from: oci://, https:// or http://. SHA256
	// is that of the image's manifest, or of the file.
	Module, SHA256 string
	// PullSecret names the secret with the credential for the registry.
	PullSecret string
}

// Objects are what to apply, in an order in which nothing of it waits for what comes
// later.
func Objects(in envoyconf.Input, o Options) ([]manifest.Object, error) {
	if err := o.validate(&in.Config); err != nil {
		return nil, err
	}
	var err error
	if in.Secrets, err = envoyconf.OwnStream(in.File); err != nil {
		return nil, err
	}
	clusters, err := envoyconf.Clusters(in)
	if err != nil {
		return nil, err
	}
	patches, err := o.patchPolicy(clusters)
	if err != nil {
		return nil, err
	}
	extension, err := o.extensionPolicy(&in.Config)
	if err != nil {
		return nil, err
	}
	return []manifest.Object{patches, extension}, nil
}

func (o Options) validate(c *config.Config) error {
	scheme, _, _ := strings.Cut(o.Module, "://")
	switch {
	case o.Gateway == "":
		return fmt.Errorf("%w: name the Gateway", ErrOptions)
	case scheme != "oci" && scheme != "https" && scheme != "http":
		return fmt.Errorf("%w: Envoy Gateway fetches a module by oci:// or https:// only, not from the path %q: write plugin.wasm, or --wasm", ErrOptions, o.Module)
	case scheme != "oci" && o.SHA256 == "":
		return fmt.Errorf("%w: %s has no SHA-256: write plugin.sha256", ErrOptions, o.Module)
	case scheme != "oci" && o.PullSecret != "":
		return fmt.Errorf("%w: a pull secret is for oci:// only", ErrOptions)
	}
	for i := range c.Sites {
		if c.Sites[i].AuthorizationServer.Unknown {
			return fmt.Errorf("%w: site %s: its authorization server is not known", ErrOptions, c.Sites[i].Name)
		}
		for j := range c.Sites[i].Resources {
			for _, condition := range c.Sites[i].Resources[j].Conditions {
				if condition.MCP != nil {
					return fmt.Errorf("%w: site %s guards an MCP server, for which the filter has to hold back headers; an EnvoyExtensionPolicy cannot say so: run an Envoy with umagate render bootstrap",
						ErrOptions, c.Sites[i].Name)
				}
			}
		}
	}
	return nil
}

func (o Options) metadata() manifest.Metadata {
	return manifest.Metadata{Name: o.Name, Namespace: o.Namespace, Labels: manifest.Labels(o.Name)}
}

// targetRef names what a policy is for.
type targetRef struct {
	Group string `yaml:"group"`
	Kind  string `yaml:"kind"`
	Name  string `yaml:"name"`
}

func (o Options) gateway() targetRef {
	return targetRef{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: o.Gateway}
}

func (o Options) guarded() targetRef {
	if o.Route == "" {
		return o.gateway()
	}
	return targetRef{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Name: o.Route}
}

type patchPolicy struct {
	TargetRef   targetRef   `yaml:"targetRef"`
	Type        string      `yaml:"type"`
	JSONPatches []jsonPatch `yaml:"jsonPatches"`
}

type jsonPatch struct {
	Type      string    `yaml:"type"`
	Name      string    `yaml:"name"`
	Operation operation `yaml:"operation"`
}

type operation struct {
	Op    string     `yaml:"op"`
	Path  string     `yaml:"path"`
	Value *yaml.Node `yaml:"value"`
}

// patchPolicy adds the clusters that the filter calls.
func (o Options) patchPolicy(clusters []*clusterv3.Cluster) (manifest.Object, error) {
	spec := patchPolicy{TargetRef: o.gateway(), Type: "JSONPatch"}
	for _, c := range clusters {
		value, err := manifest.Resource(c)
		if err != nil {
			return manifest.Object{}, err
		}
		spec.JSONPatches = append(spec.JSONPatches, jsonPatch{
			Type: "type.googleapis.com/envoy.config.cluster.v3.Cluster", Name: c.GetName(), Operation: operation{Op: "add", Value: value},
		})
	}
	return manifest.Object{APIVersion: "gateway.envoyproxy.io/v1alpha1", Kind: "EnvoyPatchPolicy", Metadata: o.metadata(), Spec: spec}, nil
}

type extensionPolicy struct {
	TargetRefs []targetRef `yaml:"targetRefs"`
	Wasm       []wasm      `yaml:"wasm"`
}

type wasm struct {
	Name     string     `yaml:"name"`
	RootID   string     `yaml:"rootID"`
	FailOpen bool       `yaml:"failOpen"`
	Code     code       `yaml:"code"`
	Config   *yaml.Node `yaml:"config"`
}

type code struct {
	Type  string     `yaml:"type"`
	HTTP  *httpCode  `yaml:"http,omitempty"`
	Image *imageCode `yaml:"image,omitempty"`
}

type httpCode struct {
	URL    string `yaml:"url"`
	SHA256 string `yaml:"sha256"`
}

type imageCode struct {
	URL           string      `yaml:"url"`
	SHA256        string      `yaml:"sha256,omitempty"`
	PullSecretRef *pullSecret `yaml:"pullSecretRef,omitempty"`
}

type pullSecret struct {
	Name string `yaml:"name"`
}

// extensionPolicy has the Gateway's Envoys run the filter.
func (o Options) extensionPolicy(c *config.Config) (manifest.Object, error) {
	text, err := config.Encode(c)
	if err != nil {
		return manifest.Object{}, fmt.Errorf("encode filter configuration: %w", err)
	}
	configuration, err := manifest.Document(text)
	if err != nil {
		return manifest.Object{}, err
	}
	from := code{Type: "HTTP", HTTP: &httpCode{URL: o.Module, SHA256: o.SHA256}}
	if image, ok := strings.CutPrefix(o.Module, "oci://"); ok {
		from = code{Type: "Image", Image: &imageCode{URL: image, SHA256: o.SHA256}}
		if o.PullSecret != "" {
			from.Image.PullSecretRef = &pullSecret{Name: o.PullSecret}
		}
	}
	spec := extensionPolicy{
		TargetRefs: []targetRef{o.guarded()},
		Wasm:       []wasm{{Name: o.Name, RootID: envoyconf.FilterName, Code: from, Config: configuration}},
	}
	return manifest.Object{APIVersion: "gateway.envoyproxy.io/v1alpha1", Kind: "EnvoyExtensionPolicy", Metadata: o.metadata(), Spec: spec}, nil
}
