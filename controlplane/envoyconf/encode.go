package envoyconf

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON writes an Envoy resource as Envoy reads it. The same resource always gives
// the same text. "umagate render" calls it, and the golden files are made so.
func JSON(m proto.Message) ([]byte, error) {
	compact, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode Envoy's configuration: %w", err)
	}
	indented, err := json.MarshalIndent(json.RawMessage(compact), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("indent Envoy's configuration: %w", err)
	}
	return append(indented, '\n'), nil
}

// YAML is [JSON] as people read it, fields in the order of Envoy's own documents.
func YAML(m proto.Message) ([]byte, error) {
	text, err := JSON(m)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node // JSON is YAML; what differs is the style
	if err := yaml.Load(text, &doc); err != nil {
		return nil, fmt.Errorf("convert Envoy's configuration: %w", err)
	}
	blockStyle(&doc)
	if text, err = yaml.Dump(&doc); err != nil {
		return nil, fmt.Errorf("convert Envoy's configuration: %w", err)
	}
	return text, nil
}

func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		blockStyle(child)
	}
}
