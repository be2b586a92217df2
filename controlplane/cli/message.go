package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/envoyconf"
)

// outFlags say where a command writes what it makes.
type outFlags struct {
	out   string
	force bool
}

func (f *outFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.out, "out", "", "write to `FILE`, readable by you alone, instead of standard output")
}

// registerForce adds --force: without it, a file that is there is left alone.
func (f *outFlags) registerForce(cmd *cobra.Command) {
	f.register(cmd)
	cmd.Flags().BoolVar(&f.force, "force", false, "replace the file of --out where there is one")
}

// create writes a file that must not be there yet without --force, or to Stdout.
func (f *outFlags) create(env Environment, text []byte) error {
	if f.out != "" && !f.force {
		if _, err := os.Lstat(f.out); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already: name another file, or replace it with --force", f.out)
		}
	}
	return writeTo(env, f.out, text)
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
	return writeTo(env, path, text)
}

// warnReadable warns before what is secret goes to Stdout, where that is a file that
// others can read: the shell made it, before anybody could say otherwise.
func warnReadable(env Environment, what, remedy string) {
	file, ok := env.Stdout.(*os.File)
	if !ok {
		return
	}
	const others = 0o077
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&others != 0 {
		_, _ = fmt.Fprintf(env.Stderr, "warning: standard output is a file that others can read (mode %04o), and it gets %s: chmod 600 it%s\n",
			info.Mode().Perm(), what, remedy)
	}
}

// writeTo writes to a file that only its owner may read, or to Stdout.
func writeTo(env Environment, path string, text []byte) error {
	if path == "" {
		_, err := env.Stdout.Write(text)
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	if err = ownersOnly(f); err == nil {
		_, err = f.Write(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
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
