package istio

import (
	"errors"
	"fmt"
	"strings"

	"github.com/umagate/umagate/controlplane/manifest"
	"github.com/umagate/umagate/plugin/config"
)

// ErrOptions is wrapped by every error about what was asked for.
var ErrOptions = errors.New("cannot make Istio's objects")

// Way is by whom proxies have the filter and its configuration.
type Way string

// The ways.
const (
	Istiod  Way = "istiod"
	Umagate Way = "umagate"
)

// Options say for which proxies the objects are.
type Options struct {
	// Name and Namespace are the objects'. The namespace is that of the proxies.
	Name, Namespace string
	Way             Way
	// One of these three says which proxies: Sidecars and Gateways are labels of pods,
	// Gateway is the name of one of Kubernetes' Gateway API, whose class is Istio's.
	Sidecars, Gateways map[string]string
	Gateway            string
	// Module is where proxies have the module from by [Istiod]: oci://, https:// or http://.
	// SHA256 is that of the image's manifest, or of the file.
	Module, SHA256 string
	// PullSecret names the secret with the credential for the registry.
	PullSecret string
}

func (o Options) validate(c *config.Config) error {
	targets := 0
	for _, given := range []bool{len(o.Sidecars) > 0, len(o.Gateways) > 0, o.Gateway != ""} {
		if given {
			targets++
		}
	}
	scheme, _, _ := strings.Cut(o.Module, "://")
	switch {
	case targets != 1:
		return fmt.Errorf("%w: name the proxies in one way: the labels of pods with sidecars, those of Istio's gateways, or a Gateway", ErrOptions)
	case o.Way == Umagate:
		return nil
	case scheme != "oci" && scheme != "https" && scheme != "http":
		return fmt.Errorf("%w: istiod gives a module by oci:// or https:// only, not by the path %q: write plugin.wasm, or --wasm", ErrOptions, o.Module)
	case scheme != "oci" && o.SHA256 == "":
		return fmt.Errorf("%w: %s has no SHA-256: write plugin.sha256", ErrOptions, o.Module)
	case scheme != "oci" && o.PullSecret != "":
		return fmt.Errorf("%w: a pull secret is for oci:// only", ErrOptions)
	}
	for i := range c.Sites {
		if guardsMessages(&c.Sites[i]) {
			return fmt.Errorf("%w: site %s guards an MCP server, for which the filter has to hold back headers; a WasmPlugin cannot say so: take the way %q", ErrOptions, c.Sites[i].Name, Umagate)
		}
	}
	return nil
}

func guardsMessages(s *config.Site) bool {
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			if s.Resources[i].Conditions[j].MCP != nil {
				return true
			}
		}
	}
	return false
}

// context is where in a proxy requests arrive, as an EnvoyFilter says it.
func (o Options) context() string {
	if len(o.Sidecars) > 0 {
		return "SIDECAR_INBOUND"
	}
	return "GATEWAY"
}

// clusterContext is where in a proxy the clusters of calls are.
func (o Options) clusterContext() string {
	if len(o.Sidecars) > 0 {
		return "SIDECAR_OUTBOUND"
	}
	return "GATEWAY"
}

// pods are the labels of the proxies' pods.
func (o Options) pods() map[string]string {
	switch {
	case o.Gateway != "":
		return map[string]string{"gateway.networking.k8s.io/gateway-name": o.Gateway}
	case len(o.Gateways) > 0:
		return o.Gateways
	default:
		return o.Sidecars
	}
}

// metadata are those of an object, whose name is the options' and, where it is one of
// several of a kind, a suffix.
func (o Options) metadata(suffix string) manifest.Metadata {
	name := o.Name
	if suffix != "" {
		name += "-" + suffix
	}
	return manifest.Metadata{Name: name, Namespace: o.Namespace, Labels: manifest.Labels(o.Name)}
}

// selector are the pods of an object, as most of Istio's objects say it.
type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

// targetRef names a Gateway.
type targetRef struct {
	Group string `yaml:"group"`
	Kind  string `yaml:"kind"`
	Name  string `yaml:"name"`
}

func (o Options) targetRefs() []targetRef {
	if o.Gateway == "" {
		return nil
	}
	return []targetRef{{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: o.Gateway}}
}
