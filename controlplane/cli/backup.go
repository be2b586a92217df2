package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

func newBackup(env Environment) *cobra.Command {
	var (
		flags   fileFlags
		withKey bool
	)
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that the control plane keeps into a file",
		Long: `Write all that the store has into FILE, as of one moment. "umagate serve" may run
meanwhile. The file does not depend on the database: a backup of SQLite can be restored
into PostgreSQL, and the other way round. It has a checksum. A file that exists is not
overwritten.

Secrets in it are sealed, and the key is not in it: keep the key (store_key, or the key
file beside the SQLite file) somewhere else. Without the key nobody can read a secret of
the backup, and every client has to be registered again. --with-key puts the key into the
backup: whoever has that file has every client's secret.

Exit codes: 0 written, 1 failed, 64 wrong usage.`,
		Example: `  umagate backup -c umagate.yaml umagate-2026-11-22.backup
  umagate restore -c umagate.yaml umagate-2026-11-22.backup`,
		Args: cobra.ExactArgs(1),
		RunE: flags.withFile(env, func(ctx context.Context, file *site.File, args []string) error {
			s, err := store.Read(ctx, file.Store.Secret(), filepath.Dir(flags.path), file.StoreKeys()...)
			if err != nil {
				return err
			}
			contents, err := writeBackup(ctx, s, args[0], store.BackupOptions{Version: release(), WithKey: withKey})
			if err = errors.Join(err, s.Close()); err != nil {
				return err
			}
			if withKey {
				_, _ = fmt.Fprintf(env.Stderr, "warning: %s has the sealing key: keep it as you would keep every client's secret\n", args[0])
			} else {
				_, _ = fmt.Fprintln(env.Stderr, "The sealing key is not in it: keep store_key, or the key file beside the database, in another place.")
			}
			return flags.form.show(env, contents, func(p *page) {
				p.printf("%s: %s of schema %d\n", args[0], count(contents.Total(), "row"), contents.Schema)
			})
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	cmd.Flags().BoolVar(&withKey, "with-key", false, "put the sealing key into the backup too")
	return cmd
}

// writeBackup makes the file appear whole or not at all.
func writeBackup(ctx context.Context, s *store.SQL, path string, options store.BackupOptions) (contents store.Contents, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".umagate-backup-") // with mode 0600
	if err != nil {
		return contents, err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	contents, err = s.Backup(ctx, temp, options)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return contents, err
	}
	// A link, unlike a renaming, replaces nothing.
	if err := os.Link(temp.Name(), path); err != nil {
		return contents, fmt.Errorf("%w; give the backup another name", err)
	}
	return contents, nil
}

func newRestore(env Environment) *cobra.Command {
	var (
		flags fileFlags
		force bool
	)
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into the store",
		Long: `Put what "umagate backup" wrote into the store that umagate.yaml names, SQLite or
PostgreSQL. No "umagate serve" may run meanwhile. The store has to be empty. With --force
its content is replaced; a copy is kept, and its name is printed.

The sealing key has to be that of the backup: give it as store_key, or as
store_key_previous if the store was sealed with another since (umagate rekey). A backup
that was written with --with-key brings it to a SQLite store without store_key.

A backup of a newer umagate is refused. One of an older umagate is brought up to date.

Exit codes: 0 restored, 1 failed and nothing changed, 64 wrong usage.`,
		Example: `  umagate restore -c umagate.yaml umagate-2026-11-22.backup
  umagate restore -c umagate.yaml --force umagate-2026-11-22.backup`,
		Args: cobra.ExactArgs(1),
		RunE: flags.withFile(env, func(ctx context.Context, file *site.File, args []string) error {
			from, err := os.Open(args[0])
			if err != nil {
				return err
			}
			backup, err := store.ReadBackup(ctx, from)
			if err = errors.Join(err, from.Close()); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			defer func() { _ = backup.Close() }() // it is in memory
			dir := filepath.Dir(flags.path)
			done, err := store.Restore(ctx, backup, store.RestoreOptions{
				Location: secret.New(file.Store.Reveal()), Dir: dir, Keys: file.StoreKeys(), Force: force, Copies: dir, Version: release(),
			})
			if err != nil {
				return err
			}
			return flags.form.show(env, done, func(p *page) {
				p.printf("restored %s, as of %s\n", count(done.Contents.Total(), "row"), done.Contents.CreatedAt)
				if done.Copy != "" {
					p.printf("what was there before is in %s\n", done.Copy)
				}
				if done.KeyFile != "" {
					p.printf("the sealing key of the backup is in %s\n", done.KeyFile)
				}
			})
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	cmd.Flags().BoolVar(&force, "force", false, "replace what the store has; a copy of it is kept")
	return cmd
}

func newRekey(env Environment) *cobra.Command {
	var flags fileFlags
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Seal the store with another key",
		Long: `Seal every secret of the store with another key, in one transaction: if it is cut off, all of
the store is sealed with the key before or with the new one, and it can be run again.
"umagate serve" goes on meanwhile, with one replica or several.

With store_key, the new key is in umagate.yaml: store_key has the new one,
store_key_previous the one before. Give both to every replica first. Each goes on with the
one before until this command has sealed the store. Then take store_key_previous out. A
replica that has only the key before when this runs goes on with what its Envoys have,
changes nothing, and says so (StoreKeyUnknown in "umagate status").

Without store_key, the key is a file beside the SQLite file. A new one is made and takes
its name; the one before is kept, and its name is printed.

Backups stay sealed with the key that the store had then: keep that key as long as them.

Exit codes: 0 sealed with the key, also if it was before; 1 failed and nothing changed; 64
wrong usage.`,
		Example: `  umagate rekey -c umagate.yaml`,
		Args:    cobra.NoArgs,
		RunE: flags.withFile(env, func(ctx context.Context, file *site.File, _ []string) error {
			done, err := store.Rekey(ctx, store.RekeyOptions{
				Location: file.Store.Secret(), Dir: filepath.Dir(flags.path), Keys: file.StoreKeys(),
			})
			if err != nil {
				return err
			}
			return flags.form.show(env, done, func(p *page) {
				switch {
				case done.Already:
					p.printf("the store is sealed with store_key already; store_key_previous can go\n")
				case done.KeyFile == "":
					p.printf("%s sealed with store_key; store_key_previous can go, but the backups from before need it\n", count(done.Secrets, "secret"))
				default:
					p.printf("%s sealed with the new key in %s\nthe key before is in %s: the backups from before need it\n", count(done.Secrets, "secret"), done.KeyFile, done.Before)
				}
			})
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	return cmd
}
