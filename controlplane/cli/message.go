package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func outFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "out", "", "write to `FILE`, readable by you alone, instead of standard output")
}

// writeMessage prints an Envoy resource.
func writeMessage(env Environment, path string, form output, m proto.Message) error {
	text, err := encodeMessage(form, m)
	if err != nil {
		return err
	}
	return writeTo(env, path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// encodeMessage gives an Envoy resource the form that Envoy reads, its fields in
// the order that Envoy's own documents have.
func encodeMessage(form output, m proto.Message) ([]byte, error) {
	compact, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode Envoy's configuration: %w", err)
	}
	if form == outputJSON {
		var raw json.RawMessage = compact
		indented, err := json.MarshalIndent(raw, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("indent Envoy's configuration: %w", err)
		}
		return append(indented, '\n'), nil
	}
	var doc yaml.Node // JSON is YAML; what differs is the style
	if err := yaml.Load(compact, &doc); err != nil {
		return nil, fmt.Errorf("convert Envoy's configuration: %w", err)
	}
	blockStyle(&doc)
	text, err := yaml.Dump(&doc)
	if err != nil {
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

// writeTo writes to a file that only its owner may read, or to Stdout.
func writeTo(env Environment, path string, write func(io.Writer) error) error {
	if path == "" {
		return write(env.Stdout)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}
