package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/sync"
)

const adoptUsage = "take over the resource `NAME` that is at the authorization server already, as adopt: true does"

// syncFlags are what "plan" and "apply" share.
type syncFlags struct {
	fileFlags

	sites       []string
	adopt       []string
	concurrency int
}

// registerSites adds the flags that say which sites are meant.
func (f *syncFlags) registerSites(cmd *cobra.Command) {
	f.fileFlags.register(cmd)
	cmd.Flags().StringArrayVar(&f.sites, "site", nil, "only the site `NAME`; may be given several times")
	f.concurrency = sync.DefaultConcurrency
}

func (f *syncFlags) register(cmd *cobra.Command) {
	f.registerSites(cmd)
	cmd.Flags().StringArrayVar(&f.adopt, "adopt", nil, adoptUsage+"; may be given several times")
	cmd.Flags().IntVar(&f.concurrency, "concurrency", sync.DefaultConcurrency, "how many calls to one authorization server are under way at a time")
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
	if f.concurrency < 1 {
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
			if slices.ContainsFunc(link.Desired(s), func(d sync.Desired) bool { return d.Name == name }) {
				out[s.Name] = append(out[s.Name], name)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("--adopt %s: %w", name, server.ErrNoSuchResource)
		}
	}
	return out, nil
}

// sitePlan is what would be done for one site.
type sitePlan struct {
	Site   string `json:"site"`
	Issuer string `json:"issuer"`
	// RegisterClient is the client_name that would be registered; empty for none.
	RegisterClient string       `json:"register_client,omitempty"`
	Changes        []planChange `json:"changes"`
	Unchanged      int          `json:"unchanged"`
	// Error and Remedy: why nothing can be said of the site.
	Error  string `json:"error,omitempty"`
	Remedy string `json:"remedy,omitempty"`

	plan sync.Plan
}

type planChange struct {
	sync.Change

	Problem string `json:"problem,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// fullPlan is what "plan --output json" prints.
type fullPlan struct {
	Sites []sitePlan `json:"sites"`
	// Left names sites that are not in the file any more and have resources at
	// their AS.
	Left    []leftSite `json:"left_alone"`
	Summary tally      `json:"summary"`
}

type leftSite struct {
	Site      string `json:"site"`
	Issuer    string `json:"issuer"`
	Resources int    `json:"resources"`
}

// tally counts steps.
type tally struct {
	Create    int `json:"create"`
	Adopt     int `json:"adopt"`
	Update    int `json:"update"`
	Repair    int `json:"repair"`
	Recreate  int `json:"recreate"`
	Delete    int `json:"delete"`
	Conflict  int `json:"conflict"`
	Unchanged int `json:"unchanged"`
	Clients   int `json:"clients"`
	Errors    int `json:"errors"`
}

// steps is how many can be carried out.
func (t tally) steps() int {
	return t.Create + t.Adopt + t.Update + t.Repair + t.Recreate + t.Delete + t.Clients
}

func newPlan(env Environment) *cobra.Command {
	var (
		flags syncFlags
		form  output
	)
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
umagate did not register or adopt never appears. It is safe beside a running
"umagate serve", which brings the same things in step by itself.

Exit codes: 0 nothing would change, 1 failed or a conflict stands in the way, 2
something would change, 64 wrong usage.`,
		Example: `  umagate plan -c umagate.yaml
  umagate plan --site photos --adopt albums
  umagate plan --output json | jq '.summary'`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			file, err := flags.load(env)
			if err != nil {
				return err
			}
			p, err := flags.plan(ctx, env, file)
			if err != nil {
				return err
			}
			if form == outputJSON {
				err = printJSON(env.Stdout, p)
			} else {
				err = printPlan(env.Stdout, newPaint(env, env.Stdout), p)
			}
			switch {
			case err != nil:
				return err
			case p.Summary.Errors > 0 || p.Summary.Conflict > 0:
				return &exitError{code: ExitFailed}
			case p.Summary.steps() > 0:
				return &exitError{code: ExitChanges}
			}
			return nil
		}),
	}
	flags.register(cmd)
	outputFlag(cmd, &form, outputText, outputJSON)
	return cmd
}

