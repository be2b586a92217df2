package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

func newKeys(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "The keys that umagate made for the clients of sites",
		Example: `  umagate keys list -c umagate.yaml
  umagate keys rotate --site photos`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysList(env), newKeysRotate(env))
	return cmd
}

// siteKeys is one site's part of what "keys --output json" prints.
type siteKeys struct {
	Site   string                   `json:"site"`
	Issuer string                   `json:"issuer"`
	Keys   []registration.KeyStatus `json:"keys"`
}

func newKeysList(env Environment) *cobra.Command {
	var flags syncFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, without their private part",
		Long: `List the keys that umagate made for each site's client, for private_key_jwt or
self_signed_tls_client_auth, the oldest first:

  new        made, and not known to the authorization server yet
  published  the authorization server knows it or can, and it is used soon
  active     in use
  retiring   replaced, and still published for a while

Exit codes: 0 listed, 1 failed, 64 wrong usage.`,
		Example: `  umagate keys list -c umagate.yaml
  umagate keys list --site photos --output json | jq '.[].keys[].kid'`,
		Args: cobra.NoArgs,
		RunE: flags.withSites(env, func(ctx context.Context, file *site.File, sites []*site.Site) error {
			lists, err := flags.listKeys(ctx, file, sites)
			if err != nil {
				return err
			}
			return showKeys(env, flags.form, lists)
		}),
	}
	flags.registerSites(cmd)
	return cmd
}

func (f *syncFlags) listKeys(ctx context.Context, file *site.File, sites []*site.Site) (lists []siteKeys, err error) {
	from, err := f.readStore(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	lists = []siteKeys{}
	for _, s := range sites {
		keys, err := registration.Keys(ctx, from, s)
		if err != nil {
			return nil, err
		}
		lists = append(lists, siteKeys{Site: s.Name, Issuer: s.AuthorizationServer.Issuer, Keys: keys})
	}
	return lists, nil
}

func newKeysRotate(env Environment) *cobra.Command {
	var flags syncFlags
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the key in use now",
		Long: `Make a new key for the client of each site that has keys of umagate's own, and let the
authorization server know it. Where the keys are sent to the authorization server, the new
one is in use when this ends; with a jwks_uri, "umagate serve" begins to use it after
keys.publish_before. The key before stays published for keys.overlap.

It is safe beside a running "umagate serve" on the same store, which goes on with the new
key. It can be stopped at any point.

Exit codes: 0 done, 1 failed, 64 wrong usage.`,
		Example: `  umagate keys rotate -c umagate.yaml --site photos`,
		Args:    cobra.NoArgs,
		RunE: flags.withSites(env, func(ctx context.Context, file *site.File, sites []*site.Site) error {
			lists, err := flags.rotateKeys(ctx, env, file, sites)
			if err != nil {
				return withRemedy(err)
			}
			return showKeys(env, flags.form, lists)
		}),
	}
	flags.registerSites(cmd)
	return cmd
}

func (f *syncFlags) rotateKeys(ctx context.Context, env Environment, file *site.File, sites []*site.Site) (lists []siteKeys, err error) {
	opened, err := store.Open(ctx, file.Store.Secret(), filepath.Dir(f.path), file.StoreKeys()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	for _, s := range sites {
		if _, own := s.AuthorizationServer.Client.OwnKeys(); !own {
			if len(f.sites) > 0 || len(sites) == 1 {
				return nil, fmt.Errorf("site %s: %w", s.Name, registration.ErrNoOwnKeys)
			}
			continue
		}
		m, err := openManual(ctx, env, registration.OperationOptions{Site: s, Store: opened})
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
		keys, err := m.RotateKeys(ctx)
		m.Close()
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
		lists = append(lists, siteKeys{Site: s.Name, Issuer: s.AuthorizationServer.Issuer, Keys: keys})
	}
	return lists, nil
}

func showKeys(env Environment, form output, lists []siteKeys) error {
	return form.show(env, lists, func(p *page) {
		now := time.Now()
		rows := [][]string{{"SITE", "KID", "USE", "ALGORITHM", "STATE", "SINCE", "NEXT"}}
		for _, l := range lists {
			for _, k := range l.Keys {
				rows = append(rows, []string{l.Site, k.ID, string(k.Purpose), k.Algorithm, string(k.State), since(k.StateAt, now), until(k.NextAt, now)})
			}
		}
		p.table(rows...)
	})
}
