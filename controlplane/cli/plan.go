package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
)

const adoptUsage = "take over the resource `NAME` that is at the authorization server already, as adopt: true does"

// syncFlags are what "plan" and "apply" share.
type syncFlags struct {
	fileFlags

	sites       []string
	adopt       []string
	concurrency int
}

// registerSites adds the flags that say which sites are meant, and --output.
func (f *syncFlags) registerSites(cmd *cobra.Command) {
	f.fileFlags.register(cmd, outputText, outputJSON)
	cmd.Flags().StringArrayVar(&f.sites, "site", nil, "only the site `NAME`; may be given several times")
	f.concurrency = reconcile.DefaultConcurrency
}

func (f *syncFlags) register(cmd *cobra.Command) {
	f.registerSites(cmd)
	cmd.Flags().StringArrayVar(&f.adopt, "adopt", nil, adoptUsage+"; may be given several times")
	cmd.Flags().IntVar(&f.concurrency, "concurrency", 0, "how many calls to one authorization server are under way at a time; the site's sync.concurrency when 0")
}

// withSites adapts a command's function that needs the file and the sites that are
// meant.
func (f *syncFlags) withSites(env Environment, do func(ctx context.Context, file *site.File, sites []*site.Site) error) func(*cobra.Command, []string) error {
	return f.withFile(env, func(ctx context.Context, file *site.File, _ []string) error {
		sites, err := f.chosen(file)
		if err != nil {
			return err
		}
		return do(ctx, file, sites)
	})
}

// chosen gives the sites that are meant.
func (f *syncFlags) chosen(file *site.File) ([]*site.Site, error) {
	var out []*site.Site
	for i := range file.Sites {
		if s := &file.Sites[i]; len(f.sites) == 0 || slices.Contains(f.sites, s.Name) {
			out = append(out, s)
		}
	}
	for _, name := range f.sites {
		if _, ok := file.Site(name); !ok {
			return nil, fmt.Errorf("--site %s: %s has no such site", name, f.path)
		}
	}
	if f.concurrency < 0 {
		return nil, errors.New("--concurrency: write a number from 1")
	}
	return out, nil
}

// adoptions are the names to adopt at a site. A name that no chosen site has is
// an error.
func (f *syncFlags) adoptions(sites []*site.Site) (map[string][]string, error) {
	out := map[string][]string{}
	for _, name := range f.adopt {
		found := false
		for _, s := range sites {
			if slices.ContainsFunc(reconcile.Declared(s), func(d reconcile.Desired) bool { return d.Name == name }) {
				out[s.Name] = append(out[s.Name], name)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("--adopt %s: %w", name, registration.ErrNoSuchResource)
		}
	}
	return out, nil
}

func newPlan(env Environment) *cobra.Command {
	var flags syncFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change at the authorization servers",
		Long: `Compare the resources that umagate.yaml declares with what is registered at each
authorization server, and show what would be done about it:

  +  create    registered anew (also when the authorization server has lost it)
  ~  update    the file says something else now: each field, old → new
  ↺  repair    somebody changed it at the authorization server: put back
  ←  adopt     one that is there already is taken over (adopt: true, or --adopt)
  -  delete    registered by umagate, and no longer declared
  !  conflict  cannot be done; with the remedy

Nothing is changed by it, neither at the authorization server nor in the store. What
umagate did not register or adopt never appears. Sites that applications have made (oxd) are
listed at the end; umagate serve keeps them in step. It is safe beside a running
"umagate serve", which brings the same things in step by itself.

Exit codes: 0 nothing would change, 1 failed or a conflict stands in the way, 2
something would change, 64 wrong usage.`,
		Example: `  umagate plan -c umagate.yaml
  umagate plan --site photos --adopt albums
  umagate plan --output json | jq '.summary'`,
		Args: cobra.NoArgs,
		RunE: flags.withSites(env, func(ctx context.Context, file *site.File, sites []*site.Site) error {
			full, err := flags.plan(ctx, env, file, sites)
			if err != nil {
				return err
			}
			err = flags.form.show(env, full, full.print)
			switch {
			case err != nil:
				return err
			case full.Summary.Errors > 0 || full.Summary.Conflict > 0:
				return &exitError{code: ExitFailed}
			case full.Summary.steps() > 0:
				return &exitError{code: ExitChanges}
			}
			return nil
		}),
	}
	flags.register(cmd)
	return cmd
}