// plan makes the plan of every chosen site. One that fails does not keep the
// others from being shown.
func (f *syncFlags) plan(ctx context.Context, env Environment, file *site.File) (full fullPlan, err error) {
	full = fullPlan{Sites: []sitePlan{}, Left: []leftSite{}}
	sites, err := f.chosen(file)
	if err != nil {
		return full, err
	}
	adopt, err := f.adoptions(sites)
	if err != nil {
		return full, err
	}
	rehearsal, err := f.rehearsal(ctx, file)
	if err != nil {
		return full, err
	}
	defer func() { err = errors.Join(err, rehearsal.Close()) }()
	for _, s := range sites {
		options := f.options(env, s, rehearsal, adopt[s.Name])
		one := planSite(ctx, env, options)
		full.Sites = append(full.Sites, one)
		full.Summary.add(one)
	}
	if len(f.sites) == 0 {
		full.Left, err = leftAlone(ctx, rehearsal, file)
	}
	return full, err
}

// rehearsal is the store, for reading only.
func (f *syncFlags) rehearsal(ctx context.Context, file *site.File) (store.Frozen, error) {
	opened, err := link.ReadStore(ctx, f.path, file)
	switch {
	case errors.Is(err, store.ErrNoDatabase):
		return store.Frozen{}, nil
	case err != nil:
		return store.Frozen{}, err
	}
	return store.Frozen{From: opened}, nil
}

func (f *syncFlags) options(env Environment, s *site.Site, from store.Store, adopt []string) server.ManualOptions {
	return server.ManualOptions{
		Site: s, Store: from, Logger: slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Adopt: adopt, Concurrency: f.concurrency, Retry: manualRetry(),
	}
}

func planSite(ctx context.Context, env Environment, options server.ManualOptions) sitePlan {
	out := sitePlan{Site: options.Site.Name, Issuer: options.Site.AuthorizationServer.Issuer, Changes: []planChange{}}
	fail := func(err error) sitePlan {
		out.Error, out.Remedy = err.Error(), server.Remedy(err)
		return out
	}
	m, err := openManual(ctx, env, options)
	if err != nil {
		return fail(err)
	}
	defer m.Close()
	out.RegisterClient = m.Registers()
	if out.plan, err = m.Plan(ctx); err != nil {
		return fail(err)
	}
	declared := m.Declared()
	for _, c := range out.plan {
		change := planChange{Change: c}
		if c.Err != nil {
			change.Problem, change.Remedy = c.Err.Error(), server.Remedy(c.Err)
		}
		if c.Kind != sync.Delete {
			declared--
		}
		out.Changes = append(out.Changes, change)
	}
	out.Unchanged = max(declared, 0)
	return out
}

func openManual(ctx context.Context, env Environment, options server.ManualOptions) (*server.Manual, error) {
	options.Transport = env.Transport
	return server.OpenManual(ctx, options)
}

func (t *tally) add(s sitePlan) {
	t.Create += s.plan.Count(sync.Create)
	t.Adopt += s.plan.Count(sync.Adopt)
	t.Update += s.plan.Count(sync.Update)
	t.Repair += s.plan.Count(sync.Repair)
	t.Recreate += s.plan.Count(sync.Recreate)
	t.Delete += s.plan.Count(sync.Delete)
	t.Conflict += s.plan.Count(sync.Conflict)
	t.Unchanged += s.Unchanged
	if s.RegisterClient != "" && s.Error == "" {
		t.Clients++
	}
	if s.Error != "" {
		t.Errors++
	}
}

// leftAlone lists the sites that the store knows and the file does not: an edit
// that takes a site out never deletes anything.
func leftAlone(ctx context.Context, from store.Store, file *site.File) ([]leftSite, error) {
	out := []leftSite{}
	keys, err := from.Keys(ctx)
	if err != nil {
		return out, err
	}
	for _, key := range keys {
		if s, ok := file.Site(key.Site); ok && s.AuthorizationServer.Issuer == key.Issuer {
			continue
		}
		records, err := from.Resources(ctx, key)
		if err != nil {
			return out, err
		}
		if len(records) > 0 {
			out = append(out, leftSite{Site: key.Site, Issuer: key.Issuer, Resources: len(records)})
		}
	}
	return out, nil
}

