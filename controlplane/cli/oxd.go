package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/oxd/legacy"
	"github.com/umagate/umagate/controlplane/oxd/serve"
	"github.com/umagate/umagate/controlplane/store"
)

// This file is all that joins oxd with the rest: without it and controlplane/oxd,
// umagate builds and does not serve oxd.
func init() {
	extensions = append(extensions, extension{source: serve.Open, sites: serve.Sites, importCommand: newImportOXD})
}

// errNoOXD: the configuration does not serve the oxd API.
var errNoOXD = errors.New("it has no oxd section: put what umagate import oxd DIR prints into it first")

func newImportOXD(env Environment) *cobra.Command {
	var (
		flags fileFlags
		to    outFlags
		into  string
	)
	cmd := &cobra.Command{
		Use:   "oxd DIR",
		Short: "Take over an oxd-server: its configuration, and its RPs with their oxd_ids",
		Long: `Take over Gluu's oxd-server from its folder: conf/oxd-conf.json and
conf/oxd-default-site-config.json of 3.x, conf/oxd-server.yml of 4.x, and RP entries as
JSON, in any file below the folder (.json, .jsonl, .txt), one or several in each, just as
bin/lsox.sh prints them. An H2 database itself cannot be read; for each RP:

  bin/lsox.sh -l
  bin/lsox.sh -oxd_id ID > rps/ID.json

It takes two steps. Without --into it prints the oxd section of umagate.yaml. With
--into FILE, the configuration that has that section by now, it writes the RPs into that
file's store: applications go on with the oxd_ids, clients and UMA resources that they
have. umagate serve should not run meanwhile. It may be done again: an oxd_id that is
there already is left as it is.

Whatever is not carried over is listed on standard error and at the head of what is
printed. No secret is printed: client secrets go into the store, sealed.

Exit codes: 0 done, 1 failed, 64 wrong usage.`,
		Example: `  umagate import oxd /opt/oxd-server > oxd.yaml
  umagate import oxd /opt/oxd-server --into umagate.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			found, err := legacy.Read(os.DirFS(args[0]))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if into != "" {
				flags.path = into
				return keepOXD(ctx, env, &flags, found)
			}
			var text bytes.Buffer
			if _, err := found.WriteTo(&text); err != nil {
				return err
			}
			if err := to.create(env, text.Bytes()); err != nil {
				return err
			}
			tellNotes(env, found)
			_, _ = fmt.Fprintf(env.Stderr, "umagate: %s found, %s\n", count(len(found.Entries), "RP"), count(len(found.Notes), "note"))
			return nil
		}),
	}
	cmd.Flags().StringVar(&into, "into", "", "write the RPs into the store of this configuration `FILE`")
	to.registerForce(cmd)
	return cmd
}

func tellNotes(env Environment, found *legacy.Found) {
	for _, n := range found.Notes {
		_, _ = fmt.Fprintf(env.Stderr, "note: %s: %s\n", printable(n.Place), printable(n.Text))
	}
}

func keepOXD(ctx context.Context, env Environment, flags *fileFlags, found *legacy.Found) (err error) {
	file, err := flags.load(env)
	if err != nil {
		return err
	}
	if file.OXD == nil {
		return fmt.Errorf("%s: %w", flags.path, errNoOXD)
	}
	opened, err := store.Open(ctx, file.Store.Secret(), filepath.Dir(flags.path), file.StoreKeys()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	done, err := found.Keep(ctx, opened, file.OXD, time.Now())
	tellNotes(env, found)
	_, _ = fmt.Fprintf(env.Stderr, "umagate: %s brought over with %s, %d there already, %s\n",
		count(done.RPs, "RP"), count(done.Resources, "resource"), done.There, count(len(found.Notes), "note"))
	return err
}
