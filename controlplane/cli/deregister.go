package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
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
		form  output
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
		RunE: run(func(ctx context.Context, _ []string) error {
			file, sites, err := flags.loadChosen(env)
			if err != nil {
				return err
			}
			removals, err := flags.deregister(ctx, env, file, sites, form, yes, force)
			if err != nil {
				return err
			}
			if form == outputJSON {
				err = printJSON(env.Stdout, removals)
			} else {
				err = printRemoved(env.Stdout, newPaint(env, env.Stdout), removals)
			}
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
	outputFlag(cmd, &form, outputText, outputJSON)
	return cmd
}

func (f *syncFlags) deregister(
	ctx context.Context, env Environment, file *site.File, sites []*site.Site, form output, yes, force bool,
) (out []removal, err error) {
	opened, err := link.OpenStore(ctx, f.path, file)
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
			Site: s, Store: opened, Logger: slog.New(slog.DiscardHandler), Concurrency: f.concurrency, Retry: manualRetry(),
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
	if form == outputText {
		if err := printRemoval(env.Stdout, newPaint(env, env.Stdout), out); err != nil {
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

func printRemoval(to io.Writer, paint paint, removals []removal) error {
	w := &errWriter{to: to}
	if len(removals) == 0 {
		w.printf("There is nothing to remove.\n")
	}
	for _, r := range removals {
		w.printf("%s\n", paint.bold("Site "+r.Site+" at "+r.Issuer))
		if r.Error != "" {
			w.printf("  %s %s\n", paint.red("!"), printable(r.Error))
			continue
		}
		if r.Resumed {
			w.printf("  an earlier deregistration was cut off, and goes on\n")
		}
		for i, name := range r.Resources {
			if i == shownResources {
				w.printf("  %s and %s more\n", paint.red("-"), count(len(r.Resources)-i, "resource"))
				break
			}
			w.printf("  %s resource %s\n", paint.red("-"), printable(name))
		}
		if r.Instances > 0 {
			w.printf("  %s %s of resources\n", paint.red("-"), count(r.Instances, "instance"))
		}
		switch {
		case r.ClientID == "":
			w.printf("    the client is umagate.yaml's own, and stays\n")
		case r.Unmanaged:
			w.printf("  %s client %s: the authorization server gave no way to remove it (RFC 7592)\n", paint.red("!"), printable(r.ClientID))
		default:
			w.printf("  %s client %s, with its policies\n", paint.red("-"), printable(r.ClientID))
		}
	}
	return w.err
}

func printRemoved(to io.Writer, paint paint, removals []removal) error {
	w := &errWriter{to: to}
	for _, r := range removals {
		if r.Done {
			w.printf("%s\n", paint.bold("Site "+r.Site+": deregistered."))
		} else {
			w.printf("%s\n  %s %s\n", paint.bold("Site "+r.Site+": not finished; the next run goes on."), paint.red("!"), printable(r.Error))
		}
		for _, left := range r.Left {
			w.printf("  %s left there: %s\n", paint.red("!"), printable(left))
		}
		if r.Remedy != "" {
			w.printf("      = %s\n", r.Remedy)
		}
	}
	return w.err
}