// printPlan writes the plan for people.
func printPlan(to io.Writer, paint paint, p fullPlan) error {
	w := &errWriter{to: to}
	for _, s := range p.Sites {
		printSite(w, paint, s)
	}
	for _, l := range p.Left {
		w.printf("Site %s at %s is not in the file any more: its %s there stay as they are.\n\n", printable(l.Site), printable(l.Issuer), count(l.Resources, "resource"))
	}
	w.printf("%s\n", paint.bold(p.Summary.sentence()))
	return w.err
}

func printSite(w *errWriter, paint paint, s sitePlan) {
	w.printf("%s\n", paint.bold("Site "+s.Site+" at "+printable(s.Issuer)))
	if s.Error != "" {
		w.printf("  %s %s\n", paint.red("!"), printable(s.Error))
		if s.Remedy != "" {
			w.printf("      = %s\n", s.Remedy)
		}
		w.printf("\n")
		return
	}
	if s.RegisterClient != "" {
		w.printf("  %s client %s is registered\n", paint.green("+"), printable(s.RegisterClient))
	}
	for _, c := range s.Changes {
		printChange(w, paint, c)
	}
	if len(s.Changes) == 0 && s.RegisterClient == "" {
		w.printf("  in step, %s\n", count(s.Unchanged, "resource"))
	}
	w.printf("\n")
}

func printChange(w *errWriter, paint paint, c planChange) {
	sign, colour, what := mark(paint, c.Kind)
	w.printf("  %s %s", colour(sign), printable(c.Name))
	if what != "" {
		w.printf("  (%s)", what)
	}
	if c.ID != "" {
		w.printf("  %s", paint.faint("id "+printable(c.ID)))
	}
	w.printf("\n")
	for _, f := range c.Fields {
		if f.From == nil {
			w.printf("      %-8s  %s\n", f.Name, value(f.To))
			continue
		}
		w.printf("      %-8s  %s → %s", f.Name, paint.red(value(f.From)), paint.green(value(f.To)))
		if f.Drift && c.Kind == sync.Update {
			w.printf("  (changed at the authorization server)")
		}
		w.printf("\n")
	}
	for _, warning := range c.Warnings {
		w.printf("      %s %s\n", paint.yellow("warning:"), warning)
	}
	if c.Problem != "" {
		w.printf("      %s\n", printable(c.Problem))
	}
	if c.Remedy != "" {
		w.printf("      = %s\n", c.Remedy)
	}
}

// mark is how a kind is shown.
func mark(p paint, kind sync.Kind) (sign string, colour func(string) string, what string) {
	switch kind {
	case sync.Create:
		return "+", p.green, ""
	case sync.Adopt:
		return "←", p.green, "adopted by name"
	case sync.Update:
		return "~", p.yellow, ""
	case sync.Repair:
		return "↺", p.yellow, "changed at the authorization server, put back"
	case sync.Recreate:
		return "+", p.green, "lost by the authorization server, registered anew"
	case sync.Delete:
		return "-", p.red, ""
	case sync.Conflict:
		return "!", p.red, "conflict"
	}
	return "?", p.red, string(kind)
}

// sentence is the last line.
func (t tally) sentence() string {
	text := "Plan: "
	if t.steps() == 0 && t.Conflict == 0 && t.Errors == 0 {
		return text + "nothing to change, " + count(t.Unchanged, "resource") + " in step."
	}
	for _, part := range []struct {
		n    int
		what string
	}{
		{t.Clients, "to register as client"},
		{t.Create + t.Recreate, "to create"},
		{t.Adopt, "to adopt"},
		{t.Update, "to update"},
		{t.Repair, "to repair"},
		{t.Delete, "to delete"},
		{t.Conflict, "in conflict"},
	} {
		if part.n > 0 {
			text += fmt.Sprintf("%d %s, ", part.n, part.what)
		}
	}
	text += fmt.Sprintf("%d unchanged", t.Unchanged)
	if t.Errors > 0 {
		text += "; " + count(t.Errors, "site") + " not compared"
	}
	return text + "."
}
