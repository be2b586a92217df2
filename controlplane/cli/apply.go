package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// manualRetry outlasts a short outage, and an AS that limits the rate.
func manualRetry() reconcile.Retry {
	const attempts = 8
	return reconcile.Retry{Attempts: attempts, Base: 250 * time.Millisecond, Max: 15 * time.Second}
}

func newApply(env Environment) *cobra.Command {
	var (
		flags syncFlags
		how   consent
	)
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Bring the authorization servers' resources in step with umagate.yaml",
		Long: `Show the plan as "umagate plan" does, ask, and carry it out: register the client where
there is none, and create, update, repair, adopt and delete resources. What umagate
did not register or adopt is never touched.

It can be stopped at any point, even killed: the store notes each step before it is
taken, and the next run goes on from there and registers nothing twice. If the
authorization server limits the rate, apply waits.

It is safe beside a running "umagate serve" on the same store: only one of them changes
anything at a time. If things have changed since the plan was shown, nothing is done.

Deleting a resource deletes the policies on it for good, and a umagate.yaml that was cut
short declares too little. So if more resources of a site would be deleted than its
sync.max_deletions (3), you have to type the number; with --yes, give it as --deletions N,
or nothing is done. "umagate serve" then deletes none, and its status says so.

Conflicts: a name that is taken is left alone, unless it is to be adopted. A resource that
the authorization server has lost is registered again, with a new id. A scope that is no
longer declared is removed, after a warning that policies may name it.

Exit codes: 0 everything is in step, 1 something failed, conflicts or was not confirmed,
64 wrong usage.`,
		Example: `  umagate apply -c umagate.yaml
  umagate apply --yes --output json          # in a pipeline
  umagate apply --site photos --adopt albums
  umagate apply --yes --deletions 40         # after a look at umagate plan`,
		Args: cobra.NoArgs,
		RunE: flags.withSites(env, func(ctx context.Context, file *site.File, sites []*site.Site) error {
			full, err := flags.plan(ctx, env, file, sites)
			if err != nil {
				return err
			}
			if flags.form == outputText {
				if err := flags.form.show(env, nil, full.print); err != nil {
					return err
				}
			}
			return flags.apply(ctx, env, file, full, how)
		}),
	}
	flags.register(cmd)
	cmd.Flags().BoolVarP(&how.yes, "yes", "y", false, "carry the plan out without asking")
	cmd.Flags().IntVar(&how.deletions, "deletions", 0, "delete up to `N` resources of a site without asking; never fewer than its sync.max_deletions")
	return cmd
}

// consent is what the operator agreed to on the command line.
type consent struct {
	yes       bool
	deletions int
}

// applied is what was done for one site.
type applied struct {
	reconcile.Result

	Site   string   `json:"site"`
	Errors []string `json:"errors"`
	Remedy string   `json:"remedy,omitempty"`
}

func (f *syncFlags) apply(ctx context.Context, env Environment, file *site.File, full fullPlan, how consent) (err error) {
	results := []applied{}
	if full.Summary.steps() > 0 {
		if err := agree(ctx, env, full, how); err != nil {
			return err
		}
		if results, err = f.carryOut(ctx, env, file, full, how); err != nil {
			return err
		}
	}
	failures := full.Summary.Errors > 0 || full.Summary.Conflict > 0
	for _, r := range results {
		failures = failures || len(r.Errors) > 0
	}
	err = f.form.show(env, map[string]any{"plan": full, "applied": results}, func(p *page) { printApplied(p, results) })
	if err == nil && failures {
		err = &exitError{code: ExitFailed}
	}
	return err
}

// carryOut does what is planned, site by site. Failures are in the results.
func (f *syncFlags) carryOut(ctx context.Context, env Environment, file *site.File, full fullPlan, how consent) (results []applied, err error) {
	opened, err := store.Open(ctx, file.Store.Secret(), filepath.Dir(f.path), file.StoreKeys()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	for _, shown := range full.Sites {
		if shown.Error != "" || !shown.plan.Doable() && shown.RegisterClient == "" {
			continue
		}
		bar := newBar(env, shown.Site)
		options := f.options(env, shown.of, opened, shown.adopt)
		options.Progress = bar.show
		options.Waiting = func() {
			_, _ = fmt.Fprintf(env.Stderr, "site %s: another umagate is bringing its resources in step; waiting\n", shown.Site)
		}
		limit := &shown.plan
		options.Deletions = shown.plan.Count(reconcile.Delete) // confirmed
		if how.yes {
			limit = nil // whatever is to be done now
			options.Deletions = deletions(shown.of, how.deletions)
		}
		results = append(results, applySite(ctx, env, options, limit))
		bar.end()
	}
	return results, nil
}

func applySite(ctx context.Context, env Environment, options registration.OperationOptions, shown *reconcile.Plan) applied {
	out := applied{Site: options.Site.Name, Errors: []string{}}
	m, err := openManual(ctx, env, options)
	if err == nil {
		defer m.Close()
		out.Result, _, err = m.Apply(ctx, shown)
	}
	if err != nil {
		out.Errors, out.Remedy = lines(err), registration.Remedy(err)
	}
	return out
}

// maxErrors bounds how many failures are printed of a site.
const maxErrors = 20

// lines splits a joined error.
func lines(err error) []string {
	all := strings.Split(err.Error(), "\n")
	for i := range all {
		all[i] = printable(all[i])
	}
	if len(all) > maxErrors {
		// The last one says whether the run was cut short.
		last := all[len(all)-1]
		all = append(all[:maxErrors:maxErrors], fmt.Sprintf("and %d more", len(all)-maxErrors), last)
	}
	return all
}

func printApplied(p *page, results []applied) {
	for _, r := range results {
		sentence := fmt.Sprintf("Site %s: %d done", r.Site, r.Done)
		if r.Failed > 0 {
			sentence += fmt.Sprintf(", %d failed", r.Failed)
		}
		if r.Left > 0 {
			sentence += fmt.Sprintf(", %d not tried", r.Left)
		}
		p.printf("%s\n", p.bold(sentence+"."))
		for _, e := range r.Errors {
			p.printf("  %s %s\n", p.red("!"), e)
		}
		p.remedy(r.Remedy)
	}
}
