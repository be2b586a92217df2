package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

var errNotAskedRemoval = errors.New("there is no terminal to ask on: deregister with --yes")

// removal is one site's part of what "deregister --output json" prints.
type removal struct {
	registration.Removal

	Site   string `json:"site"`
	Issuer string `json:"issuer"`
	// Done says that everything was removed that is not in Left.
	Done bool `json:"done"`
	// Left is what stays at the authorization server, with --force.
	Left   []string `json:"left"`
	Error  string   `json:"error,omitempty"`
	Remedy string   `json:"remedy,omitempty"`
}

func newDeregister(env Environment) *cobra.Command {
	var (
		flags syncFlags
		yes   bool
		force bool
	)
	cmd := &cobra.Command{
		Use:   "deregister",
		Short: "Remove what umagate registered at the authorization servers",
		Long: `Show what umagate registered for a site, ask, and remove it: the resources that it
created or adopted, with the policies that name them; the client (RFC 7592), unless the
file gives one; and what the store keeps of the site, with keys and login. A site with
nothing to remove is not listed.

A running "umagate serve" on the same store notices within seconds and leaves the site
alone from then on. It does not register the site again by itself; "umagate apply" does.
Take the site out of umagate.yaml if it is to stay away.

It can be stopped at any point: each step is noted before it is taken, and the next run
goes on from there. It stops if the authorization server refuses to remove something.
With --force that is listed, stays there, and is forgotten here.

Exit codes: 0 everything is removed, or there was nothing; 1 something failed, is left or
was not confirmed; 64 wrong usage.`,
		Example: `  umagate deregister -c umagate.yaml --site photos
  umagate deregister --site photos --yes --output json`,
		Args: cobra.NoArgs,
		RunE: flags.withSites(env, func(ctx context.Context, file *site.File, sites []*site.Site) error {
			removals, err := flags.deregister(ctx, env, file, sites, yes, force)
			if err != nil {
				return err
			}
			err = flags.form.show(env, removals, func(p *page) { printRemoved(p, removals) })
			for _, r := range removals {
				if err == nil && (!r.Done || len(r.Left) > 0) {
					err = &exitError{code: ExitFailed}
				}
			}
			return err
		}),
	}
	flags.registerSites(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove without asking")
	cmd.Flags().BoolVar(&force, "force", false, "forget what the authorization server refuses to remove")
	return cmd
}

func (f *syncFlags) deregister(ctx context.Context, env Environment, file *site.File, sites []*site.Site, yes, force bool) (out []removal, err error) {
	opened, err := store.Open(ctx, file.Store.Secret(), filepath.Dir(f.path), file.StoreKeys()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	out = []removal{}
	planned := map[string]*registration.Operation{}
	defer func() {
		for _, m := range planned {
			m.Close()
		}
	}()
	for _, s := range sites {
		r := removal{Site: s.Name, Issuer: s.AuthorizationServer.Issuer, Left: []string{}}
		m, err := openManual(ctx, env, registration.OperationOptions{
			Site: s, Store: opened, Concurrency: f.concurrency,
			Waiting: func() {
				_, _ = fmt.Fprintf(env.Stderr, "site %s: another umagate is changing its registrations; waiting\n", s.Name)
			},
		})
		if err == nil {
			planned[s.Name] = m
			r.Removal, err = m.PlanRemoval(ctx)
		}
		switch {
		case errors.Is(err, registration.ErrNothingRegistered):
			continue
		case err != nil:
			r.Error, r.Remedy = err.Error(), registration.Remedy(err)
		}
		out = append(out, r)
	}
	if f.form == outputText {
		if err := f.form.show(env, nil, func(p *page) { printRemoval(p, out) }); err != nil {
			return nil, err
		}
	}
	if len(out) > 0 && !yes {
		if !isTerminal(env.Stdin) {
			return nil, errNotAskedRemoval
		}
		if err := confirm(ctx, env); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if out[i].Error != "" {
			continue
		}
		left, err := planned[out[i].Site].Remove(ctx, force)
		out[i].Left = append(out[i].Left, left...)
		if err != nil {
			out[i].Error, out[i].Remedy = err.Error(), registration.Remedy(err)
			continue
		}
		out[i].Done = true
	}
	return out, nil
}

// shownResources bounds how many names are printed.
const shownResources = 20

func printRemoval(p *page, removals []removal) {
	if len(removals) == 0 {
		p.printf("There is nothing to remove.\n")
	}
	for _, r := range removals {
		p.printf("%s\n", p.bold("Site "+r.Site+" at "+r.Issuer))
		if r.Error != "" {
			p.failure(r.Error)
			continue
		}
		if r.Resumed {
			p.printf("  an earlier deregistration was cut off, and goes on\n")
		}
		for i, name := range r.Resources {
			if i == shownResources {
				p.printf("  %s and %s more\n", p.red("-"), count(len(r.Resources)-i, "resource"))
				break
			}
			p.printf("  %s resource %s\n", p.red("-"), printable(name))
		}
		if r.Instances > 0 {
			p.printf("  %s %s of resources\n", p.red("-"), count(r.Instances, "instance"))
		}
		switch {
		case r.ClientID == "":
			p.printf("    the client is umagate.yaml's own, and stays\n")
		case r.Unmanaged:
			p.printf("  %s client %s: the authorization server gave no way to remove it (RFC 7592)\n", p.red("!"), printable(r.ClientID))
		default:
			p.printf("  %s client %s, with its policies\n", p.red("-"), printable(r.ClientID))
		}
	}
}

func printRemoved(p *page, removals []removal) {
	for _, r := range removals {
		if r.Done {
			p.printf("%s\n", p.bold("Site "+r.Site+": deregistered."))
		} else {
			p.printf("%s\n", p.bold("Site "+r.Site+": not finished; the next run goes on."))
			p.failure(r.Error)
		}
		for _, left := range r.Left {
			p.printf("  %s left there: %s\n", p.red("!"), printable(left))
		}
		p.remedy(r.Remedy)
	}
}
