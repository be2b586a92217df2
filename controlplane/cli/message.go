package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/envoyconf"
)

func outFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "out", "", "write to `FILE`, readable by you alone, instead of standard output")
}

// writeMessage prints an Envoy resource.
func writeMessage(env Environment, path string, form output, m proto.Message) error {
	encode := envoyconf.YAML
	if form == outputJSON {
		encode = envoyconf.JSON
	}
	text, err := encode(m)
	if err != nil {
		return err
	}
	return writeTo(env, path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
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
	if err := errors.Join(ownersOnly(f), write(f)); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}

// ownersOnly takes a file from others that was there before, and could be read by
// them. A device or a pipe stays what it is.
func ownersOnly(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return f.Chmod(0o600)
}
