// Package manifest writes objects of Kubernetes that have resources of Envoy in them.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/envoyconf"
)

// Object is one of Kubernetes.
type Object struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   Metadata `yaml:"metadata"`
	Spec       any      `yaml:"spec"`
}

// Metadata names an object.
type Metadata struct {
	Name      string            `yaml:"name"`
	Namespace string            `yaml:"namespace,omitempty"`
	Labels    map[string]string `yaml:"labels,omitempty"`
}

// Labels tell the objects of one "umagate render" by the name that it gave them.
func Labels(name string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name": "umagate", "app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": "umagate-render",
	}
}

// YAML writes objects as kubectl reads them.
func YAML(objects []Object) ([]byte, error) {
	var out bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Dump(o)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", o.Kind, o.Metadata.Name, err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}

// Resource is a resource of Envoy within an object.
func Resource(m proto.Message) (*yaml.Node, error) {
	text, err := envoyconf.JSON(m)
	if err != nil {
		return nil, err
	}
	return Document(text)
}

// Document is JSON within an object.
func Document(json []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Load(json, &doc); err != nil {
		return nil, fmt.Errorf("convert to YAML: %w", err)
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("convert to YAML: it is not one document")
	}
	blockStyle(doc.Content[0])
	return doc.Content[0], nil
}

// old is what YAML 1.1, which kubectl reads, takes for a boolean or a number, and YAML 1.2,
// which is written here, for a text.
var old = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|=|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)$`)

func blockStyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && old.MatchString(n.Value) {
		n.Style = yaml.SingleQuotedStyle
	}
	for _, child := range n.Content {
		blockStyle(child)
	}
}
